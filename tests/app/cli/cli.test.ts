import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { type CommandContext, parseCommand, runCommand } from '../../../app/cli/cli.ts'
import { helpText } from '../../../app/cli/help.ts'
import { loadConfig } from '../../../app/config/load-config.ts'
import { printConfig } from '../../../app/config/print-config.ts'
import { settings } from '../../../app/config/settings.ts'
import { hashOfKey } from '../../../middleware/key-ring.ts'
import { within } from '../../support/deadline.ts'
import { settable, textsOf } from '../../support/setting-values.ts'

async function run(argv: readonly string[], more: Partial<CommandContext> = {}) {
  const command = parseCommand(argv)
  if (command.verb === 'serve' || command.verb === 'process') throw new Error('nothing is served here')
  let out = ''
  let err = ''
  const write = { out: (text: string) => (out += text), err: (text: string) => (err += text) }
  const running = runCommand(command, { version: '1.2.3', env: {}, ...write, ...more })
  const code = await within(10_000, running, argv.join(' '))
  return { code, out, err }
}

describe('the verbs', () => {
  test('no verb means serve, and the flags go on as they are', () => {
    assert.deepEqual(parseCommand([]), { verb: 'serve', argv: [] })
    assert.deepEqual(parseCommand(['--port', '0']), { verb: 'serve', argv: ['--port', '0'] })
    assert.deepEqual(parseCommand(['serve', '--port', '0']), { verb: 'serve', argv: ['--port', '0'] })
    assert.deepEqual(parseCommand(['check-config', '--demo']), { verb: 'check-config', argv: ['--demo'] })
  })

  test('help and version win over everything else', () => {
    for (const argv of [
      ['--help'],
      ['-h'],
      ['help'],
      ['--nonsense', '--help'],
      ['serve', '-h'],
      ['srve', '--help'],
    ])
      assert.deepEqual(parseCommand(argv), { verb: 'help', all: false }, argv.join(' '))
    for (const argv of [['--help-all'], ['--help', '--all'], ['help', '--all'], ['serve', '--help-all']])
      assert.deepEqual(parseCommand(argv), { verb: 'help', all: true }, argv.join(' '))
    for (const argv of [['--version'], ['-V'], ['version']])
      assert.deepEqual(parseCommand(argv), { verb: 'version' })
  })

  test('an unknown verb is a fault with a suggestion and exit code 2', async () => {
    const { code, out, err } = await run(['chek-config'])
    assert.deepEqual([code, out], [2, ''])
    assert.match(err, /got "chek-config"; allowed: serve, .*; did you mean check-config\?/)
    assert.match((await run(['http://gpu1:8000'])).err, /workers are given with --worker-urls/)
  })

  test('version says the version', async () => {
    assert.deepEqual(await run(['version']), { code: 0, out: 'vllm-router 1.2.3\n', err: '' })
  })
})

