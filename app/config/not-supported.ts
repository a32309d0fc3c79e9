/**
 * Flags of the vLLM Router (its Rust program and its Python launcher) and of the SGLang router it grew from, which this
 * router does not have. They are refused by name on every way in: a flag that is ignored is a promise that is broken.
 */
const flags: Readonly<Record<string, string>> = {
  'vllm-pd-disaggregation': 'prefill/decode disaggregation',
  'pd-disaggregation': 'prefill/decode disaggregation',
  prefill: 'prefill/decode disaggregation',
  decode: 'prefill/decode disaggregation',
  'prefill-policy': 'prefill/decode disaggregation',
  'decode-policy': 'prefill/decode disaggregation',
  'prefill-selector': 'prefill/decode disaggregation',
  'decode-selector': 'prefill/decode disaggregation',
  'bootstrap-port-annotation': 'prefill/decode disaggregation',
  'vllm-discovery-address': 'prefill/decode disaggregation',
  'kv-connector': 'prefill/decode disaggregation',
  'epd-config': 'encoder disaggregation',
  'mini-lb': 'the Python load balancer',
  backend: 'backends other than vLLM',
  runtime: 'backends other than vLLM',
  'enable-igw': 'the inference gateway mode; several models behind one router need no flag here',
  'dp-aware': 'see --intra-node-data-parallel-size',
  model: 'backends other than vLLM',
  'api-key-validation-urls': 'keys checked by another server; see --router-api-keys',
  'control-plane-api-keys': 'see --admin-api-key',
  'disable-audit-logging': 'audit log',
  'jwt-jwks-uri': 'tokens for the admin routes; see --admin-api-key, and for clients --jwt-jwks-url',
  'jwt-role-mapping': 'tokens for the admin routes; see --admin-api-key',
  'log-dir': 'log files; the log goes to standard output',
  'history-backend': 'stored responses',
  profile: 'profiling of workers',
  'prometheus-duration-buckets': 'buckets of your own',
  'otel-excluded-paths': 'paths without traces; those of probes have none',
  'tls-cert-path': 'TLS on the listeners; put a proxy in front',
  'tls-key-path': 'TLS on the listeners; put a proxy in front',
  'model-path': 'tokenizing in the router',
  'tokenizer-path': 'tokenizing in the router',
  'chat-template': 'tokenizing in the router',
  'reasoning-parser': 'parsing in the router; vLLM does it',
  'tool-call-parser': 'parsing in the router; vLLM does it',
  'mcp-config-path': 'MCP servers',
  'enable-wasm': 'WASM middleware; see middleware in a TypeScript configuration',
  'wasm-middleware': 'WASM middleware; see middleware in a TypeScript configuration',
  'prefix-token-count': 'the policy prefix_hash',
  'prefix-hash-load-factor': 'the policy prefix_hash',
  'enable-program-scheduling': 'program scheduling',
  'program-scheduling-config-json': 'program scheduling',
}

/** Families of flags that begin alike. */
const families: Readonly<Record<string, string>> = {
  'oracle-': 'stored responses',
  'postgres-': 'stored responses',
  'redis-': 'stored responses',
  'tokenizer-cache-': 'tokenizing in the router',
  'wasm-middleware-': 'WASM middleware; see middleware in a TypeScript configuration',
  'kv-': 'routing by KV cache events',
}

/** Variables without this router's prefix that the vLLM Router obeys, and whose silence would open a door. */
export const notSupportedVariables: Readonly<Record<string, string>> = {
  API_KEY_VALIDATION_URLS: 'keys checked by another server; see --router-api-keys',
}

/** The text of the fault when a name (kebab-case, no dashes before it) is one of them. */
export function notSupported(name: string): string | undefined {
  if (Object.hasOwn(flags, name)) return `not supported yet (${flags[name]})`
  const family = Object.keys(families).find((start) => name.startsWith(start))
  return family === undefined ? undefined : `not supported yet (${families[family]})`
}

/** For the documentation: names, a family as `oracle-*`. */
export const notSupportedNames: readonly string[] = [
  ...Object.keys(flags),
  ...Object.keys(families).map((start) => `${start}*`),
]
