/** How a router starts: what it reads its settings from, what it prints, and with which code it ends. */

import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { runtimeBinary, thisRuntime } from '../support/child.ts'
import { eventually, within } from '../support/deadline.ts'
import { routerOver, untilAvailable } from '../support/router-over.ts'
import { runRouter, startRouter } from '../support/router-process.ts'
import { startScriptedWorker } from '../support/scripted-worker.ts'
import { send } from '../support/send-all.ts'

const timeout = 30_000
const root = fileURLToPath(new URL('../..', import.meta.url))

describe('without a terminal', () => {
  test('every line of standard output is a JSON object, from the first to the last', {
    timeout,
  }, async (t) => {
    const worker = await startScriptedWorker(undefined, { t })
    const router = await routerOver([worker], { t })
    await send(router.apiPort, {
      path: '/v1/completions',
      json: { model: 'test-model', prompt: 'my secret' },
    })
    await send(router.apiPort, { path: '/v1/completions', json: { model: 'test-model', prompt: 5 } })
    assert.deepEqual(await router.stop('SIGINT'), { code: 0, signal: null })
    const lines = router.logs()
    for (const line of lines) {
      assert.equal(line.notJson, undefined)
      assert.match(String(line.time), /^\d{4}-\d\d-\d\dT[\d:.]+Z$/)
      assert.match(String(line.level), /^(info|warn)$/)
      assert.equal(typeof line.msg, 'string')
    }
    const words = lines.map(({ msg }) => msg)
    for (const word of ['worker added', 'worker healthy', 'listening', 'request', 'draining', 'stopped'])
      assert.ok(words.includes(word), word)
    const listening = lines.find(({ msg }) => msg === 'listening')
    assert.deepEqual([listening?.policy, listening?.workers], ['round_robin', 1])
    assert.doesNotMatch(JSON.stringify(lines), /secret/, 'no prompt in the log')
    assert.equal(router.stderr(), '')
  })
})

const hasScript = spawnSync('script', ['--version']).status === 0
const skip = hasScript ? false : '`script` of util-linux is not here, which gives a terminal'

