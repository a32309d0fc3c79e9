/** `doctor`: each of the usual faults is found, named with its remedy, and told by the exit code. */

import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer as createHttpServer } from 'node:http'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { checks, doctor } from '../../../app/cli/doctor/doctor.ts'
import type { Facts, Finding } from '../../../app/cli/doctor/facts.ts'
import { type ConfigInput, createGateway } from '../../../app/index.ts'
import { eventually, within } from '../../support/deadline.ts'
import { rawRequest } from '../../support/raw-client.ts'
import { startRouter } from '../../support/router-process.ts'
import type { Scope } from '../../support/scope.ts'
import { type ScriptedWorkerOptions, startScriptedWorker } from '../../support/scripted-worker.ts'
import { listening, portOf } from '../../support/sockets.ts'
import { answer, hang, type Script } from '../../support/wire.ts'

const timeout = 60_000
/** Nobody looks for a router: there is none at this address. */
const alone = ['--port', '0', '--prometheus-port', '0']

interface Told {
  readonly check: string
  readonly result: 'ok' | 'wrong' | 'not checked'
  readonly why?: string
  readonly findings?: readonly Finding[]
}

async function examine(argv: readonly string[], env: Readonly<Record<string, string>> = {}) {
  let out = ''
  const write = {
    out: (text: string) => {
      out += text
    },
    err: (text: string) => assert.fail(text),
  }
  const context = { version: '0.1.0', env, ...write }
  const code = await within(30_000, doctor([...argv, '--json'], context), 'doctor')
  const told = JSON.parse(out) as Told[]
  const of = (name: string) => {
    const found = told.find(({ check }) => check === name)
    assert.ok(found, `there is no check ${name}`)
    return found
  }
  /** The only finding of a check. */
  const finding = (name: string): Finding => {
    const { findings = [] } = of(name)
    assert.equal(findings.length, 1, `${name}: ${JSON.stringify(of(name))}`)
    return findings[0]!
  }
  const wrong = told.filter(({ result }) => result === 'wrong').map(({ check }) => check)
  return { code, of, finding, wrong }
}

test('certificates that will soon expire are found', () => {
  const check = checks.find(({ name }) => name === 'certificates')
  const look = (days: readonly number[]) => {
    const certificates = days.map((left) => ({
      about: '--tls-cert-file',
      expiresAt: Date.now() + left * 86_400_000,
    }))
    return check?.look({ certificates } as unknown as Facts)
  }
  assert.equal(look([]), 'the listeners speak plain HTTP')
  assert.deepEqual(look([15, 400]), [])
  const [finding] = look([15, 13]) as readonly Finding[]
  assert.match(finding?.problem ?? '', /expires at \d{4}-/)
})

const vllmMetrics = (startedAt = 1000) =>
  `vllm:num_requests_running 0\nprocess_start_time_seconds ${startedAt}\n`

/** As a vLLM of today: with metrics, version and clock. */
async function vllm(t: Scope, options: ScriptedWorkerOptions = {}) {
  const worker = await startScriptedWorker(undefined, {
    ...{ t, metrics: vllmMetrics, headers: { date: new Date().toUTCString() } },
    ...options,
  })
  worker.route('GET /version', answer(200, '{"version":"0.12.0"}'))
  return worker
}

function modelList(...cards: object[]): Script {
  return answer(200, JSON.stringify({ object: 'list', data: cards }))
}

async function running(t: Scope, options: ConfigInput) {
  const gateway = await createGateway({ port: 0, prometheusPort: 0, ...options })
  t.after(() => gateway.close())
  const { api, operations } = await gateway.start()
  return {
    gateway,
    operations,
    api,
    ports: [Number(new URL(api).port), Number(new URL(operations).port)] as const,
  }
}