describe('help', () => {
  test('fits a screen of 40 lines and 100 columns', async () => {
    const { code, out } = await run(['--help'])
    const lines = out.trimEnd().split('\n')
    assert.equal(code, 0)
    assert.ok(lines.length <= 40, `${lines.length} lines`)
    for (const line of lines) assert.ok(line.length <= 100, line)
    for (const { flag, common } of settings) assert.equal(out.includes(`--${flag} `), common === true, flag)
  })

  test('in full has every flag with its default, grouped, at most 100 columns wide', () => {
    const text = helpText({ version: '1.2.3', all: true })
    for (const { flag, group } of settings) {
      assert.match(text, new RegExp(`^ {2}--${flag}( |$)`, 'm'))
      assert.ok(text.includes(`\n${group}\n`), group)
    }
    assert.match(text, /--port <n> .*\[8080\]/)
    assert.match(text, /--shutdown-grace-secs <n>[^[]*\[180\s+s\]/)
    assert.match(text, /VLLM_ROUTER_WORKER_URLS/)
    for (const line of text.split('\n')) assert.ok(line.length <= 100, line)
  })
})

describe('check-config', () => {
  test('prints ok for a right one', async () => {
    assert.deepEqual(await run(['check-config', '--demo']), { code: 0, out: 'ok\n', err: '' })
  })

  test('prints every fault for a wrong one and exits with 2', async () => {
    const { code, out, err } = await run(['check-config', '--port', 'x'], {
      env: { VLLM_ROUTER_POLICY: 'y' },
    })
    assert.deepEqual([code, out], [2, ''])
    assert.match(err, /2 faults/)
    assert.ok(err.endsWith('\n'))
  })
})

describe('hash-key', () => {
  const hashed = (text: string, argv: readonly string[] = []) =>
    run(['hash-key', ...argv], { stdin: async () => text })
  const random = 'hZ0m1cKX8nQy7VwB3uE5tR9aLpS2dF4gJ6kM8xC1vNo'

  test('prints the line for the key on standard input, which a list of keys takes', async () => {
    const { code, out } = await hashed(`${random}\n`)
    assert.deepEqual([code, out], [0, `hash: ${hashOfKey(random)}\n`])
    assert.equal((await hashed(`${random}\r\n`)).out, out)
    const readFile = async () => `- name: a\n  ${out}`
    const loaded = await loadConfig({ argv: ['--keys-file', 'keys.yaml'], env: {}, readFile })
    assert.deepEqual(loaded.ok && loaded.config.fileKeys?.[0]?.hash, [hashOfKey(random)])
  })

  test('makes a key of 256 random bits, another one each time', async () => {
    const keys = new Set<string>()
    for (let at = 0; at < 20; at++) {
      const { code, out } = await run(['hash-key', '--new'])
      const [, key = '', hash] = /^key: {2}(sk-[\w-]{43})\nhash: (.*)\n$/.exec(out) ?? []
      assert.deepEqual([code, hash], [0, hashOfKey(key)])
      assert.equal(Buffer.from(key.slice(3), 'base64url').byteLength, 32)
      keys.add(key)
      assert.equal((await hashed(key)).code, 0)
    }
    assert.equal(keys.size, 20)
  })

  test('refuses what could be guessed from its hash, says why, and repeats nothing of it', async () => {
    for (const key of ['secret', 'secret'.repeat(20), `${random.slice(1)}`, 'a'.repeat(100)]) {
      const { code, out, err } = await hashed(key)
      assert.deepEqual([code, out], [2, ''], key)
      assert.match(
        err,
        /too short, or not random: whoever reads the hash could try billions .* --new makes one/,
      )
      assert.ok(!err.includes(key.slice(0, 6)), err)
    }
    for (const [key, why] of [
      ['', /nothing on standard input/],
      [`${random} ${random}`, /without spaces/],
      [`${random}\n${random}`, /one word/],
      [`${random}é`, /printable ASCII/],
    ] as const)
      assert.match((await hashed(key)).err, why)
  })

  test('takes no key on its command line', async () => {
    for (const argv of [[random], ['--key', random], ['--new', random]]) {
      const { code, out, err } = await hashed('', argv)
      assert.deepEqual([code, out], [2, ''])
      assert.match(err, /everyone who can list processes/)
      assert.ok(!err.includes(random))
    }
  })
})

describe('print-config', () => {
  test('prints every value with its origin', async () => {
    const { code, out } = await run(['print-config', '--port', '9'], { env: { VLLM_ROUTER_HOST: '::' } })
    assert.equal(code, 0)
    assert.match(out, /^port: 9 +# flag --port$/m)
    assert.match(out, /^host: "::" +# environment VLLM_ROUTER_HOST$/m)
    assert.match(out, /^request-timeout-secs: off +# default$/m)
    for (const { flag } of settings) assert.match(out, new RegExp(`^(# )?${flag}: `, 'm'))
  })

  test('never prints a key', async () => {
    const keys = ['--api-key', 'sk-secret-1', '--router-api-keys', 'sk-secret-2', 'sk-secret-3']
    const { out } = await run(['print-config', ...keys], {
      env: { VLLM_ROUTER_ADMIN_API_KEY: 'sk-secret-4' },
    })
    assert.ok(!out.includes('sk-secret'), out)
    assert.match(out, /^# router-api-keys: 2 set, not shown +# flag --router-api-keys$/m)
    assert.match(out, /^# admin-api-key: set, not shown +# environment VLLM_ROUTER_ADMIN_API_KEY$/m)
  })

  test('is a file that gives the same configuration again', { timeout: 30_000 }, async () => {
    const open = settable.filter(({ secret }) => !secret)
    const given = fc
      .constantFrom(...open)
      .chain((entry) => textsOf(entry).map((text) => [entry.flag, text] as const))
    await fc.assert(
      fc.asyncProperty(given, async ([flag, text]) => {
        const first = await loadConfig({ argv: [`--${flag}=${text}`], env: {} })
        assert.ok(first.ok)
        const readFile = async () => printConfig(first.config, first.origins)
        const again = await loadConfig({ argv: ['--config', 'printed.yaml'], env: {}, readFile })
        assert.ok(again.ok)
        assert.deepEqual({ ...again.config, config: undefined }, first.config)
      }),
    )
  })

  test('exits with 2 for a wrong configuration', async () => {
    assert.equal((await run(['print-config', '--port', 'x'])).code, 2)
  })
})

describe('health', () => {
  async function withServer(
    status: number,
    body: string,
    use: (port: number, seen: string[]) => Promise<void>,
  ) {
    const seen: string[] = []
    const server = createServer((request, response) => {
      seen.push(String(request.url))
      response.writeHead(status, { connection: 'close', location: '/elsewhere' }).end(body)
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    try {
      await use((server.address() as AddressInfo).port, seen)
    } finally {
      await new Promise((resolve) => server.close(resolve))
    }
  }

  test('is 0 for a healthy router, found through the settings', async () => {
    await withServer(200, 'All servers healthy', async (port, seen) => {
      const { code, out } = await run(['health'], {
        env: { VLLM_ROUTER_PORT: String(port), VLLM_ROUTER_HOST: '0.0.0.0' },
      })
      assert.deepEqual([code, out], [0, '200 All servers healthy\n'])
      assert.deepEqual(seen, ['/health'])
    })
  })

  test('is 1 for one that is not, or that redirects', async () => {
    for (const status of [503, 404, 302]) {
      await withServer(status, 'no', async (port, seen) => {
        const { code, err } = await run(['health', '--port', String(port)])
        assert.deepEqual([code, err], [1, `${status} no\n`])
        assert.deepEqual(seen, ['/health'])
      })
    }
  })

  test('asks the URL it is given, with its path if it has one', async () => {
    await withServer(200, 'OK', async (port, seen) => {
      assert.equal((await run(['health', '--url', `http://127.0.0.1:${port}`])).code, 0)
      assert.equal((await run(['health', `--url=http://127.0.0.1:${port}/liveness`])).code, 0)
      assert.deepEqual(seen, ['/health', '/liveness'])
    })
  })

  test('is 1 when nothing listens, and for a wrong command line', async () => {
    let port = 0
    await withServer(200, '', async (free) => {
      port = free
    })
    const nobody = await run(['health', '--port', String(port)])
    assert.equal(nobody.code, 1)
    assert.match(nobody.err, new RegExp(`^no answer from http://127\\.0\\.0\\.1:${port}/health: `))
    assert.match((await run(['health', '--url', 'gpu1:80'])).err, /--url .*got "gpu1:80"; allowed/)
    for (const argv of [['--url'], ['--url', 'x'], ['--port', 'x']])
      assert.equal((await run(['health', ...argv])).code, 1, argv.join(' '))
  })
})
