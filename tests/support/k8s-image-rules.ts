/** The rules that the Dockerfile keeps, each with a name. A rule gives a sentence for each breach. */

import manifest from '../../package.json' with { type: 'json' }
import {
  all,
  type Copy,
  copiesOf,
  environmentOf,
  execForm,
  last,
  parseDockerfile,
  type Stage,
  stageNamed,
} from './k8s-dockerfile.ts'

export interface ImageRule {
  readonly name: string
  readonly because: string
  check(stages: readonly Stage[], dockerignore: string): Iterable<string>
}

/** The stages that become images. */
export const targets = ['node', 'bun'] as const

function images(stages: readonly Stage[]): readonly Stage[] {
  return targets.map((name) => stageNamed(stages, name))
}

function isRemoved(stage: Stage, path: string): boolean {
  return all(stage, 'RUN').some(({ rest }) => /\brm -rf\b/.test(rest) && rest.split(/\s+/).includes(path))
}

/** What one may copy from the directory that is built: the lines of .dockerignore that start with `!`. */
function sent(dockerignore: string): readonly string[] {
  const lines = dockerignore.split('\n').map((line) => line.trim())
  return lines.filter((line) => line.startsWith('!')).map((line) => line.slice(1))
}

function fromContext(stages: readonly Stage[]): readonly Copy[] {
  return stages.flatMap(copiesOf).filter(({ from }) => from === undefined)
}