describe('a fleet that is well', () => {
  test('before the start: nothing is wrong, exit code 0', { timeout }, async (t) => {
    const workers = await Promise.all([vllm(t), vllm(t)])
    const { code, wrong, of } = await examine([...alone, '--worker-urls', ...workers.map(({ url }) => url)])
    assert.deepEqual([code, wrong], [0, []])
    assert.match(of('reload').why ?? '', /^no router answers on /)
    for (const name of ['ports', 'workers', 'twice', 'models', 'versions', 'clock', 'open files', 'runtime'])
      assert.equal(of(name).result, 'ok', name)
  })

  test('beside a router that runs: its own ports are no fault, and its workers are looked at', {
    timeout,
  }, async (t) => {
    const workers = await Promise.all([vllm(t), vllm(t)])
    const { ports } = await running(t, { workerUrls: workers.map(({ url }) => url) })
    const { code, wrong, of } = await examine([
      '--port',
      String(ports[0]),
      '--prometheus-port',
      String(ports[1]),
    ])
    assert.deepEqual([code, wrong], [0, []])
    const none = ['addresses', 'certificates']
    for (const { name } of checks) if (!none.includes(name)) assert.equal(of(name).result, 'ok', name)
  })

  test('is told in lines for people, each fault with what to do', { timeout }, async (t) => {
    const { url } = await startScriptedWorker(undefined, { t })
    let out = ''
    const code = await doctor([...alone, '--worker-urls', url], {
      ...{ version: '0.1.0', env: {}, err: () => {} },
      out: (text) => {
        out += text
      },
    })
    assert.equal(code, 1)
    assert.match(out, /^ok +ports +the ports are free/m)
    assert.match(out, /^WRONG +worker metrics +http:\S+: GET \/metrics: status 404.*\n +-> /m)
    assert.match(out, /^- +admin key +not checked: no router answers/m)
    assert.match(out, /\n\n1 fault\n$/)
  })
})

describe('the keys of clients', () => {
  test('that have expired, or soon will, and tenants that nobody can be', { timeout }, async (t) => {
    const home = mkdtempSync(join(tmpdir(), 'vllm-router-doctor-'))
    t.after(() => rmSync(home, { recursive: true }))
    const file = join(home, 'keys.json')
    const inDays = (days: number) => new Date(Date.now() + days * 86_400_000).toISOString()
    const entry = (name: string, digit: string, more: object) => ({
      ...{ name, hash: `sha256:${digit.repeat(64)}` },
      ...more,
    })
    const list = [
      entry('over', '1', { expires: inDays(-1) }),
      entry('soon', '2', { expires: inDays(3) }),
      entry('later', '3', { expires: inDays(30) }),
      entry('never', '4', {}),
      { name: 'nobody' },
    ]
    writeFileSync(file, JSON.stringify(list))
    const { of } = await examine([...alone, '--keys-file', file])
    const found = of('client keys').findings?.map(({ about, problem }) => [about, problem.split(' 2')[0]])
    assert.deepEqual(found, [
      ['over', 'expired at'],
      ['soon', 'expires at'],
      ['nobody', 'it has neither hash nor certificate, and without --jwt-jwks-url no token can name it'],
    ])
    assert.doesNotMatch(JSON.stringify(of('client keys')), /sha256/)
  })
})

describe('this machine', () => {
  test('a port that somebody else has', { timeout }, async (t) => {
    const server = createServer()
    await listening(server, 0)
    t.after(() => server.close())
    const port = portOf(server)
    const { code, finding } = await examine(['--port', String(port), '--prometheus-port', '0'])
    assert.equal(code, 1)
    const { about, problem, remedy } = finding('ports')
    assert.equal(about, `127.0.0.1:${port}`)
    assert.match(problem, /in use by another process/)
    assert.match(remedy, /ss -ltnp.*--port/)
  })

  test('an address that this machine does not have', { timeout }, async () => {
    const { finding } = await examine([...alone, '--prometheus-host', '192.0.2.1'])
    assert.match(finding('ports').problem, /does not have that address/)
    assert.match(finding('ports').remedy, /--prometheus-host/)
  })

  test('a limit of open files below what the settings allow', { timeout }, async () => {
    const { finding } = await examine([...alone, '--max-concurrent-requests', '1000000'])
    const { problem, remedy } = finding('open files')
    assert.match(problem, /room for \d+ connections .* --max-concurrent-requests 1000000 .* needs 2000100/)
    assert.match(remedy, /ulimit -n.*--max-concurrent-requests/)
  })

  test('a runtime below the floor', () => {
    const check = checks.find(({ name }) => name === 'runtime')
    const facts = { versions: { node: '20.1.0' } } as Parameters<NonNullable<typeof check>['look']>[0]
    const [finding] = (check?.look(facts) ?? []) as readonly Finding[]
    assert.match(finding?.problem ?? '', /needs Node 22\.19 or newer.* this is Node 20\.1\.0/)
  })

  test('listeners that only the pod itself reaches', { timeout }, async () => {
    const { of } = await examine(alone, { KUBERNETES_SERVICE_HOST: '10.0.0.1' })
    const abouts = of('addresses').findings?.map(({ about }) => about)
    assert.deepEqual(abouts, ['--host 127.0.0.1', '--prometheus-host 127.0.0.1'])
  })

  test('a wrong configuration: its faults, and nothing else', { timeout }, async () => {
    const { code, of, wrong } = await examine(['--port', 'x', '--policy', 'round-robin'])
    assert.deepEqual([code, wrong], [1, ['configuration']])
    assert.match(of('configuration').findings?.[1]?.remedy ?? '', /did you mean "round_robin"/)
  })
})

