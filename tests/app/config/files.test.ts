import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { loadConfig } from '../../../app/config/load-config.ts'
import { formatProblems } from '../../../app/config/problem.ts'

let folder = ''
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'router-config-'))
  await writeFile(join(folder, 'package.json'), '{"type":"module"}')
})
after(() => rm(folder, { recursive: true }))

async function load(name: string, content?: string) {
  if (content !== undefined) await writeFile(join(folder, name), content)
  return loadConfig({ argv: ['--config', name], env: {}, cwd: folder })
}

async function portOf(name: string, content: string): Promise<number> {
  const result = await load(name, content)
  if (!result.ok) assert.fail(formatProblems(result.faults))
  return result.config.port
}

async function faultOf(name: string, content?: string): Promise<string> {
  const result = await load(name, content)
  return result.ok ? '' : formatProblems(result.faults).split('\n').slice(1).join('\n')
}

describe('configuration files', () => {
  test('YAML, JSON, TypeScript and JavaScript mean the same', async () => {
    assert.equal(await portOf('a.yaml', '# the port\nport: 8123\n'), 8123)
    assert.equal(await portOf('a.yml', '{ port: 8123 }'), 8123)
    assert.equal(await portOf('a.json', '{\n\t"port": 8123\n}\n'), 8123)
    assert.equal(await portOf('object.ts', 'const port: number = 8123\nexport default { port }'), 8123)
    assert.equal(await portOf('kebab.mjs', "export default { 'port': '8123', 'queue-size': 1 }"), 8123)
    assert.equal(await portOf('function.ts', 'export default () => ({ port: 8123 })'), 8123)
    assert.equal(
      await portOf('later.js', 'export default async () => ({ port: 8123, host: undefined })'),
      8123,
    )
  })

  test('a file without settings is fine', async () => {
    for (const content of ['', '# nothing yet\n', '{}', '---\n'])
      assert.equal(await portOf('b.yaml', content), 8080)
  })

  test('a program carries code; YAML cannot', async () => {
    const content =
      'export default { policy: "mine", selectionPolicies: { mine: () => ({ select: ([c]) => c }) } }'
    const result = await load('code.ts', content)
    assert.equal(result.ok && typeof result.config.selectionPolicies.mine, 'function')
    assert.match(
      await faultOf('c.yaml', 'selection-policies: {}'),
      /c\.yaml:1:21 .*not possible in this file/,
    )
  })

  test('values of a program are checked with file and key', async () => {
    const fault = await faultOf('wrong.ts', 'export default { port: -1, worker_urls: [1], policee: "x" }')
    assert.match(
      fault,
      /--port +\(file wrong\.ts \(port\)\): got -1; allowed: a whole number from 0 to 65535/,
    )
    assert.match(fault, /--worker-urls +\(file wrong\.ts \(worker_urls\)\): got 1; allowed/)
    assert.match(fault, /policee +\(file wrong\.ts \(policee\)\): unknown key; did you mean policy\?/)
  })

  test('a program that cannot be used says why', async () => {
    assert.match(await faultOf('throws.ts', 'throw new Error("no network")'), /cannot be run: .*no network/)
    assert.match(await faultOf('broken.ts', 'export default {'), /file broken\.ts\): it cannot be run: /)
    assert.match(await faultOf('named.ts', 'export const port = 1'), /no default export/)
    assert.match(await faultOf('list.ts', 'export default [1]'), /got \[1\]; allowed: keys with values/)
  })

  test('a syntax error has line and column', async () => {
    assert.match(
      await faultOf('d.yaml', 'port: 1\nqueue-size: [1\nhost: a\n'),
      /file d\.yaml:3:1\): not valid: /,
    )
    assert.match(await faultOf('d.json', '{"port": 1,\n "host" "a"}'), /file d\.json:2:\d+\): not valid: /)
    assert.match(
      await faultOf('d.yaml', 'port: 1\nport: 2\n'),
      /d\.yaml:2:1\): not valid: Map keys must be unique/,
    )
    assert.match(await faultOf('d.yaml', 'port: 1\n---\nport: 2\n'), /d\.yaml:2:1\)/)
    assert.match(await faultOf('d.yaml', 'host: !!int localhost\n'), /d\.yaml/)
  })

  test('a key that the syntax makes something else of is not shown', async () => {
    const written = [
      ...[']canary', '>canary', '|canary', '!canary', '!canary x', '!<canary> x', '!c!canary x', '*canary'],
      ...['@canary', '`canary', '&canary', '%canary', '[canary', '{canary', "'a'canary", '"a" canary'],
      ...['"canary', "'canary", '"\\xcanary"', '"\\Ucanary"', 'a: canary: b', '- canary', '? canary: x: y'],
    ]
    for (const value of written)
      for (const text of [`admin-api-key: ${value}\n`, `router-api-keys:\n  - ${value}\n`, `${value}\n`])
        for (const more of ['', '--- x\n']) {
          const fault = await faultOf('g.yaml', text + more)
          assert.doesNotMatch(fault, /anary/, text)
        }
  })

  test('the wrong file, a huge one, is refused at once', async () => {
    const line = `# ${'x'.repeat(1000)}\n`
    const before = performance.now()
    assert.match(await faultOf('huge.yaml', line.repeat(10_000)), /huge\.yaml: it has more than 4 MiB/)
    assert.ok(performance.now() - before < 500)
  })

  test('content that is no set of keys is refused', async () => {
    assert.match(await faultOf('e.yaml', '- port\n'), /file e\.yaml:1:1\).*allowed: keys with values/)
    assert.match(await faultOf('e.yaml', 'port\n'), /got a text; allowed: keys with values/)
    assert.match(await faultOf('e.yaml', 'port: {number: 1}\n'), /got a group of keys/)
    assert.match(await faultOf('e.yaml', '? [a]\n: 1\n'), /unknown key/)
  })

  test('an alias that stands for nothing is a fault at its place, never no value', async () => {
    const nothing = await faultOf('f.yaml', 'port: *nothing\n')
    assert.match(nothing, /port \(file f\.yaml:1:7 \(port\)\): the alias stands for nothing/)
    assert.doesNotMatch(nothing, /got nothing/)
    for (const text of [
      'admin-api-key: *typo',
      'router-api-keys: [one-key, *typo]',
      'router-api-keys: *typo',
    ])
      assert.match(await faultOf('f.yaml', `policy: &type random\n${text}\n`), /f\.yaml:2:.*alias stands/)
    assert.match(await faultOf('f.yaml', '*typo : 1\n'), /alias stands/)
  })

  test('an alias means what it stands for', async () => {
    assert.equal(await portOf('f.yaml', 'queue-size: &n 8123\nport: *n\n'), 8123)
    assert.match(await faultOf('f.yaml', 'worker-urls: &all [http://a:1, *all]\n'), /got \[\]/)
  })

  test('a file cannot name another file', async () => {
    assert.match(await faultOf('g.yaml', 'config: other.yaml\n'), /a file cannot name another file/)
  })

  test('a file that cannot be read says which and why', async () => {
    await mkdir(join(folder, 'folder.yaml'), { recursive: true })
    const missing = await faultOf('missing.yaml')
    assert.match(missing, /--config \(flag --config\): cannot read .*missing\.yaml: there is no such file/)
    assert.match(await faultOf('folder.yaml'), /cannot read .*folder\.yaml: it is a directory/)
    assert.match(await faultOf('missing.ts'), /file missing\.ts\): it cannot be run: /)
    assert.match(await faultOf('settings.toml'), /got "settings\.toml"; allowed: .*\.yaml/)
  })

  test('the variable names a file too', async () => {
    await writeFile(join(folder, 'h.yaml'), 'port: 8123')
    const result = await loadConfig({ argv: [], env: { VLLM_ROUTER_CONFIG: 'h.yaml' }, cwd: folder })
    assert.equal(result.ok && result.config.port, 8123)
    assert.equal(result.ok && result.config.config, 'h.yaml')
    assert.equal(result.ok && result.origins.port.text, 'file h.yaml:1:7 (port)')
  })
})
