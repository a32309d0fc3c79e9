import { describeWorkers } from '../worker-words.ts'
import type { Check, Facts, Finding, RouterFacts } from './facts.ts'

function silence({ url, silent }: RouterFacts): string | undefined {
  return silent === undefined ? undefined : `no router answers on ${url} (${silent})`
}

/** Looks at what the router says to its operators. */
function asked(look: (facts: Facts) => readonly Finding[]): Check['look'] {
  return (facts) => {
    if (facts.router.refused !== undefined) return 'the router refuses the admin routes'
    return silence(facts.router) ?? look(facts)
  }
}

export const adminKey: Check = {
  name: 'admin key',
  right: 'the router takes the admin key, or wants none',
  look({ router, config }) {
    const { url, refused } = router
    if (refused === undefined) return silence(router) ?? []
    const { status, message } = refused
    if (status !== 401) {
      const remedy = 'ask it by an IP address or as localhost, or name this host with --admin-hosts'
      return [{ about: url, problem: message, remedy: status === 403 ? remedy : 'its log says why' }]
    }
    const has =
      config.adminApiKey === undefined ? 'none is set here' : 'the one that is set here is another one'
    return [
      {
        about: url,
        problem: `it refuses the admin key: ${has}`,
        remedy: 'set VLLM_ROUTER_ADMIN_API_KEY to the key that the router was started with',
      },
    ]
  },
}

export const routerMetrics: Check = {
  name: 'metrics',
  right: 'the metrics of the router can be read',
  look({ router, ports }) {
    const { url, metrics, silent } = router
    if (silent !== undefined) {
      const api = ports?.find(({ flag }) => flag === 'port')
      if (api?.isRouter !== true) return silence(router)!
      const problem = `a router answers on ${api.address}, and nobody here: ${silent}`
      const remedy =
        'its --prometheus-host and --prometheus-port are others than the ones given here: use the same'
      return [{ about: url, problem, remedy }]
    }
    if (metrics?.status === 200 && metrics.text.includes('vllm_router_')) return []
    const said =
      metrics?.status === 200 ? 'nothing of a router in it' : `status ${metrics?.status ?? 'unknown'}`
    return [
      {
        about: url,
        problem: `GET /metrics: ${said}`,
        remedy: 'is it the operations listener? --prometheus-port sets it, 29000 unless told',
      },
    ]
  },
}

export const reload: Check = {
  name: 'reload',
  right: 'the configuration that is in force is the last one that was read',
  look: asked(({ router: { config, url } }) => {
    const last = config?.last_reload
    if (last === undefined || last === null || last.ok) return []
    return last.problems.map((problem) => ({
      about: url,
      problem: `the reload of ${last.at} failed: ${problem}`,
      remedy: 'put that right, then `vllm-router reload`; until then the configuration before stays in force',
    }))
  }),
}

export const routerVersion: Check = {
  name: 'version',
  right: 'the router that runs is of the version of this program',
  look({ router, version }) {
    const running = /^vllm_router_build_info\{.*?\bversion="([^"]*)"/m.exec(router.metrics?.text ?? '')?.[1]
    if (running === undefined) return silence(router) ?? 'the router does not tell its version'
    if (running === version) return []
    const problem = `it is ${running}, this program ${version}`
    const remedy =
      'restart the router, or use the program that it was started with: flags and routes may differ'
    return [{ about: router.url, problem, remedy }]
  },
}

/** By the word for the worker's state. */
const remedies: Readonly<Record<string, string>> = {
  hung: 'restart that vLLM; its log says what it did last. Its requests go elsewhere meanwhile',
  'breaker open': 'see what fails there: `vllm-router requests --failed --worker <url>`, and its own log',
  busy: 'it has more than it can do: add workers, or admit less with --max-concurrent-requests-per-worker',
  failing: 'see what fails there: `vllm-router requests --failed --worker <url>`, and its own log',
  slow: 'compare its GPU, its queue and its log with those of the others; `vllm-router drain` takes its load away',
}

export const inUse: Check = {
  name: 'in use',
  right: 'the router uses every worker',
  look: asked(({ router }) => {
    const words = describeWorkers(router.workers, new Date())
    return router.workers.flatMap(({ url }, at): Finding[] => {
      const { state, why } = words[at]!
      // What an operator has drained is meant so, and what is down has been asked from here.
      if (!(state in remedies)) return []
      return [{ about: url, problem: `${state}: ${why}`, remedy: remedies[state]!.replace('<url>', url) }]
    })
  }),
}