describe('a worker', () => {
  const one = async (url: string, ...flags: string[]) => examine([...alone, '--worker-urls', url, ...flags])

  test('that nobody serves', { timeout }, async (t) => {
    const worker = await vllm(t)
    await worker.crash()
    const { finding } = await one(worker.url)
    assert.deepEqual(finding('workers'), {
      about: worker.url,
      problem: 'GET /health: ECONNREFUSED',
      remedy: 'nobody listens there: is vLLM running, and are host and port right?',
    })
  })

  test('that speaks another protocol', { timeout }, async (t) => {
    const { url } = await startScriptedWorker(undefined, {
      t,
      onConnection: () => ['220 mail.example.com ESMTP\r\n', hang],
    })
    const { finding } = await one(url)
    assert.match(finding('workers').problem, /BAD_STATUS_LINE/)
    assert.match(finding('workers').remedy, /does not speak HTTP/)
  })

  test('that does not speak https', { timeout }, async (t) => {
    const server = createHttpServer()
    await listening(server, 0)
    t.after(() => server.close())
    const { finding } = await one(`https://127.0.0.1:${portOf(server)}`)
    assert.match(finding('workers').remedy, /does not speak TLS/)
  })

  test('that is a server of something else', { timeout }, async (t) => {
    const worker = await vllm(t)
    worker.route('GET /v1/models', answer(404, '<html>'))
    const { finding } = await one(worker.url)
    assert.match(
      finding('workers').problem,
      /GET \/v1\/models: status 404; this is no OpenAI-compatible server/,
    )
  })

  test('that wants a key, and one that refuses the key it gets', { timeout }, async (t) => {
    const worker = await vllm(t)
    worker.route('GET /v1/models', (request) =>
      request.header('authorization') === 'Bearer right'
        ? undefined
        : answer(401, '{"error":"Unauthorized"}'),
    )
    const without = await one(worker.url)
    assert.match(without.finding('worker key').problem, /it wants a key/)
    assert.match(without.finding('worker key').remedy, /VLLM_ROUTER_API_KEY/)
    assert.deepEqual(without.wrong, ['worker key'])
    assert.match(
      (await one(worker.url, '--api-key', 'wrong')).finding('worker key').problem,
      /refuses the key/,
    )
    assert.equal((await one(worker.url, '--api-key', 'right')).code, 0)
  })

  test('whose metrics cannot be read', { timeout }, async (t) => {
    const { url } = await startScriptedWorker(undefined, { t })
    const { finding } = await one(url)
    assert.match(finding('worker metrics').problem, /GET \/metrics: status 404.*hung engine/)
  })

  test('whose clock is wrong', { timeout }, async (t) => {
    const at = (ms: number) => ({ headers: { date: new Date(Date.now() + ms).toUTCString() } })
    const [late, right] = await Promise.all([vllm(t, at(-90_000)), vllm(t)])
    const { finding } = await examine([...alone, '--worker-urls', late.url, right.url])
    assert.equal(finding('clock').about, late.url)
    assert.match(finding('clock').problem, /its clock is (89|90|91) s behind/)
    assert.match(finding('clock').remedy, /chrony/)
  })

  test('beside others that are all wrong alike: then it is this machine', { timeout }, async (t) => {
    const at = () => ({ headers: { date: new Date(Date.now() + 3_600_000).toUTCString() } })
    const workers = await Promise.all([vllm(t, at()), vllm(t, at())])
    const { finding } = await examine([...alone, '--worker-urls', ...workers.map(({ url }) => url)])
    assert.equal(finding('clock').about, 'this machine')
    assert.match(finding('clock').problem, /(3600|3599) s behind/)
  })
})

