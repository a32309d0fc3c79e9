import { type KeyField, keyFields, limitFields } from './key-fields.ts'
import { kebabCase } from './kinds/setting.ts'
import { notSupportedNames, notSupportedVariables } from './not-supported.ts'
import { groups, type NamedSetting, settings } from './settings.ts'

/**
 * docs/configuration.md, made from the list of settings, so that the page cannot fall behind. A test compares the two
 * and says how to write the page again.
 */
export function configurationPage(): string {
  const tables = groups.flatMap(({ title }) =>
    title === 'Keys' ? [table(title), keysTable()] : [table(title)],
  )
  return `${[introduction.trim(), ...tables, closing()].join('\n\n')}\n`
}

const introduction = `
# Configuration

<!-- Made from app/config/settings.ts by app/config/document.ts. Do not edit by hand. -->

A setting can be given as a flag, as an environment variable or as a key of a file. **Flag beats environment beats file
beats default.** With anything wrong the router does not start: it lists every fault at once, with where the value came
from, what it was and what is allowed, and exits with code 2.

| \`vllm-router ...\` | |
|---|---|
| \`[serve] [flags]\` | run the router |
| \`check-config [flags]\` | check everything, start nothing; exit code 0 or 2 |
| \`print-config [flags]\` | print the configuration that results, as YAML, with the origin of each value; keys are not shown |
| \`health [--url <url>] [flags]\` | ask a running router for \`/health\`; exit code 0 or 1. Without \`--url\` the address follows from the settings |
| \`workers\`, \`drain <worker>\`, \`undrain <worker>\`, \`add <url>\`, \`remove <worker>\` | show and change the workers of a running router |
| \`requests [--failed] [--worker W] [--model M] [--status N] [--slower-than-ms N] [--limit N]\` | the last requests, where each went and why |
| \`config\`, \`reload\` | the configuration in force; read it anew |
| \`hash-key [--new]\` | the line that stands for a client's key in \`keys\`: of the key on standard input, or of a new random one |
| \`config schema\` | a JSON Schema of the configuration file, for editors |
| \`--help\`, \`--help-all\`, \`--version\` | |

The verbs from \`workers\` on talk to the operations listener: that of the settings, or \`--url\`. With an admin key, set
\`VLLM_ROUTER_ADMIN_API_KEY\`. \`--json\` prints what the router said. Exit code 1 when it refuses, or does not answer.

## How values are written

- **Variables** are the flag in capitals after \`VLLM_ROUTER_\`: \`--worker-urls\` is \`VLLM_ROUTER_WORKER_URLS\`.
- **Files** (\`--config\`): \`.yaml\`, \`.yml\` and \`.json\` with the flag's name as key (\`worker-urls\`; \`worker_urls\` and
  \`workerUrls\` are the same key). \`.ts\`, \`.mts\`, \`.js\` and \`.mjs\` export an object by default, or a function that returns one.
- **References** in YAML and JSON: \`\${NAME}\` is a variable of the environment, \`\${NAME:-text}\` one that may be missing or
  empty, \`\${file:/path}\` what stands in a file, without the line break at its end. They are read again with the file, and
  what they lead to is in no fault; \`print-config\` and \`GET /config\` show it of settings that are no keys. \`$\${\` stands for \`\${\` itself.
- **Editors** complete and check such a file with \`vllm-router config schema > router.schema.json\`, and in its first line
  \`# yaml-language-server: $schema=router.schema.json\`; in JSON the key \`$schema\`.
- **Lists**: \`--worker-urls a b c\`, or the flag repeated, or \`a,b,c\`. In YAML a list or such a text. \`none\` is the empty list.
- **Switches**: \`--disable-retries\`, \`--no-disable-retries\`, \`--disable-retries=false\`; also \`on\`/\`off\`, \`yes\`/\`no\`, \`1\`/\`0\`.
- **Sizes**: bytes, or \`64MiB\` (2^20), \`10MB\` (10^6), \`64Mi\` as Kubernetes writes it.
- **Durations** are in the unit of the name; seconds may have decimals.
- An **empty** value is a fault, also in a variable: an empty list of keys would open the router. Unset it instead, or write the
  word that the table gives (\`none\`, \`off\`, \`unlimited\`).
- A value that another source overrides is checked too: it would bite on the day the other one goes.
- A flag that takes one value may be repeated only with the same value.
- An **unknown** flag, \`VLLM_ROUTER_*\` variable or file key is a fault. Left alone are the variables that Kubernetes sets for a
  Service called \`vllm-router...\` (\`VLLM_ROUTER_SERVICE_HOST\`, \`VLLM_ROUTER_PORT=tcp://...\` and their kind).

## Changes while the router runs

A YAML or JSON file of \`--config\`, and the file of \`--keys-file\`, are read anew within some seconds of a change, at SIGHUP, and by \`POST /reload\` on the
operations listener, which answers with what has changed or what is wrong. All of it is taken over or nothing: a fault is
said with file, line and column, in the log, in \`GET /config\` and by \`vllm_router_config_reload_success\` 0, and what was in
force stays. Requests and streams under way go on; health, breakers, queue and what a policy has learnt stay, as far as the
change is not about them. Flags and variables are those of the start. Settings that say so below need a restart, and so
does code; with several processes, a cap or a rate can be changed, but not set for the first time or taken away.

\`\`\`yaml
# router.yaml
host: 0.0.0.0
worker-urls:
  - http://gpu1:8000
  - http://gpu2:8000
max-payload-size: 32MiB
\`\`\`

\`\`\`ts
// router.config.ts: the same in TypeScript, which can carry code too
import type { ConfigInput } from 'vllm-router'

export default {
  host: '0.0.0.0',
  workerUrls: ['http://gpu1:8000', 'http://gpu2:8000'],
  selectionPolicies: {
    first: () => ({ select: ([candidate]) => candidate }),
  },
  policy: 'first',
} satisfies ConfigInput
\`\`\`

Only a program (a TypeScript or JavaScript file, or \`createGateway\`) can give these two:

| key | what |
|---|---|
| \`middleware\` | a list of Hono middleware, each a function or \`{ position: 'before' \\| 'after', middleware }\` |
| \`selectionPolicies\` | names for \`--policy\`, each with a function that makes the policy |
`

