import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { cp, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join, relative } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import manifest from '../../package.json' with { type: 'json' }
import { runtimeBinary, startProgram, thisRuntime } from '../support/child.ts'
import { eventually, within } from '../support/deadline.ts'
import { rawRequest } from '../support/raw-client.ts'

const run = promisify(execFile)
const root = fileURLToPath(new URL('../../', import.meta.url))
const timeout = 60_000

/** What a user gets who installs the package: the tarball, unpacked beside its dependencies and nothing else. */
let home = ''
let installed = ''
let files: readonly string[] = []

/** The package manager that goes with the runtime; both must make the same package. */
async function pack(into: string): Promise<void> {
  if (thisRuntime === 'node') {
    await run('npm', ['pack', '--ignore-scripts', '--pack-destination', into], { cwd: root })
  } else {
    await run(process.execPath, ['pm', 'pack', '--ignore-scripts', '--destination', into], { cwd: root })
  }
}

/** Only what users of the package get too: an import of a development dependency must fail here. */
async function linkDependencies(modules: string): Promise<void> {
  const lock = JSON.parse(await readFile(join(root, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, { dev?: true; devOptional?: true }>
  }
  for (const [path, { dev, devOptional }] of Object.entries(lock.packages)) {
    const top = path.startsWith('node_modules/') && path.lastIndexOf('node_modules/') === 0
    if (!top || dev || devOptional) continue
    const link = join(modules, path.slice('node_modules/'.length))
    await mkdir(dirname(link), { recursive: true })
    await symlink(join(root, path), link)
  }
}

async function filesBelow(directory: string): Promise<string[]> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true })
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => relative(directory, join(entry.parentPath, entry.name)))
    .sort()
}

before(
  async () => {
    if (!existsSync(join(root, 'dist/app/main.js')))
      assert.fail('dist/ is missing: run `npm run build` first (npm test without a path does it by itself)')
    home = await mkdtemp(join(tmpdir(), 'vllm-router-package-'))
    await pack(home)
    const tarball = (await readdir(home)).find((name) => name.endsWith('.tgz'))
    assert.ok(tarball)
    installed = join(home, 'node_modules', 'vllm-router')
    await mkdir(installed, { recursive: true })
    await run('tar', ['xzf', join(home, tarball), '-C', installed, '--strip-components=1'])
    await linkDependencies(join(home, 'node_modules'))
    await writeFile(join(home, 'package.json'), '{ "type": "module" }\n')
    files = await filesBelow(installed)
  },
  { timeout },
)

after(() => rm(home, { recursive: true, force: true }))

/** Runs a program of that home to its end. */
async function runToEnd(file: string, args: readonly string[]) {
  const program = startProgram({ file: relative(root, file), args })
  const { code } = await within(20_000, program.exited, `the end of ${file} ${args.join(' ')}`)
  return { code, out: program.lines().join('\n'), err: program.stderr() }
}

const main = () => join(installed, 'dist/app/main.js')

