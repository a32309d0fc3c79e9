import assert from 'node:assert/strict'
import { existsSync, globSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, posix } from 'node:path'
import { describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { parseCommand } from '../../app/cli/cli.ts'
import { ownFlags } from '../../app/cli/verbs.ts'
import { settingNames } from '../../app/config/settings.ts'
import manifest from '../../package.json' with { type: 'json' }

const root = fileURLToPath(new URL('../../', import.meta.url))
const read = (file: string) => readFileSync(join(root, file), 'utf8')
const architecture = read('docs/architecture.md')
/** The tree: the first block of code. */
const tree = /```text\n([^`]*)```/.exec(architecture)?.[1] ?? ''

/** All pages but the one that is generated. */
const pages = [
  'README.md',
  'CONTRIBUTING.md',
  'CHANGELOG.md',
  'SECURITY.md',
  ...globSync('{docs,examples}/**/*.md', { cwd: root }),
]
  .map((page) => page.replaceAll('\\', '/'))
  .filter((page) => page !== 'docs/configuration.md')

function directoriesIn(place: string, recursive = false): string[] {
  return readdirSync(join(root, place), { withFileTypes: true, recursive })
    .filter((entry) => entry.isDirectory() && readdirSync(join(entry.parentPath, entry.name)).length > 0)
    .map(({ name }) => name)
}

describe('docs/architecture.md', () => {
  test('fits two screens', () => {
    const lines = architecture.split('\n').length
    assert.ok(
      lines <= 130,
      `docs/architecture.md has ${lines} lines, 130 are allowed: say it in fewer, or in another page`,
    )
  })

  test('names every room at the top and every directory in the three rooms of the program', () => {
    const outside = ['node_modules', 'dist']
    const tops = directoriesIn('.').filter((name) => !name.startsWith('.') && !outside.includes(name))
    const inner = ['app', 'http', 'middleware', 'policies'].flatMap((place) => directoriesIn(place, true))
    for (const name of [...tops, ...inner])
      assert.match(tree, new RegExp(`(^|\\s)${name}/(\\s|$)`, 'm'), `${name}/ is not in the tree`)
  })

  test('names every file at the top of app', () => {
    for (const file of readdirSync(join(root, 'app')).filter((name) => name.endsWith('.ts')))
      assert.match(tree, new RegExp(`(^|\\s)${file}(\\W|$)`, 'm'), `app/${file} is not in the tree`)
  })

  test('names no room and no file that is not there', () => {
    const files = globSync('{app,http,middleware,policies,sim,tests}/**/*.ts', { cwd: root })
    const known = new Set(files.map((file) => posix.basename(file.replaceAll('\\', '/'))))
    for (const [, name = ''] of architecture.matchAll(/(?<![\w<>./-])([\w-]+\.ts)\b/g))
      assert.ok(known.has(name), `there is no file ${name}`)
    for (const [, path = ''] of architecture.matchAll(
      /`((?:app|http|middleware|policies|tests|docs)\/[\w./-]*\w)\/?`/g,
    ))
      assert.ok(existsSync(join(root, path)), `there is no ${path}`)
    const rooms = [...tree.matchAll(/(?:^|\s)([\w-]+)\/(?=\s)/gm)].map(([, name = '']) => name)
    const inside = ['cli', 'config', 'workers', 'workers/discovery', 'telemetry', 'operations'].map(
      (room) => `app/${room}`,
    )
    const places = ['', 'app', ...inside, 'http', 'middleware', 'policies', 'tests']
    for (const room of rooms)
      assert.ok(
        places.some((place) => existsSync(join(root, place, room))),
        `there is no ${room}/`,
      )
  })
})

describe('the documents', () => {
  test('link only to what is there', () => {
    for (const page of pages) {
      for (const [, target = ''] of read(page).matchAll(/\]\(([^)#\s]+)[^)]*\)/g)) {
        if (/^https?:/.test(target)) continue
        assert.ok(existsSync(join(root, dirname(page), target)), `${page} links to ${target}`)
      }
    }
  })

  test('name only flags that exist', () => {
    const programs = [
      'bench/main.ts',
      'bench/policies/main.ts',
      'bench/policies-live.ts',
      'bench/classes-live.ts',
    ]
      .map(read)
      .join('\n')
    const benchFlags = [...programs.matchAll(/^ {2}--([\w-]+)/gm)].map(([, flag]) => flag)
    // Of npm, git, curl, Bun, Node, Prometheus and vLLM; and those of the router and its verbs that are no settings.
    const others =
      'only frozen-lockfile data-binary noEmit test test-name-pattern enable-feature provenance sbom from-literal'.split(
        ' ',
      )
    others.push('scheduling-policy', 'help', 'version', 'no-enable-trace', ...Object.keys(ownFlags))
    for (const page of pages) {
      for (const [, flag = ''] of read(page).matchAll(/(?<![\w-])--([a-zA-Z][\w-]*)(?!\*)/g)) {
        if (others.includes(flag) || benchFlags.includes(flag) || flag.endsWith('-')) continue
        assert.ok(settingNames.includes(flag), `${page} names --${flag}`)
      }
    }
  })

  test('name only scripts and verbs that exist', () => {
    for (const page of pages) {
      const text = read(page)
      for (const [, script = ''] of text.matchAll(/(?:npm|bun) run ([\w-]+)/g))
        assert.ok(script in manifest.scripts, `${page} names the script ${script}`)
      for (const [, verb = ''] of text.matchAll(/`vllm-router ([a-z-]+)/g))
        assert.notEqual(parseCommand([verb]).verb, 'wrong', `${page} names the verb ${verb}`)
    }
  })

  test('keep their prose within 120 columns', () => {
    for (const page of pages) {
      let inCode = false
      for (const [index, line] of read(page).split('\n').entries()) {
        if (line.startsWith('```')) inCode = !inCode
        if (inCode || line.startsWith('|')) continue
        assert.ok([...line].length <= 120, `${page}:${index + 1} has ${[...line].length} columns`)
      }
    }
  })

  test('name in CONTRIBUTING.md only files and folders that are there', () => {
    const paths = read('CONTRIBUTING.md').matchAll(
      /`((?:app|http|middleware|policies|tests|docs)\/[\w./-]*\w)\/?`/g,
    )
    for (const [, path = ''] of paths) assert.ok(existsSync(join(root, path)), `there is no ${path}`)
  })

  test('name in CONTRIBUTING.md, in brackets behind a file, what stands in it', () => {
    const pairs = [...read('CONTRIBUTING.md').matchAll(/`((?:app|middleware)\/[\w./-]+\.ts)` \(`([#\w]+)`/g)]
    assert.ok(pairs.length > 3)
    for (const [, path = '', name = ''] of pairs)
      assert.ok(read(path).includes(name), `${path} has no ${name}`)
  })
})