describe('on a terminal', () => {
  /** What the terminal shows until Ctrl-C, and the exit code. */
  async function onTerminal(args: string, env: Record<string, string>, until: RegExp) {
    const command = `exec ${runtimeBinary(thisRuntime)} app/main.ts --port 0 --prometheus-port 0 ${args}`
    const { NO_COLOR: _, FORCE_COLOR: __, ...clean } = process.env
    const child = spawn('script', ['-qec', command, '/dev/null'], {
      cwd: root,
      env: { ...clean, TERM: 'xterm', ...env },
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    try {
      let screen = ''
      child.stdout.setEncoding('utf8').on('data', (text: string) => {
        screen += text
      })
      const exit = new Promise<number | null>((resolve) => child.once('close', resolve))
      await eventually(() => until.test(screen), { what: `${until} on the screen`, withinMs: 15_000 })
      child.stdin.write('\x03')
      const code = await within(15_000, exit, 'the end after Ctrl-C')
      return { screen: screen.replaceAll('\r\n', '\n'), code }
    } finally {
      child.kill('SIGKILL')
    }
  }

  test('a banner shows addresses, workers and a command to paste', { timeout, skip }, async () => {
    const { screen, code } = await onTerminal('--demo 3', { NO_COLOR: '1' }, /listening/)
    assert.equal(code, 0)
    assert.match(screen, /^vllm-router \d+\.\d+\.\d+ on (Node|Bun) \d/m)
    assert.match(screen, /SIMULATED/)
    assert.match(screen, /API +http:\/\/127\.0\.0\.1:\d+/)
    assert.match(screen, /Workers +3 \(3 healthy\), SIMULATED/)
    assert.match(screen, /curl -s http:\/\/127\.0\.0\.1:\d+\/v1\/completions/)
    assert.match(screen, /facebook\/opt-350m/)
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not be there
    assert.doesNotMatch(screen, /\u001b\[/, 'no colours with NO_COLOR')
    assert.doesNotMatch(screen, /^\{"level"/m)
  })

  test('--log-format json leaves the banner out', { timeout, skip }, async () => {
    const { screen, code } = await onTerminal('--log-format json', {}, /"msg":"listening"/)
    assert.equal(code, 0)
    assert.doesNotMatch(screen, /curl/)
    for (const line of screen.split('\n').filter((text) => text.startsWith('{'))) JSON.parse(line)
  })
})

describe('settings', () => {
  test('come from flags, then the environment, then the file', { timeout }, async (t) => {
    const folder = await mkdtemp(join(tmpdir(), 'router-start-'))
    t.after(() => rm(folder, { recursive: true }))
    const workers = await Promise.all(
      ['by-flag', 'by-env', 'by-file'].map((name) =>
        startScriptedWorker(undefined, { t, model: name, headers: { 'x-worker-id': name } }),
      ),
    )
    const [byFlag, byEnv, byFile] = workers.map(({ url }) => url)
    const path = join(folder, 'router.yaml')
    const content = `worker-urls: [${byFile}]\npolicy: random\nrequest-id-headers:\n  - x-from-file\nqueue-size: 7\n`
    await writeFile(path, content)
    const env = {
      VLLM_ROUTER_CONFIG: path,
      VLLM_ROUTER_WORKER_URLS: byEnv,
      VLLM_ROUTER_POLICY: 'least_inflight',
    }

    const [flags, environment, file] = await Promise.all([
      startRouter({ t, env, args: ['--worker-urls', byFlag ?? ''] }),
      startRouter({ t, env }),
      startRouter({ t, args: ['--config', path] }),
    ])
    for (const [router, model, policy] of [
      [flags, 'by-flag', 'least_inflight'],
      [environment, 'by-env', 'least_inflight'],
      [file, 'by-file', 'random'],
    ] as const) {
      await untilAvailable(router, 1)
      const headers = { 'x-from-file': 'my-id' }
      const { head } = await send(router.apiPort, {
        path: '/v1/completions',
        json: { model, prompt: 'hi' },
        headers,
      })
      assert.deepEqual(
        [head.status, head.header('x-worker-id'), head.header('x-request-id')],
        [200, model, 'my-id'],
      )
      assert.equal(router.logs().find(({ msg }) => msg === 'listening')?.policy, policy)
    }
  })

  test('that are not told are the defaults, and no worker is needed', { timeout }, async (t) => {
    const router = await startRouter({ t })
    const health = await send(router.apiPort, { path: '/health' })
    assert.deepEqual([health.head.status, health.body.bytes.toString()], [200, 'All servers healthy'])
    const readiness = await send(router.operationsPort, { path: '/readiness' })
    assert.equal(readiness.head.status, 503)
    const request = { path: '/v1/completions', json: { model: 'any', prompt: 'hi' } }
    const { head, body } = await send(router.apiPort, request)
    assert.equal(head.status, 503)
    assert.equal(JSON.parse(body.bytes.toString()).error.code, 'no_available_worker')
  })
})

describe('the other verbs', () => {
  test('end with 0 and say what they were asked', { timeout }, async () => {
    const [version, help, check] = await Promise.all([
      runRouter({ args: ['--version'] }),
      runRouter({ args: ['--help'] }),
      runRouter({ args: ['check-config', '--worker-urls', 'http://a:1'] }),
    ])
    assert.deepEqual([version.code, help.code, check.code], [0, 0, 0])
    assert.match(version.stdout, /^vllm-router \d+\.\d+\.\d+$/)
    assert.match(help.stdout, /--worker-urls/)
    assert.equal(check.stdout, 'ok')
  })

  test('health asks a running router: 0 when it is healthy, 1 when it is not there', {
    timeout,
  }, async (t) => {
    const router = await startRouter({ t })
    const healthy = await runRouter({ args: ['health', '--port', String(router.apiPort)] })
    assert.deepEqual([healthy.code, healthy.stdout], [0, '200 All servers healthy'])
    await router.stop('SIGINT')
    const gone = await runRouter({ args: ['health', '--port', String(router.apiPort)] })
    assert.deepEqual([gone.code, gone.stdout], [1, ''])
    assert.match(gone.stderr, /no answer from http/)
  })
})
