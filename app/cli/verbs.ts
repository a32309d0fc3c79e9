/** A flag that only some verbs have; every other flag is a setting of the router. */
export interface OwnFlag {
  /** What follows it, as help writes it; empty for a switch. */
  readonly argument: string
  readonly help: string
}

export const ownFlags = {
  url: { argument: '<url>', help: 'another listener than the one that the settings name' },
  'ca-file': {
    argument: '<file>',
    help: 'authorities (PEM) that vouch for the certificate of that listener',
  },
  'client-cert': {
    argument: '<file>',
    help: 'certificate (PEM) to show to that listener, where it asks for one',
  },
  'client-key': { argument: '<file>', help: 'private key (PEM) of that certificate' },
  json: { argument: '', help: 'JSON instead of a table' },
  watch: { argument: '', help: 'show it anew every 2 s until Ctrl-C' },
  follow: { argument: '', help: 'go on with each request that ends, until Ctrl-C' },
  failed: { argument: '', help: 'only requests that ended otherwise than well' },
  worker: { argument: '<worker>', help: 'only requests that this worker was asked' },
  model: { argument: '<name>', help: 'only what is for this model' },
  tenant: { argument: '<name>', help: 'only what is of this tenant' },
  status: { argument: '<code>', help: 'only requests with this status' },
  'slower-than-ms': { argument: '<n>', help: 'only requests that took longer' },
  new: { argument: '', help: 'make a random key, and print it this once' },
  from: { argument: '<time>', help: 'only from this date or time on, in UTC' },
  to: { argument: '<time>', help: 'only before this date or time, in UTC' },
  csv: { argument: '', help: 'CSV of each hour instead of a table' },
  limit: { argument: '<n>', help: 'at most so many, the newest first [50]' },
} as const satisfies Readonly<Record<string, OwnFlag>>

export type OwnFlagName = keyof typeof ownFlags

/** The values that were given of a verb's own flags; `true` for a switch. */
export type OwnFlags = { readonly [Name in OwnFlagName]?: string }

export interface Verb {
  readonly help: string
  /** What stands behind the verb, as help writes it. */
  readonly takes?: string
  /** All words that may stand there, where they are known. */
  readonly words?: readonly string[]
  readonly flags: readonly OwnFlagName[]
  /** In the short help, too. */
  readonly common?: true
}

const reach = ['url', 'ca-file', 'client-cert', 'client-key'] as const
const ask = [...reach, 'json'] as const

/** Every verb for people: parsing, help and completion follow from this table. All of them take the settings as flags. */
export const verbs = {
  serve: { help: 'run the router; also without a verb', flags: [], common: true },
  'check-config': { help: 'check flags, environment and file, start nothing', flags: [], common: true },
  'print-config': { help: 'print each value and where it came from', flags: [], common: true },
  doctor: {
    help: 'the usual faults, each with its remedy; exit 1 when any',
    flags: ask,
    common: true,
  },
  health: { help: 'ask a running router: exit 0 when healthy, else 1', flags: reach },
  top: { help: 'the fleet, live: which worker is out, slow or failing, and why', flags: reach },
  workers: { help: 'the workers of a running router, and how each is', flags: [...ask, 'watch'] },
  drain: { takes: '<worker>', help: 'a worker gets nothing new; what it has goes on', flags: ask },
  undrain: { takes: '<worker>', help: 'it gets requests again', flags: ask },
  add: { takes: '<url>', help: 'add a worker', flags: ask },
  remove: { takes: '<worker>', help: 'take a worker out', flags: ask },
  requests: {
    help: 'the last requests: where each went and why',
    flags: [...ask, 'follow', 'failed', 'worker', 'model', 'tenant', 'status', 'slower-than-ms', 'limit'],
  },
  usage: {
    help: 'what tenants have used, by model',
    flags: [...ask, 'csv', 'tenant', 'model', 'from', 'to'],
  },
  reload: { help: 'read the configuration anew', flags: ask },
  config: {
    takes: '[schema]',
    words: ['schema'],
    help: 'the configuration in force; schema: a JSON Schema of the file, for editors',
    flags: ask,
  },
  'hash-key': { help: 'the line for keys of a key on standard input; --new makes one', flags: ['new'] },
  completion: {
    takes: '<shell>',
    words: ['bash', 'zsh', 'fish'],
    help: 'a script that completes verbs and flags',
    flags: [],
  },
  version: { help: 'print the version', flags: [] },
  help: { help: 'the usual flags; --help-all: all of them', flags: [] },
} as const satisfies Readonly<Record<string, Verb>>

export type VerbName = keyof typeof verbs

export const verbNames = Object.keys(verbs) as readonly VerbName[]

export function verbOf(name: VerbName): Verb {
  return verbs[name]
}

export function isSwitch(flag: OwnFlagName): boolean {
  return ownFlags[flag].argument === ''
}

/** What stands behind a verb, taken apart. */
export interface Arguments {
  /** Up to the first flag. */
  readonly words: readonly string[]
  readonly own: OwnFlags
  /** Everything else: flags of the settings. */
  readonly settings: readonly string[]
}

export function splitArguments(verb: VerbName, argv: readonly string[]): Arguments {
  const firstFlag = argv.findIndex((word) => word.startsWith('-'))
  const words = argv.slice(0, firstFlag === -1 ? undefined : firstFlag)
  const rest = firstFlag === -1 ? [] : argv.slice(firstFlag)
  const own: { [Name in OwnFlagName]?: string } = {}
  const settings: string[] = []
  for (let at = 0; at < rest.length; at++) {
    const [, name = '', inline] = /^--([\w-]+)(?:=(.*))?$/s.exec(rest[at]!) ?? []
    const flag = verbOf(verb).flags.find((one) => one === name)
    if (flag === undefined) settings.push(rest[at]!)
    else own[flag] = inline ?? (isSwitch(flag) ? 'true' : (rest[++at] ?? ''))
  }
  return { words, own, settings }
}
