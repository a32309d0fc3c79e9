import { runtimeTooOld } from '../runtime-floor.ts'
import type { Check, Facts, Finding } from './facts.ts'

export const ports: Check = {
  name: 'ports',
  right: 'the ports are free, or the router has them',
  look({ ports, router }) {
    if (ports === undefined) return `the router that is asked is at ${router.url}`
    return ports
      .filter(({ fault, isRouter }) => fault !== undefined && !isRouter)
      .map(({ flag, address, fault = '' }) => ({
        about: address,
        problem: fault,
        remedy: portRemedy(fault, flag),
      }))
  },
}

function portRemedy(fault: string, flag: string): string {
  if (fault.includes('in use'))
    return `stop what listens there (ss -ltnp names it), or choose another --${flag}`
  if (fault.includes('privileges'))
    return `choose a port from 1024 on with --${flag}, and have a proxy in front`
  return `name an address of this machine with ${flag === 'port' ? '--host' : '--prometheus-host'}, or 0.0.0.0`
}

/** A request has a connection of its client and one to its worker; one that waits has only the first. */
const connectionsPerRequest = 2
/** Requests at once for which there should be room where no cap is set. */
const usualRequests = 500

export const openFiles: Check = {
  name: 'open files',
  right: 'the limit of open files leaves room for what the settings allow',
  look(facts) {
    const { connectionLimit: room, ports } = facts
    if (ports === undefined) return 'the router that is asked may run elsewhere'
    if (room === Number.POSITIVE_INFINITY) return 'the system does not tell the limit'
    const { needed, why } = connectionsNeeded(facts)
    if (needed <= room) return []
    return [
      {
        about: 'limit of open files',
        problem: `it leaves room for ${room} connections of a process, and ${why}`,
        remedy: `raise it to ${Math.ceil((needed + 200) * 1.1)}: ulimit -n, LimitNOFILE= of systemd, --ulimit nofile= of Docker; or allow fewer requests with --max-concurrent-requests`,
      },
    ]
  },
}

function connectionsNeeded({ config, workers }: Facts): { needed: number; why: string } {
  const { maxConcurrentRequests: cap, queueSize, maxConcurrentRequestsPerWorker: perWorker } = config
  const processes = config.processes === 'auto' ? 1 : config.processes
  if (cap !== undefined) {
    // What waits may all have come to one process.
    const needed = Math.ceil((cap * connectionsPerRequest) / processes) + queueSize
    return { needed, why: `--max-concurrent-requests ${cap} with --queue-size ${queueSize} needs ${needed}` }
  }
  if (perWorker !== undefined && workers.length > 0) {
    const needed = Math.ceil((perWorker * workers.length * connectionsPerRequest) / processes)
    return {
      needed,
      why: `--max-concurrent-requests-per-worker ${perWorker} with ${workers.length} workers needs ${needed}`,
    }
  }
  const needed = usualRequests * connectionsPerRequest
  return { needed, why: `no cap is set: ${usualRequests} requests at once need ${needed}` }
}

export const runtime: Check = {
  name: 'runtime',
  right: 'the runtime is new enough',
  look({ versions }) {
    const problem = runtimeTooOld(versions)
    return problem === undefined ? [] : [{ about: 'runtime', problem, remedy: 'install a newer one' }]
  },
}

/** Days. Whoever renews certificates does it earlier, as a rule. */
const renewedDays = 14

export const certificates: Check = {
  name: 'certificates',
  right: `the certificates of the listeners hold for ${renewedDays} days more`,
  look({ certificates: shown }) {
    if (shown.length === 0) return 'the listeners speak plain HTTP'
    return shown
      .filter(({ expiresAt }) => expiresAt - Date.now() < renewedDays * 86_400_000)
      .map(({ about, expiresAt }): Finding => {
        const problem = `its certificate expires at ${new Date(expiresAt).toISOString()}`
        return { about, problem, remedy: 'renew it; a running router takes the new files over by itself' }
      })
  },
}

const loopback = ['127.0.0.1', 'localhost', '::1']

export const podAddresses: Check = {
  name: 'addresses',
  right: 'what is to be reached from outside the pod listens for it',
  look({ env, config }) {
    if (env.KUBERNETES_SERVICE_HOST === undefined) return 'this is no pod'
    const listeners = [
      { host: config.host, flag: '--host', who: 'no Service and no client reaches it' },
      {
        host: config.prometheusHost,
        flag: '--prometheus-host',
        who: 'neither probes nor Prometheus reach it',
      },
    ]
    return listeners
      .filter(({ host }) => loopback.includes(host))
      .map(
        ({ host, flag, who }): Finding => ({
          about: `${flag} ${host}`,
          problem: `within a pod that is the pod alone: ${who}`,
          remedy: `${flag} 0.0.0.0, with keys (--router-api-keys, --admin-api-key)`,
        }),
      )
  },
}
