import { canonicalUrl } from '../../config/kinds/worker-url.ts'
import { parseModelList } from '../../workers/model-list.ts'
import { bodyOf, type Check, type Facts, type Finding, type WorkerFacts } from './facts.ts'

const tooFew = 'there are not two workers'

export const sources: Check = {
  name: 'sources',
  right: 'it is known where workers come from, and whoever names them can be asked',
  look({ sourceFaults, workers, config, router }) {
    const none = workers.length === 0 && sourceFaults.length === 0 && config.demo === 0
    if (!none) return sourceFaults
    const problem = router.silent === undefined ? 'the router has none' : 'none are named'
    const remedy =
      'name them with --worker-urls, --worker-urls-file, --worker-dns or --service-discovery, or add them with `vllm-router add`'
    return [{ about: 'workers', problem, remedy }]
  },
}

export const twice: Check = {
  name: 'twice',
  right: 'no worker is in the list twice',
  look({ workers }) {
    if (workers.length < 2) return tooFew
    return pairs(workers)
      .filter(([a, b]) => sharedAddress(a, b) !== undefined && !areTwoServers(a, b))
      .map(([a, b]) => ({
        about: `${a.url} and ${b.url}`,
        problem: `both are ${sharedAddress(a, b)}: one worker that gets two shares of the requests`,
        remedy:
          'name it once; when a proxy there leads to two servers, they must be known by their own addresses',
      }))
  },
}

function sharedAddress(a: WorkerFacts, b: WorkerFacts): string | undefined {
  const [one, other] = [placeOf(a.url), placeOf(b.url)]
  if (canonicalUrl(a.url) === canonicalUrl(b.url)) return new URL(a.url).host
  if (one.port !== other.port || one.path !== other.path) return undefined
  const address = a.addresses.find((ip) => b.addresses.includes(ip))
  return address && `${address.includes(':') ? `[${address}]` : address}:${one.port}${one.path}`
}

function placeOf(url: string): { readonly port: string; readonly path: string } {
  const { protocol, port, pathname } = new URL(url)
  return { port: port || (protocol === 'https:' ? '443' : '80'), path: pathname.replace(/\/+$/, '') }
}

/** A proxy may lead to different servers by name: processes that started at different times are two. */
function areTwoServers(a: WorkerFacts, b: WorkerFacts): boolean {
  const [one, other] = [startedAt(a), startedAt(b)]
  return one !== undefined && other !== undefined && one !== other
}

function startedAt({ metrics }: WorkerFacts): string | undefined {
  return /^process_start_time_seconds(?:\{[^}]*\})? (\S+)/m.exec(bodyOf(metrics) ?? '')?.[1]
}

interface Listed {
  readonly url: string
  readonly entries: NonNullable<ReturnType<typeof parseModelList>>
}

export const models: Check = {
  name: 'models',
  right: 'workers that share a model serve it alike, and no worker stands alone with its models',
  look({ workers, config }) {
    const listed = workers.flatMap(({ url, models }): Listed[] => {
      const entries = parseModelList(bodyOf(models) ?? '')
      return entries === undefined || entries.length === 0 ? [] : [{ url, entries }]
    })
    if (listed.length < 2) return 'there are not two workers that list their models'
    const unlike = pairs(listed).flatMap(([a, b]) => differences(a, b))
    return [...unlike, ...alone(listed, config)]
  },
}

/** One name that stands for two things. */
function differences(a: Listed, b: Listed): Finding[] {
  return a.entries.flatMap((entry) => {
    const other = b.entries.find(({ id }) => id === entry.id)
    const fields = (['root', 'max_model_len'] as const).filter(
      (field) => other !== undefined && field in entry && field in other && entry[field] !== other[field],
    )
    if (other === undefined || fields.length === 0) return []
    const what = fields.map((field) => `${field} ${entry[field]} and ${other[field]}`).join(', ')
    return [
      {
        about: `${a.url} and ${b.url}`,
        problem: `both serve "${entry.id}", and not the same: ${what}`,
        remedy: 'start both with the same model and --max-model-len, or give them unlike --served-model-name',
      },
    ]
  })
}

/** Workers whose models nobody else has, unless the configuration speaks of these models: then it is meant. */
function alone(listed: readonly Listed[], config: Facts['config']): Finding[] {
  const meant = [...config.modelPolicy, ...config.modelAlias, ...config.modelFallback].join(' ')
  return listed
    .filter(({ url, entries }) => {
      const names = entries.map(({ id }) => id)
      const others = new Set(
        listed.filter((one) => one.url !== url).flatMap((one) => one.entries.map(({ id }) => id)),
      )
      return !names.some((name) => others.has(name) || meant.includes(name))
    })
    .map(({ url, entries }) => ({
      about: url,
      problem: `only it serves ${entries.map(({ id }) => `"${id}"`).join(', ')}: requests for that can go nowhere else`,
      remedy:
        'start it with the model of the others; when it is meant so, name another model for that case with --model-fallback',
    }))
}

export const workerVersions: Check = {
  name: 'versions',
  right: 'all workers run one version of vLLM',
  look({ workers }) {
    const byVersion = new Map<string, string[]>()
    for (const { url, version } of workers) {
      const told = versionIn(bodyOf(version) ?? '')
      if (told !== undefined) byVersion.set(told, [...(byVersion.get(told) ?? []), url])
    }
    if (byVersion.size === 0) return 'no worker told its version'
    if (byVersion.size === 1) return []
    const problem = [...byVersion].map(([version, urls]) => `${version} on ${urls.join(', ')}`).join('; ')
    const remedy =
      'bring all to one version; until then answers, limits and metrics differ with the worker. Beside an upgrade this passes'
    return [{ about: 'vLLM', problem, remedy }]
  },
}

function versionIn(text: string): string | undefined {
  try {
    const { version } = JSON.parse(text) as { version?: unknown }
    return typeof version === 'string' ? version : undefined
  } catch {
    return undefined
  }
}

function pairs<T>(items: readonly T[]): [T, T][] {
  return items.flatMap((a, at) => items.slice(at + 1).map((b): [T, T] => [a, b]))
}
