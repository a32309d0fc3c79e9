/**
 * The walls of the house: who imports whom, where each dependency lives, how large a file may be.
 * The rules are the tables below; a change of the architecture changes a line here, with its reason.
 */

import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { breachesOf, type Rules, type Sources } from '../support/import-rules.ts'
import { importsOf, usesGlobal } from '../support/imports.ts'

const rules: Rules = {
  rooms: [
    {
      room: 'app',
      mayImport: ['app', 'http', 'middleware', 'policies', 'package.json'],
      because: 'app knows its parts, and the simulation is not one',
    },
    {
      room: 'app/cli/demo.ts',
      mayImport: ['app', 'sim'],
      because: 'the demo starts simulated workers, no tests',
    },
    {
      room: 'http',
      mayImport: ['http'],
      because: 'the vocabulary of requests and answers is below everything',
    },
    {
      room: 'middleware',
      mayImport: ['middleware', 'http', 'policies/limits'],
      because: 'middleware is HTTP in, HTTP out, and knows nothing of workers',
    },
    {
      room: 'policies',
      mayImport: ['policies'],
      because: 'policies see the small interface that they declare themselves',
    },
    {
      room: 'policies/limits',
      mayImport: ['policies/limits', 'http'],
      because: 'how many may be served at once does not hang on who is chosen',
    },
    {
      room: 'policies/selection',
      mayImport: ['policies/selection'],
      because: 'who is chosen and how it is protected are two questions',
    },
    {
      room: 'policies/resilience',
      mayImport: ['policies/resilience'],
      because: 'who is chosen and how it is protected are two questions',
    },
    {
      room: 'sim',
      mayImport: ['sim'],
      because: 'a simulation that shares code with the router shares its mistakes',
    },
    {
      room: 'tests',
      mayImport: [
        'app',
        'http',
        'middleware',
        'policies',
        'sim',
        'bench',
        'tests',
        'examples',
        'package.json',
      ],
      because: 'tests see everything',
    },
    {
      room: 'bench',
      mayImport: ['bench'],
      because: 'what is measured is a process that was started like any other, never code that was imported',
    },
    {
      room: 'bench/policies',
      mayImport: ['bench/policies', 'bench/bar-chart.ts', 'policies/selection'],
      because: 'the simulation runs the code of the policies themselves, and nothing else of the router',
    },
    {
      room: 'bench/reasons',
      mayImport: ['bench/reasons', 'app/api', 'app/telemetry', 'http', 'middleware', 'policies/limits'],
      because: 'a part of the router is measured alone, in turns with what it stands in for',
    },
    { room: 'examples', mayImport: [], because: 'an example uses the package, as its reader will' },
  ],
  packages: [
    {
      things: ['cockatiel'],
      onlyIn: ['policies/resilience'],
      because: 'the circuit breaker can be replaced in one room',
    },
    {
      things: ['@opentelemetry/'],
      onlyIn: ['app/telemetry/otel'],
      because: 'traces cost nothing where there are none: this room is loaded only when they are wanted',
    },
    {
      things: ['prom-client'],
      onlyIn: ['app/telemetry', 'bench/reasons'],
      because: 'every metric is declared in one place',
    },
    {
      things: ['pino', 'pino-pretty'],
      onlyIn: ['app/telemetry', 'tests'],
      because: 'what may be logged is decided in one place',
    },
    {
      things: ['ioredis'],
      onlyIn: ['app/limits-store'],
      because: 'the store of limits can be replaced in one room, which is loaded only when it is wanted',
    },
    {
      things: ['yaml'],
      onlyIn: ['app/config', 'tests'],
      because: 'configuration is read in one place (tests read manifests)',
    },
    {
      things: ['xxhash-wasm'],
      onlyIn: ['http/prompt-chain.ts'],
      because: 'all replicas must hash a prompt alike',
    },
    {
      things: ['jose'],
      onlyIn: ['middleware/json-web-token.ts', 'tests'],
      because: 'it is loaded only where tokens are taken',
    },
    { things: ['undici'], onlyIn: ['bench'], because: 'the router has an HTTP client of its own' },
    {
      things: ['@hono/node-server', 'bun', 'bun:'],
      onlyIn: ['app/runtime', 'bench'],
      because: 'all else runs on Bun and Node alike',
    },
  ],
  globals: [
    {
      things: ['Bun'],
      // Each runtime collects garbage in its own way.
      onlyIn: ['app/runtime', 'bench', 'tests/support/live-memory.ts', 'tests/support/heap-in-use.ts'],
      because: 'all else runs on Bun and Node alike',
    },
    {
      things: ['process.env'],
      onlyIn: ['app/config', 'sim/main.ts', 'tests', 'bench'],
      because: 'settings come from one place, each with a name and a check',
    },
  ],
  computed: {
    things: [],
    onlyIn: ['app/config', 'tests', 'bench'],
    because: 'only configuration loads files that the project does not know',
  },
  floors: [
    'app/upstream',
    'app/runtime',
    'app/config/kinds',
    'app/config/settings',
    'app/config',
    'app/limits-store',
    'app/usage',
    'app/request',
    'app/workers',
    'app/workers/discovery/kubernetes',
    'app/workers/discovery',
    'app/relay',
    'app/telemetry',
    'app/operations',
    'app/api',
    'app/gateway',
    'app/processes',
    'app/cli',
    'app',
  ],
  noCycles: ['app', 'http', 'middleware', 'policies', 'sim'],
}

