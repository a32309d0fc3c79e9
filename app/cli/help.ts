import { groups, type NamedSetting, settings } from '../config/settings.ts'
import { operations } from './operate.ts'

const width = 100
const column = 38

const verbs: readonly (readonly [verb: string, effect: string])[] = [
  ['serve', 'run the router; also without a verb'],
  ['check-config', 'check flags, environment and file, start nothing'],
  ['print-config', 'print each value and where it came from'],
  ['health [--url <url>]', 'ask a running router: exit 0 when healthy, else 1'],
  ['workers, requests, ...', 'ask or change a running router; all of them: --help-all'],
]

const furtherVerbs = [
  ['config schema', 'print a JSON Schema of the configuration file, for editors'],
] as const

const operatorVerbs = Object.entries(operations).map(
  ([verb, { takes, help }]) => [takes === undefined ? verb : `${verb} ${takes}`, help] as const,
)

const example = settings.find(({ key }) => key === 'workerUrls')

/**
 * The help of the command line, at most 100 columns wide. The short form has the settings that are marked as common
 * and fits a screen of 40 lines; `all` has every setting.
 */
export function helpText({ version, all = false }: { version: string; all?: boolean }): string {
  const lines = [
    `vllm-router ${version}: an OpenAI-compatible gateway in front of vLLM servers`,
    '',
    ...row('vllm-router --demo', 'try it with simulated vLLM servers'),
    'vllm-router --worker-urls http://gpu1:8000 http://gpu2:8000',
    ...[...verbs, ...(all ? [...furtherVerbs, ...operatorVerbs] : [])].flatMap(([verb, effect]) =>
      row(`vllm-router ${verb}`, effect),
    ),
    '',
  ]
  for (const { title } of groups) {
    const shown = settings.filter(({ group, common }) => group === title && (all || common))
    if (shown.length === 0) continue
    lines.push(title, ...shown.flatMap((entry) => row(`  ${synopsis(entry)}`, effectOf(entry, all))))
    if (all) lines.push('')
  }
  if (!all) lines.push('')
  return [...lines, ...rules(all), ''].join('\n')
}

function rules(all: boolean): string[] {
  const twins = `--${example?.flag} is ${example?.env}`
  const order = 'Order: flag, environment, file, default.'
  if (!all) {
    return [
      `Each flag has a variable (${twins}) and a key in files.`,
      `${order} All flags: vllm-router --help-all`,
    ]
  }
  return [
    `Each flag has a variable (${twins}) and a key in the`,
    `file of --config (${example?.flag}, worker_urls or workerUrls). ${order}`,
    'Lists: a b c after one flag, the flag again, or a,b,c; none is the empty list.',
    'Switches: --demo, --no-demo, --demo=false. Sizes: bytes, 64MiB, 10MB. An empty value is a mistake.',
  ]
}

function synopsis({ flag, kind }: NamedSetting): string {
  return kind.argument === '' ? `--${flag}` : `--${flag} ${kind.argument}`
}

function effectOf(entry: NamedSetting, all: boolean): string {
  const usual = entry.kind.show(entry.default)
  const unit = all && entry.unit !== undefined && /^[\d.]+$/.test(usual) ? ` ${entry.unit}` : ''
  const { values, allowed } = entry.kind
  const listed = values?.join(', ') ?? (entry.key === 'policy' ? allowed : undefined)
  const choice = listed !== undefined && (all || entry.key === 'policy') ? `: ${listed}` : ''
  return `${entry.help}${choice} [${usual.replaceAll(',', ' ')}${unit}]`
}

/** One entry: what to write, and from the second column on what it does, wrapped. */
function row(left: string, right: string): string[] {
  const lines: string[] = []
  let current = left.length < column ? left.padEnd(column) : left
  if (left.length >= column) {
    lines.push(left)
    current = ' '.repeat(column)
  }
  let empty = true
  for (const word of right.split(' ')) {
    if (!empty && current.length + 1 + word.length > width) {
      lines.push(current)
      current = ' '.repeat(column)
      empty = true
    }
    current += empty ? word : ` ${word}`
    empty = false
  }
  return [...lines, current]
}