describe('a fleet', () => {
  test('that has a worker twice, under two names', { timeout }, async (t) => {
    const worker = await vllm(t)
    const names = [worker.url, `http://localhost:${worker.port}`]
    const { finding } = await examine([...alone, '--worker-urls', ...names])
    assert.equal(finding('twice').about, names.join(' and '))
    assert.match(finding('twice').problem, new RegExp(`both are 127\\.0\\.0\\.1:${worker.port}: one worker`))
    assert.match(finding('twice').remedy, /name it once/)
  })

  test('that has a worker twice, spelled in two ways', { timeout }, async (t) => {
    const worker = await vllm(t)
    const names = [`http://localhost:${worker.port}`, `http://LOCALHOST:${worker.port}/`]
    const told = await examine([...alone, '--worker-urls', ...names])
    assert.equal(told.code, 1)
    assert.match(told.finding('configuration').problem, /is given twice/)
  })

  test('that has two servers behind one proxy is no such fleet', { timeout }, async (t) => {
    const worker = await vllm(t)
    worker.route('GET /metrics', (request) => answer(200, vllmMetrics(request.header('host')?.charCodeAt(0))))
    const names = [worker.url, `http://localhost:${worker.port}`]
    assert.equal((await examine([...alone, '--worker-urls', ...names])).of('twice').result, 'ok')
  })

  test('whose workers serve one name and two models', { timeout }, async (t) => {
    const workers = await Promise.all([vllm(t), vllm(t)])
    workers.forEach((worker, at) => {
      worker.route(
        'GET /v1/models',
        modelList({ id: 'chat', root: `model-${at}`, max_model_len: 4096 * (at + 1) }),
      )
    })
    const { finding } = await examine([...alone, '--worker-urls', ...workers.map(({ url }) => url)])
    assert.match(
      finding('models').problem,
      /both serve "chat".*root model-0 and model-1, max_model_len 4096 and 8192/,
    )
  })

  test('in which each worker serves another model, unless the settings speak of them', {
    timeout,
  }, async (t) => {
    const workers = await Promise.all([vllm(t, { model: 'small' }), vllm(t, { model: 'large' })])
    const flags = [...alone, '--worker-urls', ...workers.map(({ url }) => url)]
    const { of } = await examine(flags)
    assert.deepEqual(
      of('models').findings?.map(({ about }) => about),
      workers.map(({ url }) => url),
    )
    assert.match(of('models').findings?.[0]?.problem ?? '', /only it serves "small"/)
    assert.equal((await examine([...flags, '--model-fallback', 'large=small'])).of('models').result, 'ok')
  })

  test('of unlike versions', { timeout }, async (t) => {
    const workers = await Promise.all([vllm(t), vllm(t)])
    workers[1]!.route('GET /version', answer(200, '{"version":"0.9.2"}'))
    const { finding } = await examine([...alone, '--worker-urls', ...workers.map(({ url }) => url)])
    assert.equal(finding('versions').problem, `0.12.0 on ${workers[0]!.url}; 0.9.2 on ${workers[1]!.url}`)
  })

  test('that nobody names', { timeout }, async () => {
    assert.match((await examine(alone)).finding('sources').remedy, /--worker-urls/)
  })

  test('whose file of workers is wrong; those of a right one are looked at', { timeout }, async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'doctor-'))
    t.after(() => rmSync(folder, { recursive: true }))
    const file = join(folder, 'workers.yaml')
    assert.match((await examine([...alone, '--worker-urls-file', file])).finding('sources').problem, /ENOENT/)
    const worker = await vllm(t)
    await worker.crash()
    writeFileSync(file, `- ${worker.url}\n`)
    assert.equal((await examine([...alone, '--worker-urls-file', file])).finding('workers').about, worker.url)
  })
})