/** A file that fits on a few screens is read; one that does not is skimmed. */
const mostLines = 300
const linesCountIn = ['app', 'http', 'middleware', 'policies', 'sim', 'bench', 'examples']
/** Names that say nothing attract everything. */
const emptyNames = /^(utils?|common|types?|helpers?|misc)\.[cm]?tsx?$/

const root = fileURLToPath(new URL('../..', import.meta.url))

function readSources(): Sources {
  const sources = new Map<string, string>()
  for (const { room } of rules.rooms) {
    if (room.includes('/') || !existsSync(join(root, room))) continue
    const files = readdirSync(join(root, room), { recursive: true, encoding: 'utf8' })
    for (const file of files) {
      if (/\.[cm]?tsx?$/.test(file))
        sources.set(`${room}/${file}`, readFileSync(join(root, room, file), 'utf8'))
    }
  }
  return sources
}

describe('the architecture', () => {
  const sources = readSources()

  test('imports keep to the rooms, dependencies to theirs, and nothing runs in circles', () => {
    assert.ok(sources.size > 20, 'the sources were found')
    assert.deepEqual(breachesOf(sources, rules), [])
  })

  test(`no file has more than ${mostLines} lines`, () => {
    const long = [...sources]
      .filter(([file]) => linesCountIn.includes(file.split('/', 1)[0] ?? ''))
      .map(([file, source]) => [file, source.trimEnd().split('\n').length] as const)
      .filter(([, lines]) => lines > mostLines)
    assert.deepEqual(long, [])
  })

  test('every file has a name that says what is in it', () => {
    const empty = [...sources.keys()].filter((file) => emptyNames.test(file.split('/').at(-1) ?? ''))
    assert.deepEqual(empty, [])
  })
})

