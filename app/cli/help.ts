import { groups, type NamedSetting, settings } from '../config/settings.ts'
import { type OwnFlagName, ownFlags, type VerbName, verbNames, verbOf } from './verbs.ts'

const width = 100
const column = 38

const example = settings.find(({ key }) => key === 'workerUrls')

/** Of the short help: the verbs that run or check something, and that there are more. */
function commonVerbs(): string[] {
  const common = verbNames.filter((name) => verbOf(name).common)
  const more = row('vllm-router top, workers, drain, ...', 'ask or change a running router; all: --help-all')
  return [...common.flatMap(verbRow), ...more]
}

function verbRow(name: VerbName): string[] {
  const { takes, help } = verbOf(name)
  return row(`vllm-router ${name}${takes === undefined ? '' : ` ${takes}`}`, help)
}

/** Flags that are no settings, each with the verbs that have it. */
function ownFlagLines(): string[] {
  const lines = (Object.keys(ownFlags) as OwnFlagName[]).flatMap((flag) => {
    const { argument, help } = ownFlags[flag]
    const having = verbNames.filter((name) => verbOf(name).flags.includes(flag))
    return row(`  --${flag}${argument === '' ? '' : ` ${argument}`}`, `${help} (${having.join(', ')})`)
  })
  return ['Flags of verbs', ...lines, '']
}

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
    ...(all ? verbNames.flatMap(verbRow) : commonVerbs()),
    '',
    ...(all ? ownFlagLines() : []),
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