describe('the package', () => {
  test('holds the program, its types, its source and its papers, and nothing else', () => {
    const tops = new Set(files.map((file) => file.split('/')[0]))
    const papers = ['package.json', 'README.md', 'LICENSE', 'CHANGELOG.md']
    assert.deepEqual(
      [...tops].sort(),
      [...papers, 'app', 'dist', 'http', 'middleware', 'policies', 'sim'].sort(),
    )
    for (const needed of ['dist/app/main.js', 'dist/app/index.js', 'dist/app/index.d.ts', 'app/index.ts'])
      assert.ok(files.includes(needed), needed)
    const unwanted = files.filter((file) =>
      /\.test\.|(^|\/)(tests?|support|bench|node_modules)\/|\.(env|pem|key|log|tgz|map|lock)$/.test(file),
    )
    assert.deepEqual(unwanted, [])
  })

  test('is built from exactly the source that it holds', () => {
    const page = 'app/operations/page/'
    const sources = files.filter((file) => file.endsWith('.ts') && !file.startsWith('dist/'))
    const compiled = sources.flatMap((file) => {
      if (file.startsWith(page)) return []
      const built = `dist/${file.slice(0, -'.ts'.length)}`
      return [`${built}.js`, `${built}.d.ts`]
    })
    const copied = files.filter((file) => file.startsWith(page)).map((file) => `dist/${file}`)
    const expected = [...compiled, ...copied]
    const built = files.filter((file) => file.startsWith('dist/') && file !== 'dist/package.json')
    const stale =
      'dist/ is not what the source gives: run `npm run build` (npm test without a path does it by itself)'
    assert.deepEqual(built, expected.sort(), stale)
  })

  test('runs: version, help, and a check of a configuration that is right or wrong', {
    timeout,
  }, async () => {
    const version = await runToEnd(main(), ['--version'])
    assert.deepEqual(version, { code: 0, out: `vllm-router ${manifest.version}`, err: '' })
    const help = await runToEnd(main(), ['--help'])
    assert.deepEqual([help.code, help.err], [0, ''])
    assert.match(help.out, /--worker-urls/)
    assert.deepEqual(await runToEnd(main(), ['check-config', '--worker-urls', 'http://gpu1:8000']), {
      code: 0,
      out: 'ok',
      err: '',
    })
    const wrong = await runToEnd(main(), ['check-config', '--port', '99999'])
    assert.equal(wrong.code, 2)
    assert.match(wrong.err, /99999/)
  })

  test('starts the demo and answers a chat', { timeout }, async (t) => {
    const args = ['--demo', '2', '--port', '0', '--prometheus-port', '0', '--log-format', 'json']
    const program = startProgram({ file: relative(root, main()), args, t })
    const api = await program.line(
      (line) => /"api":"([^"]+)"/.exec(line)?.[1],
      'the line "listening"',
      20_000,
    )
    const port = Number(new URL(api).port)
    const ready = async () => (await rawRequest({ port, path: '/readiness' }).text()).status === 200
    await eventually(ready, { what: 'a worker is available' })
    const listed = await within(5000, rawRequest({ port, path: '/v1/models' }).text(), 'the list of models')
    const model = JSON.parse(listed.text).data[0]?.id as string
    const json = { model, messages: [{ role: 'user', content: 'hello' }], max_tokens: 4 }
    const exchange = rawRequest({ port, path: '/v1/chat/completions', json })
    const { status, text } = await within(10_000, exchange.text(), 'the answer')
    assert.equal(status, 200, text)
    assert.match(JSON.parse(text).choices[0].message.content, /\w/)
  })

  test('is a library', { timeout }, async () => {
    const program = join(home, 'use.mjs')
    await writeFile(
      program,
      `import { createGateway, RouterError } from 'vllm-router'
       const gateway = await createGateway({ middleware: [() => { throw new RouterError('forbidden', 'no') }] })
       const health = await gateway.fetch(new Request('http://x/health'))
       const chat = await gateway.fetch(new Request('http://x/v1/embeddings', {
         method: 'POST', headers: { 'content-type': 'application/json' }, body: '{"model":"m","input":"i"}' }))
       console.log(health.status, await health.text(), chat.status, (await chat.json()).error.code)
       await gateway.close()`,
    )
    const { code, out, err } = await runToEnd(program, [])
    assert.deepEqual([code, out, err], [0, '200 All servers healthy 403 forbidden', ''])
  })

  test('runs the examples as configuration files, its errors being errors of its own', {
    timeout,
  }, async () => {
    await cp(join(root, 'examples'), join(home, 'examples'), { recursive: true })
    for (const name of ['tenant-header', 'custom-policy']) {
      const config = join(home, 'examples', name, 'router.config.ts')
      const { code, out, err } = await runToEnd(main(), ['check-config', '--config', config])
      assert.deepEqual([code, out, err], [0, 'ok', ''], name)
    }
  })

  test('carries types: the examples compile against it, and a wrong option does not', {
    timeout,
  }, async () => {
    await cp(join(root, 'examples'), join(home, 'examples'), { recursive: true })
    await writeFile(
      join(home, 'examples', 'wrong.ts'),
      `import { createGateway } from 'vllm-router'
       // @ts-expect-error: a port is a number or a text
       await createGateway({ port: {} })
       // @ts-expect-error: there is no such option
       await createGateway({ prot: 1 })`,
    )
    const compilerOptions = {
      module: 'nodenext',
      target: 'es2024',
      lib: ['es2024'],
      strict: true,
      noEmit: true,
      skipLibCheck: true,
      types: ['node'],
      typeRoots: [join(root, 'node_modules/@types')],
    }
    await writeFile(join(home, 'tsconfig.json'), JSON.stringify({ compilerOptions, include: ['examples'] }))
    const compiler = join(root, 'node_modules/typescript/bin/tsc')
    const checked = await run(runtimeBinary(thisRuntime), [compiler, '-p', home]).catch(
      (error: { stdout: string }) => error,
    )
    assert.equal(checked.stdout, '')
  })
})