describe('the checker itself', () => {
  const found = (source: string) =>
    importsOf(source).map(({ specifier, typeOnly }) => `${specifier}${typeOnly ? ' type' : ''}`)

  test('finds imports of every kind', () => {
    const cases: readonly (readonly [string, readonly string[]])[] = [
      [`import a from './a.ts'`, ['./a.ts']],
      [`import a, { b as c } from "./a.ts"`, ['./a.ts']],
      [`import * as a from './a.ts'; import './b.ts'`, ['./a.ts', './b.ts']],
      [`import type { A } from './a.ts'`, ['./a.ts type']],
      [`import type A from './a.ts'\nimport type from './b.ts'`, ['./a.ts type', './b.ts']],
      [`import { type A } from './a.ts'`, ['./a.ts']],
      [`import {\n  from,\n  type A,\n} from './a.ts'\n`, ['./a.ts']],
      [`export * from './a.ts'\nexport * as b from './b.ts'`, ['./a.ts', './b.ts']],
      [`export { a } from './a.ts'\nexport type { B } from './b.ts'`, ['./a.ts', './b.ts type']],
      [`const a = await import('./a.ts')`, ['./a.ts']],
      ['const a = await import(`./a.ts`)', ['./a.ts']],
      [`await import(bun ? './a.ts' : './b.ts')`, ['./a.ts', './b.ts']],
      [`await import(path)`, ['undefined']],
      [`await import(\`./\${name}.ts\`)`, ['undefined']],
      [`type A = import('./a.ts').A; type B = typeof import('./b.ts')`, ['./a.ts', './b.ts']],
      [`const a = require('./a.cjs')`, ['./a.cjs']],
      [
        `const text = \`\${await import('./a.ts')} and \${\`\${await import('./b.ts')}\`}\``,
        ['./a.ts', './b.ts'],
      ],
      [`const pattern = /['"\`]/; import('./a.ts')`, ['./a.ts']],
      [`const half = a / b; const c = "/"; import './a.ts' // /`, ['./a.ts']],
    ]
    for (const [source, expected] of cases) assert.deepEqual(found(source), expected, source)
  })

  test('sees none where there is none', () => {
    for (const source of [
      `// import a from './a.ts'`,
      `/* import './a.ts' */ /** import('./b.ts') */`,
      `const text = "import a from './a.ts'"`,
      "const text = `import './a.ts'`",
      `export const a = 1\nexport { a }\nexport default a`,
      `const a = { import: './a.ts', export: 1 }; a.import('./b.ts')`,
      `const url = import.meta.url`,
      `const pattern = /import '.\\/a.ts'/`,
    ]) {
      assert.deepEqual(found(source), [], source)
    }
  })

  test('tells a global from a field, a string and a comment', () => {
    for (const source of [
      'Bun.serve({})',
      'typeof Bun',
      'globalThis.Bun',
      'const { serve } = Bun',
      `\`\${Bun.version}\``,
    ]) {
      assert.ok(usesGlobal(source, 'Bun'), source)
    }
    for (const source of [
      'process.versions.bun',
      '"Bun"',
      '// Bun',
      'x.Bun',
      '{ Bun: 1 }',
      `\`Bun \${1}\``,
      'Bundle',
    ]) {
      assert.ok(!usesGlobal(source, 'Bun'), source)
    }
    assert.ok(usesGlobal('const a = process.env.HOME', 'process.env'))
    assert.ok(usesGlobal('globalThis.process.env', 'process.env'))
    assert.ok(!usesGlobal('process.exit(); this.env; "process.env"', 'process.env'))
  })

  const breaches = (files: Readonly<Record<string, string>>) =>
    breachesOf(new Map(Object.entries(files)), rules)

  /** Each line is a made-up file and the thing in it that breaks a rule. */
  const wrong: readonly (readonly [string, string, RegExp])[] = [
    [
      'app/gateway/gateway.ts',
      `import '../../sim/a.ts'`,
      /app\/gateway\/gateway.ts imports sim\/a.ts: app knows/,
    ],
    ['app/gateway/gateway.ts', `import type { A } from '../../tests/a.ts'`, /imports tests\/a.ts/],
    ['app/cli/demo.ts', `import '../../bench/a.ts'`, /imports bench\/a.ts/],
    ['http/a.ts', `import '../middleware/a.ts'`, /imports middleware\/a.ts/],
    ['app/relay/a.ts', `import type { A } from '../api/a.ts'`, /higher floor/],
    ['middleware/a.ts', `export * from '../app/a.ts'`, /imports app\/a.ts/],
    ['middleware/a.ts', `await import('../policies/a.ts')`, /imports policies\/a.ts/],
    ['policies/a.ts', `import '../middleware/a.ts'`, /imports middleware\/a.ts/],
    ['policies/selection/a.ts', `import '../resilience/a.ts'`, /imports policies\/resilience\/a.ts/],
    ['policies/resilience/a.ts', `import '../selection/a.ts'`, /imports policies\/selection\/a.ts/],
    ['sim/a.ts', `import '../policies/a.ts'`, /imports policies\/a.ts/],
    ['bench/a.ts', `import '../app/index.ts'`, /imports app\/index.ts: what is measured/],
    ['examples/a.ts', `import '../app/index.ts'`, /imports app\/index.ts/],
    ['app/relay.ts', `import 'cockatiel'`, /imports cockatiel/],
    ['app/workers/a.ts', `import { Gauge } from 'prom-client'`, /imports prom-client/],
    ['sim/a.ts', `import { serve } from '@hono/node-server'`, /imports @hono\/node-server/],
    ['app/api/api.ts', `import '@hono/node-server/conninfo'`, /imports @hono\/node-server/],
    ['middleware/a.ts', `import 'bun:sqlite'`, /imports bun:sqlite/],
    ['tests/a.ts', `Bun.sleep(1)`, /uses Bun/],
    ['app/cli/cli.ts', `import 'yaml'`, /imports yaml/],
    ['app/gateway/gateway.ts', `import pino from 'pino'`, /imports pino/],
    ['app/relay/a.ts', `import '@opentelemetry/api'`, /imports @opentelemetry\/api/],
    ['app/main.ts', `process.env.HOME`, /uses process.env/],
    ['sim/fleet.ts', `process.env.HOME`, /uses process.env/],
    ['app/plugins.ts', `await import(path)`, /imports a computed path/],
    ['app/a.ts', `import './gone.ts'`, /app\/gone.ts, which is not there/],
    ['elsewhere/a.ts', `import '../app/a.ts'`, /is in no room/],
  ]
  for (const [file, source, expected] of wrong) {
    test(`objects to ${source} in ${file}`, () => {
      const target = importsOf(source)[0]?.specifier ?? ''
      const there =
        target.startsWith('.') && !target.includes('gone') ? { [join(file, '..', target)]: '' } : {}
      const said = breaches({ ...there, [file]: source })
      assert.equal(said.length, 1, said.join('\n'))
      assert.match(said[0] ?? '', expected)
    })
  }

  test('has nothing against what is allowed', () => {
    const files = {
      'app/cli/demo.ts': `import { a } from '../../sim/fleet.ts'; import '../gateway/gateway.ts'`,
      'app/gateway/gateway.ts': `import '../../middleware/a.ts'; import '../../policies/selection/a.ts'; import 'hono'`,
      'app/runtime/node.ts': `import '@hono/node-server'; Bun.serve; import 'node:http'`,
      'app/config/load.ts': `import 'yaml'; process.env; import(path)`,
      'app/telemetry/a.ts': `import 'pino'; import 'prom-client'`,
      'policies/resilience/a.ts': `import 'cockatiel'`,
      'policies/selection/a.ts': '',
      'middleware/a.ts': `import type { Context } from 'hono'`,
      'sim/fleet.ts': '',
      'sim/main.ts': `process.env; import './fleet.ts'`,
      'tests/a.test.ts': `import '../app/gateway/gateway.ts'; import '../sim/fleet.ts'; process.env`,
      'bench/a.ts': `import './load/b.ts'; import 'undici'; Bun.serve`,
      'bench/load/b.ts': '',
      'examples/a.ts': `import 'vllm-router'; import 'openai'`,
    }
    assert.deepEqual(breaches(files), [])
  })

  test('finds a cycle once, and none where only types go round', () => {
    const ring = {
      'app/a.ts': `import './b.ts'`,
      'app/b.ts': `export * from './c.ts'`,
      'app/c.ts': `import './a.ts'`,
    }
    assert.deepEqual(breaches(ring), ['import cycle: app/a.ts -> app/b.ts -> app/c.ts -> app/a.ts'])
    assert.deepEqual(breaches({ ...ring, 'app/c.ts': `import type { A } from './a.ts'` }), [])
  })
})