function table(title: string): string {
  const rows = settings.filter(({ group }) => group === title).map(row)
  return [`## ${title}`, '', '| flag | default | allowed | effect |', '|---|---|---|---|', ...rows].join('\n')
}

/** Of the entries of `keys`, in a configuration file or in that of `--keys-file`. */
function keysTable(): string {
  const fields = [
    ...Object.entries<KeyField>(keyFields).map(([key, field]) => [kebabCase(key), field] as const),
    ...Object.entries<KeyField>(limitFields).map(
      ([key, field]) => [`limits.${kebabCase(key)}`, field] as const,
    ),
  ]
  const rows = fields.map(
    ([name, { kind, help }]) => `| \`${name}\` | ${cell(kind.item ?? kind.allowed)} | ${help} |`,
  )
  return [
    'A list of tenants under the key `keys`, or in the file of `--keys-file`; [keys.md](keys.md) says how it is used.',
    '',
    '| field of an entry | allowed | effect |',
    '|---|---|---|',
    ...rows,
  ].join('\n')
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|')
}

function row(entry: NamedSetting): string {
  const { flag, kind, help, unit, danger, restart, aliases = [] } = entry
  const usual = kind.show(entry.default)
  const measure = unit !== undefined && /^[\d.]+$/.test(usual) ? ` ${unit}` : ''
  const notes = [
    danger === undefined ? undefined : `Mind: ${danger}.`,
    restart === true ? 'A change needs a restart.' : undefined,
    aliases.length === 0 ? undefined : `Also ${aliases.map((name) => `\`--${name}\``).join(', ')}.`,
  ].filter((note) => note !== undefined)
  const effect = [`${help}.`, ...notes].join(' ')
  const cells = [`\`--${flag}\``, `\`${usual}\`${measure}`, kind.item ?? kind.allowed, effect]
  return `| ${cells.map(cell).join(' | ')} |`
}

function closing(): string {
  const variables = Object.keys(notSupportedVariables)
  return `## Not supported yet

These are refused by name, never ignored. Flags of the vLLM Router and of the SGLang router: ${code(notSupportedNames.map((name) => `--${name}`))}.
Variables: ${code(variables)}.`
}

function code(names: readonly string[]): string {
  return names.length === 0 ? 'none' : names.map((name) => `\`${name}\``).join(', ')
}