describe('a router that runs', () => {
  test('and refuses the admin key', { timeout }, async (t) => {
    const worker = await vllm(t)
    const { operations } = await running(t, { workerUrls: [worker.url], adminApiKey: 'root' })
    const without = await examine(['--url', operations])
    assert.match(without.finding('admin key').problem, /none is set here/)
    assert.match(without.finding('admin key').remedy, /VLLM_ROUTER_ADMIN_API_KEY/)
    const wrong = await examine(['--url', operations], { VLLM_ROUTER_ADMIN_API_KEY: 'other' })
    assert.match(wrong.finding('admin key').problem, /another one/)
    const right = await examine(['--url', operations], { VLLM_ROUTER_ADMIN_API_KEY: 'root' })
    assert.deepEqual([right.code, right.wrong], [0, []])
  })

  test('and is asked on another port than that of its metrics', { timeout }, async (t) => {
    const worker = await vllm(t)
    const { ports } = await running(t, { workerUrls: [worker.url] })
    const closed = await startScriptedWorker(undefined, { t })
    await closed.crash()
    const flags = ['--port', String(ports[0]), '--prometheus-port', String(closed.port)]
    const { finding } = await examine([...flags, '--worker-urls', worker.url])
    assert.match(finding('metrics').problem, /a router answers on 127\.0\.0\.1:\d+, and nobody here/)
    assert.match(
      (await examine(['--url', worker.url])).finding('metrics').problem,
      /nothing of a router in it/,
    )
  })

  test('and is of another version', { timeout }, async (t) => {
    const worker = await vllm(t)
    worker.route('GET /metrics', answer(200, 'vllm_router_build_info{version="9.9.9",runtime="node"} 1\n'))
    worker.route('GET /workers', answer(200, '{"workers":[]}'))
    worker.route('GET /config', answer(200, '{"settings":{},"last_reload":null}'))
    const { finding } = await examine(['--url', worker.url])
    assert.equal(finding('version').problem, 'it is 9.9.9, this program 0.1.0')
  })

  test('and has not taken over its changed configuration', { timeout }, async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'doctor-'))
    t.after(() => rmSync(folder, { recursive: true }))
    const worker = await vllm(t)
    const file = join(folder, 'router.yaml')
    writeFileSync(file, `worker-urls: [${worker.url}]\n`)
    const router = await startRouter({ args: ['--config', file], t })
    writeFileSync(file, `worker-urls: [${worker.url}]\nqueue-size: many\n`)
    const reload = rawRequest({ port: router.operationsPort, method: 'POST', path: '/reload', json: {} })
    assert.equal((await within(5000, reload.text(), 'the reload')).status, 409)
    const { finding, code } = await examine(['--url', router.operations])
    assert.equal(code, 1)
    assert.match(finding('reload').problem, /the reload of .* failed: .*queue-size/)
    assert.match(finding('reload').remedy, /vllm-router reload/)
  })

  test('and has a worker out: why, and what to do', { timeout }, async (t) => {
    const [worker, hung] = await Promise.all([vllm(t), vllm(t)])
    const { operations, gateway } = await running(t, {
      ...{ workerUrls: [worker.url, hung.url], healthFailureThreshold: 1 },
      ...{ healthCheckIntervalSecs: 1, healthCheckTimeoutSecs: 1 },
    })
    hung.route('GET /health', [hang])
    await eventually(async () => (await gateway.control.worker(hung.url)).health === 'unhealthy', {
      ...{ what: 'the probe has noticed', withinMs: 15_000 },
    })
    hung.route('GET /health', undefined)
    const { finding } = await examine(['--url', operations])
    assert.equal(finding('in use').about, hung.url)
    assert.match(finding('in use').problem, /^hung: no answer within 1 s/)
    assert.match(finding('in use').remedy, /restart that vLLM/)
  })
})
