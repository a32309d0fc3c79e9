"""Makes a tiny Llama of random weights with a tokenizer trained here, and an adapter for it; offline.

usage: make_models.py FOLDER
"""

import json
import os
import pathlib
import sys

os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1", DO_NOT_TRACK="1")
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

root = pathlib.Path(sys.argv[1])
size, layers, heads, rank = 64, 2, 2, 8

sources = sorted(pathlib.Path(os.__file__).parent.glob("*.py"))[:150]
texts = [path.read_text("utf8", "ignore") for path in sources] + ["naïve Grüße 你好 🙂 " * 20]
words = Tokenizer(models.BPE())
words.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
words.decoder = decoders.ByteLevel()
special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
alphabet = pre_tokenizers.ByteLevel.alphabet()
words.train_from_iterator(
    texts,
    trainers.BpeTrainer(vocab_size=2048, special_tokens=special, initial_alphabet=alphabet, show_progress=False),
)
tokenizer = PreTrainedTokenizerFast(
    tokenizer_object=words, bos_token=special[0], pad_token=special[0], eos_token=special[2], model_max_length=4096
)
tokenizer.chat_template = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n"
    "{% if m['content'] is string %}{{ m['content'] }}"
    "{% elif m['content'] %}{% for p in m['content'] %}{{ p['text'] }}{% endfor %}{% endif %}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)

torch.manual_seed(7)
config = LlamaConfig(
    vocab_size=len(tokenizer),
    hidden_size=size,
    intermediate_size=2 * size,
    num_hidden_layers=layers,
    num_attention_heads=heads,
    num_key_value_heads=1,
    head_dim=32,
    max_position_embeddings=4096,
    tie_word_embeddings=False,
    initializer_range=0.3,
    bos_token_id=tokenizer.bos_token_id,
    eos_token_id=tokenizer.eos_token_id,
    pad_token_id=tokenizer.pad_token_id,
)
model = LlamaForCausalLM(config).to(torch.bfloat16)
model.save_pretrained(root / "tiny")
tokenizer.save_pretrained(root / "tiny")

adapter = root / "adapter"
adapter.mkdir(exist_ok=True)
settings = {
    "peft_type": "LORA",
    "task_type": "CAUSAL_LM",
    "base_model_name_or_path": "tiny",
    "r": rank,
    "lora_alpha": 16,
    "lora_dropout": 0.0,
    "bias": "none",
    "target_modules": ["q_proj", "o_proj"],
}
(adapter / "adapter_config.json").write_text(json.dumps(settings))
weights = {}
for layer in range(layers):
    for module in settings["target_modules"]:
        prefix = f"base_model.model.model.layers.{layer}.self_attn.{module}"
        weights[f"{prefix}.lora_A.weight"] = torch.randn(rank, size) / 4
        weights[f"{prefix}.lora_B.weight"] = torch.randn(size, rank) / 4
save_file(weights, str(adapter / "adapter_model.safetensors"))