export const imageRules: readonly ImageRule[] = [
  {
    name: 'pinned bases',
    because: 'the same source gives the same image, and the tests run on the same runtimes',
    *check(stages) {
      const { node, bun } = manifest.devDependencies
      const pinned = [`node:${node}-bookworm-slim`, `oven/bun:${bun}-slim`, 'scratch']
      for (const { base } of stages)
        if (!pinned.includes(base)) yield `${base} is not one of ${pinned.join(', ')}`
    },
  },
  {
    name: 'Node is the default',
    because: 'without a target, the last stage is built',
    *check(stages) {
      if (stages.at(-1)?.name !== 'node') yield `the last stage is ${stages.at(-1)?.name}`
    },
  },
  {
    name: 'one program',
    because: 'both variants hold the same files, collected in one place, and nothing else of the project',
    *check(stages) {
      for (const image of images(stages)) {
        const copies = copiesOf(image).map(({ from, sources, target }) =>
          [from, ...sources, target].join(' '),
        )
        if (copies.join('; ') !== 'program /app /app') yield `${image.name} copies ${copies.join('; ')}`
      }
    },
  },
  {
    name: 'no build tools',
    because: 'what is not there cannot be used against us',
    *check(stages) {
      for (const image of images(stages))
        for (const { rest } of all(image, 'RUN')) {
          for (const [tool = ''] of rest.matchAll(
            /\b(npm (ci|i|install)|tsc|build-essential|g\+\+|gcc|make|python3?|git|cargo)\b/g,
          ))
            yield `${image.name} runs or installs ${tool}`
        }
      const install = all(stageNamed(stages, 'dependencies'), 'RUN').find(({ rest }) =>
        rest.startsWith('npm ci '),
      )
      for (const kind of ['--omit=dev', '--omit=optional'])
        if (!install?.rest.includes(kind)) yield `the dependencies are installed without ${kind}`
      const node = stageNamed(stages, 'node')
      const there = ['npm', 'npx', 'corepack', 'yarn', 'yarnpkg'].map((name) => `/usr/local/bin/${name}`)
      for (const path of [...there, '/usr/local/lib/node_modules', '/opt/yarn-*'])
        if (!isRemoved(node, path)) yield `${path} stays in the image`
    },
  },
  {
    name: 'curl',
    because: "the deployment guide's commands use it",
    *check(stages) {
      for (const image of images(stages))
        if (!all(image, 'RUN').some(({ rest }) => /apt-get install [^&]*\bcurl\b/.test(rest)))
          yield `${image.name} has no curl`
    },
  },
  {
    name: 'small layers',
    because: "Debian's package lists and recommendations are never used again",
    *check(stages) {
      for (const { rest, line } of stages.flatMap((stage) => all(stage, 'RUN'))) {
        if (!rest.includes('apt-get install')) continue
        if (!rest.includes('--no-install-recommends')) yield `line ${line}: without --no-install-recommends`
        if (!/rm -rf [^&]*\/var\/lib\/apt\/lists\/\*/.test(rest)) yield `line ${line}: lists stay`
      }
    },
  },
  {
    name: 'uid 10001',
    because: 'runAsNonRoot needs a number, and the manifests name this one',
    *check(stages) {
      for (const image of images(stages)) {
        const user = last(image, 'USER')?.rest
        if (user !== '10001:10001') yield `${image.name} runs as ${user ?? 'root'}`
      }
    },
  },
  {
    name: 'signals reach the process',
    because: 'a shell as process 1 swallows SIGTERM: streams would be cut instead of drained',
    *check(stages) {
      for (const image of images(stages)) {
        const entry = execForm(last(image, 'ENTRYPOINT')?.rest)
        if (entry === undefined || /(^|\/)(sh|bash|npm|yarn|tini)$/.test(entry[0] ?? ''))
          yield `${image.name}: the entry point is not the program`
        if (last(image, 'CMD') !== undefined)
          yield `${image.name}: a CMD would be lost with the first argument`
        if (last(image, 'STOPSIGNAL')?.rest !== 'SIGTERM') yield `${image.name}: not stopped with SIGTERM`
      }
    },
  },
  {
    name: 'health by the verb',
    because: 'a check of the router, not of its workers: no restart of a router heals a worker',
    *check(stages) {
      for (const image of images(stages)) {
        const entry = execForm(last(image, 'ENTRYPOINT')?.rest) ?? []
        const asks = [...entry, 'health', '--url', '/liveness'].join(' ')
        const check = execForm(last(image, 'HEALTHCHECK')?.rest)?.join(' ')
        if (check !== asks) yield `${image.name}: ${check ?? 'no HEALTHCHECK in exec form'}`
      }
    },
  },
  {
    name: 'listens to the outside',
    because: 'a router on the loopback of its container serves nobody',
    *check(stages) {
      for (const image of images(stages)) {
        const { VLLM_ROUTER_HOST: api, VLLM_ROUTER_PROMETHEUS_HOST: operations } = environmentOf(image)
        if (api !== '0.0.0.0' || operations !== '0.0.0.0')
          yield `${image.name} listens on ${api}, ${operations}`
        if (last(image, 'EXPOSE')?.rest !== '8080 29000') yield `${image.name} does not expose both ports`
      }
    },
  },
  {
    name: 'no secrets',
    because: 'whoever has the image has its layers and its history',
    *check(stages) {
      for (const { name, rest, line } of stages.flatMap(({ instructions }) => instructions))
        if ((name === 'ARG' || name === 'ENV') && /key|token|secret|password/i.test(rest))
          yield `line ${line}: ${name} ${rest}`
    },
  },
  {
    name: 'nothing from elsewhere',
    because: 'ADD fetches and unpacks; what a package runs while it is installed is not our code',
    *check(stages) {
      for (const { name, rest, line } of stages.flatMap(({ instructions }) => instructions)) {
        if (name === 'ADD') yield `line ${line}: ADD ${rest}`
        if (name === 'RUN' && /\b(curl|wget)\s+(-|http)/.test(rest)) yield `line ${line}: fetches`
        if (name === 'RUN' && rest.startsWith('npm ci') && !rest.includes('--ignore-scripts'))
          yield `line ${line}: packages may run scripts`
      }
    },
  },
  {
    name: 'a context of exactly what is copied',
    because:
      'the builder gets no file that it does not need: no .git, no .env, no node_modules of another system',
    *check(stages, dockerignore) {
      const lines = dockerignore.split('\n').filter((line) => line !== '' && !line.startsWith('#'))
      if (lines[0] !== '*') yield '.dockerignore does not leave out everything first'
      const copied = new Set(fromContext(stages).flatMap(({ sources }) => sources))
      const known = new Set(sent(dockerignore))
      for (const path of copied) if (!known.has(path)) yield `${path} is copied, but not sent`
      for (const path of known) if (!copied.has(path)) yield `${path} is sent, but not copied`
    },
  },
]

/** Breaches as `rule: sentence`. */
export function imageBreaches(dockerfile: string, dockerignore: string): string[] {
  const stages = parseDockerfile(dockerfile)
  return imageRules.flatMap(({ name, check }) =>
    [...check(stages, dockerignore)].map((breach) => `${name}: ${breach}`),
  )
}
