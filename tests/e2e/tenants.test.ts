/** What a key lets its tenant do, see and leave behind. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import pino from 'pino'
import type { ConfigInput } from '../../app/config/settings.ts'
import { createGateway } from '../../app/index.ts'
import { hashOfKey } from '../../middleware/key-ring.ts'
import { startOtlpReceiver } from '../support/otlp-receiver.ts'
import type { RawRequestOptions } from '../support/raw-client.ts'
import type { Scope } from '../support/scope.ts'
import { type Chooser, type ScriptedWorker, startScriptedWorker } from '../support/scripted-worker.ts'
import { send } from '../support/send-all.ts'
import { shared } from '../support/shared.ts'
import { startTokenIssuer } from '../support/token-issuer.ts'
import { answer } from '../support/wire.ts'

const timeout = 30_000
const hash = (name: string) => hashOfKey(`key-of-${name}`)
const all = { name: 'all', hash: hash('all') }
const some = { name: 'some', hash: hash('some'), models: ['small', 'alias'] }

/** Lists two models, and answers with what it was asked for. */
async function twoModels(t: Scope, behaviour?: Chooser): Promise<ScriptedWorker> {
  const worker = await startScriptedWorker(behaviour, { t, model: 'small', everyRoute: true })
  worker.route('GET /health', answer(200, ''))
  const data = ['small', 'large'].map((id) => ({
    id,
    object: 'model',
    owned_by: 'vllm',
    root: id,
    parent: null,
  }))
  worker.route('GET /v1/models', answer(200, JSON.stringify({ object: 'list', data })))
  return worker
}

async function start(t: Scope, options: ConfigInput = {}, behaviour?: Chooser) {
  const worker = await twoModels(t, behaviour)
  const base: ConfigInput = {
    ...{ workerUrls: [worker.url], keys: [all, some], healthCheckIntervalSecs: 0.2 },
    ...options,
  }
  const lines: Readonly<Record<string, unknown>>[] = []
  const log = pino({ level: 'info' }, { write: (line: string) => void lines.push(JSON.parse(line)) })
  const gateway = await createGateway({ port: 0, prometheusPort: 0, ...base }, { log })
  t.after(() => gateway.close())
  const { api, operations } = await gateway.start()
  const [port, operationsPort] = [api, operations].map((url) => Number(new URL(url).port)) as [number, number]
  const ask = async (name: string, request: RawRequestOptions) => {
    const headers = { authorization: `Bearer key-of-${name}`, ...(request.headers as Record<string, string>) }
    const { head, body } = await send(port, { ...request, headers })
    const text = body.bytes.toString()
    return { status: head.status, text, code: codeIn(text), head }
  }
  const chat = (name: string, model: unknown, more: object = {}) =>
    ask(name, {
      path: '/v1/chat/completions',
      json: { model, messages: [{ role: 'user', content: 'hi' }], ...more },
    })
  return { gateway, port, operationsPort, lines, worker, ask, chat }
}

function codeIn(text: string): string | undefined {
  try {
    return (JSON.parse(text) as { error?: { code?: string } }).error?.code
  } catch {
    return undefined
  }
}

describe('models', () => {
  const setup = shared((t) =>
    start(t, { modelAlias: ['alias=large', 'hidden=large'], modelFallback: ['alias=small', 'small=large'] }),
  )

  test('that are allowed are those of the list, as they are named there', { timeout }, async () => {
    const { chat, worker } = await setup()
    assert.equal((await chat('some', 'small')).status, 200)
    assert.equal((await chat('some', 'alias')).status, 200)
    assert.equal((worker.requests.at(-1)!.json() as { model: string }).model, 'large')
    const before = worker.requests.length
    const refused = await Promise.all(
      ['large', 'hidden', 'nobody-has-it', 'SMALL', ' small'].map((model) => chat('some', model)),
    )
    assert.deepEqual(
      refused.map(({ status, code }) => [status, code]),
      Array(5).fill([404, 'model_not_found']),
    )
    // Whether there is such a model is not told.
    assert.equal(refused[0]?.text.replace('large', ''), refused[2]?.text.replace('nobody-has-it', ''))
    assert.match(refused[0]?.text ?? '', /it may use: small, alias/)
    assert.equal(worker.requests.length, before)
    for (const model of ['large', 'hidden']) assert.equal((await chat('all', model)).status, 200)
  })

  test('that answer in place of an allowed one are allowed with it', { timeout }, async (t) => {
    const { chat, worker } = await start(t, { modelFallback: ['small=large'], disableRetries: true })
    worker.use((request) =>
      (request.json() as { model: string }).model === 'small' ? answer(500, '{}') : undefined,
    )
    const { status, head } = await chat('some', 'small')
    assert.deepEqual([status, head.header('x-router-model')], [200, 'large'])
  })

  test('are listed as far as they are allowed', { timeout }, async () => {
    const { ask } = await setup()
    const listed = async (name: string) => {
      const { text } = await ask(name, { path: '/v1/models' })
      return (JSON.parse(text) as { data: { id: string }[] }).data.map(({ id }) => id)
    }
    assert.deepEqual(await listed('some'), ['small', 'alias'])
    assert.deepEqual(await listed('all'), ['small', 'large', 'alias', 'hidden'])
    assert.equal((await ask('some', { path: '/v1/models/alias' })).status, 200)
    assert.equal((await ask('some', { path: '/v1/models/large' })).code, 'model_not_found')
    assert.equal((await ask('some', { path: '/v1/models/%6carge' })).code, 'model_not_found')
    assert.doesNotMatch((await ask('some', { path: '/v1/models/x' })).text, /large|hidden/)
  })

  test('are refused in the words of the API that is spoken', { timeout }, async () => {
    const { ask } = await setup()
    const json = { model: 'large', max_tokens: 1, messages: [{ role: 'user', content: 'hi' }] }
    const { status, text } = await ask('some', { path: '/v1/messages', json })
    const { type, error } = JSON.parse(text) as { type: string; error: { type: string; code: string } }
    assert.deepEqual(
      [status, type, error.type, error.code],
      [404, 'error', 'not_found_error', 'model_not_found'],
    )
  })

  test('are looked for in forms, too', { timeout }, async () => {
    const { ask, worker } = await setup()
    const form = (...models: readonly string[]) =>
      models
        .map((model) => `--B\r\nContent-Disposition: form-data; name="model"\r\n\r\n${model}\r\n`)
        .join('')
    const sent = (body: string, type = 'multipart/form-data; boundary=B') =>
      ask('some', {
        ...{ path: '/v1/audio/transcriptions', method: 'POST', body },
        headers: { 'content-type': type },
      })
    assert.equal((await sent(`${form('small')}--B--\r\n`)).status, 200)
    assert.equal((await sent(`${form('large')}--B--\r\n`)).code, 'model_not_found')
    const before = worker.requests.length
    for (const [body, type] of [
      [`${form('small', 'large')}--B--\r\n`, undefined],
      [`${form('small').replace('"model"', 'model')}--B--\r\n`, undefined],
      [`{"model":"small"}\r\n${form('large')}--B--\r\n`, undefined],
      ['model=small;model=large', 'application/x-www-form-urlencoded'],
      ['{"model":"small"}', 'multipart/form-data; boundary=B'],
    ] as const)
      assert.deepEqual(
        await sent(body, type).then(({ status, code }) => [status, code]),
        [400, 'invalid_request'],
        body,
      )
    assert.equal(worker.requests.length, before)
  })

  test('are refused where the body names none, or cannot be read for sure', { timeout }, async () => {
    const { ask, worker } = await setup()
    const before = worker.requests.length
    const bodies = [
      ...[
        '{"prompt":"x"}',
        '{"model":null}',
        '{"model":["large"]}',
        '{"model":5}',
        '{"model":"large","x":NaN}',
      ],
      ...[
        '[{"model":"large"}]',
        'model: large',
        Buffer.from('{"model":"large"}', 'utf16le').toString('latin1'),
      ],
    ]
    for (const body of bodies) {
      const { status, code } = await ask('some', { path: '/some/route', method: 'POST', body })
      assert.deepEqual([status, code], [400, 'invalid_request'], body)
    }
    assert.equal(worker.requests.length, before)
    // The last of several counts, for every reader of JSON.
    for (const [body, status] of [
      ['{"model":"large","model":"small"}', 200],
      ['{"model":"small","model":"large"}', 404],
      ['{"model":"small","mod\\u0065l":"large"}', 404],
    ] as const)
      assert.equal((await ask('some', { path: '/some/route', method: 'POST', body })).status, status, body)
    // Nothing is run where there is no body.
    assert.equal((await ask('some', { path: '/version' })).status, 404)
    assert.ok(worker.probes.some(({ path }) => path === '/version'))
    assert.equal(
      (await ask('all', { path: '/some/route', method: 'POST', body: '{"prompt":"x"}' })).status,
      200,
    )
  })

  test('are found behind any number of keys and blanks', { timeout }, async () => {
    const { ask, worker } = await setup()
    const many = Array.from({ length: 60_000 }, (_, at) => `"k${at}":${at}`).join()
    const before = worker.requests.length
    const body = `{"model":"small",${many},"model"${' '.repeat(9000)}:"large"}`
    const { status, code } = await ask('some', { path: '/some/route', method: 'POST', body })
    assert.deepEqual([status, code], [404, 'model_not_found'])
    assert.equal(worker.requests.length, before)
  })
})

describe('stored responses', () => {
  const storing: Chooser = (request) => {
    if (!request.path.startsWith('/v1/responses')) return undefined
    const id =
      request.method === 'POST' && request.path === '/v1/responses'
        ? `resp_${Math.random().toString(16).slice(2)}`
        : ''
    return answer(200, JSON.stringify({ id: id || request.path.split('/')[3], secret: 'answer' }))
  }
  const create = { path: '/v1/responses', json: { model: 'small', input: 'x' } }

  test('are read, gone on from and deleted by whose request made them, and by nobody else', {
    timeout,
  }, async (t) => {
    const { ask, worker } = await start(t, { routerApiKeys: ['key-of-nobody'] }, storing)
    const owners = ['all', 'some', 'nobody']
    const made = await Promise.all(
      owners.map(async (name) => (JSON.parse((await ask(name, create)).text) as { id: string }).id),
    )
    const reached = () =>
      worker.requests.length + worker.probes.filter(({ path }) => path.includes('resp_')).length
    for (const [at, owner] of owners.entries()) {
      const id = made[at]!
      const requests: RawRequestOptions[] = [
        { path: `/v1/responses/${id}` },
        { path: `/v1/responses/${id}/input_items` },
        { path: `/v1/responses/${id}/cancel`, method: 'POST' },
        { path: `/v1/responses/${id}`, method: 'DELETE' },
        { path: `/v1/responses/${id.replace('_', '%5f')}` },
        { path: '/v1/responses', json: { ...create.json, previous_response_id: id } },
      ]
      const disguised: RawRequestOptions[] = [
        ...[
          `//v1/responses/${id}`,
          `/v1//responses//${id}`,
          `/root/v1/responses/${id}`,
          `/V1/RESPONSES/${id}`,
        ],
        ...[`/v1/responses/own/../${id}`, `/v1/responses/${id};x`, `/v1/%72esponses/${id}`],
      ].map((path) => ({ path }))
      disguised.push({ path: '/root/v1/responses', json: { ...create.json, previous_response_id: id } })
      disguised.push({
        ...{ path: '/root/v1/responses', method: 'POST' },
        body: `{"model":"small","x":NaN,"previous_response_id":"${id}"}`,
      })
      for (const name of owners.filter((other) => other !== owner)) {
        const before = reached()
        for (const request of [...requests, ...disguised]) {
          const { status, text } = await ask(name, request)
          assert.ok(status === 404 || status === 400, `${name}: ${request.method} ${request.path} ${status}`)
          assert.doesNotMatch(text, /answer/)
        }
        assert.equal(reached(), before, `${name} reaches nobody with what ${owner} has`)
      }
      for (const request of requests)
        assert.notEqual((await ask(owner, request)).code, 'not_found', request.path)
    }
  })

  test('that the router has not seen made are nobody’s, where there are keys', { timeout }, async (t) => {
    const { ask, gateway, worker, port } = await start(t, {}, storing)
    const { status, code } = await ask('all', { path: '/v1/responses/resp_of_another_router' })
    assert.deepEqual([status, code], [404, 'not_found'])
    assert.ok(worker.probes.every(({ path }) => !path.includes('resp_')))
    gateway.reconfigure({ ...gateway.config, keys: undefined })
    await send(port, { path: '/v1/responses/resp_of_another_router' })
    assert.ok(worker.probes.some(({ path }) => path.includes('resp_')))
  })
})

describe('sessions', () => {
  test('of the same name are two where two tenants have them', { timeout }, async (t) => {
    const seen: (string | undefined)[] = []
    const finished: string[] = []
    const { chat, ask } = await start(t, {
      policy: 'spy',
      routerApiKeys: ['key-of-nobody'],
      selectionPolicies: {
        spy: () => ({
          reads: { session: true },
          select(candidates, { session }) {
            seen.push(session)
            return candidates[0]!
          },
          finish: (session) => void finished.push(session),
        }),
      },
    })
    for (const name of ['all', 'some', 'nobody']) await chat(name, 'small', { session_id: 's' })
    assert.deepEqual(seen, ['all\0s', 'some\0s', 's'])
    await ask('some', { path: '/finish_session', json: { session_id: 's' } })
    await ask('nobody', { path: '/finish_session', json: { session_id: 'all\0s' } })
    assert.deepEqual(finished, ['some\0s'])
  })
})

describe('what is left behind', () => {
  test('is the name of the tenant, in log, metrics, traces and the last requests', { timeout }, async (t) => {
    const receiver = await startOtlpReceiver(t)
    const { chat, lines, gateway, operationsPort } = await start(t, { otlpTracesEndpoint: receiver.url })
    await chat('some', 'small', { stream: true })
    await chat('some', 'large')
    await chat('wrong', 'small')
    const tenants = lines.filter(({ msg }) => msg === 'request').map(({ tenant, status }) => [tenant, status])
    assert.deepEqual(tenants, [
      ['some', 200],
      ['some', 404],
      [undefined, 401],
    ])
    const { text } = await gateway
      .operations(new Request('http://127.0.0.1/metrics'))
      .then(async (response) => ({
        text: await response.text(),
      }))
    const counted = [...text.matchAll(/^vllm_router_tenant_requests_total\{(.*)\} ([1-9]\d*)$/gm)].map(
      ([, labels, value]) => [labels, value],
    )
    assert.deepEqual(counted, [
      ['tenant="some",outcome="success"', '1'],
      ['tenant="some",outcome="client_error"', '1'],
    ])
    assert.match(text, /tenant="all",outcome="failure"\} 0/)
    const about = async (query: string) => {
      const { body } = await send(operationsPort, { path: `/debug/requests?${query}` })
      return (JSON.parse(body.bytes.toString()) as { requests: { tenant?: string }[] }).requests.map(
        ({ tenant }) => tenant,
      )
    }
    assert.deepEqual(await about('tenant=some'), ['some', 'some'])
    assert.deepEqual(await about('tenant=all'), [])
    await gateway.stop({ settle: false })
    assert.match(receiver.bodies.join(), /"vllm_router\.tenant","value":\{"stringValue":"some"\}/)
  })

  test('makes no series but those of the list, and theirs go with them', { timeout }, async (t) => {
    const { port, gateway, chat } = await start(t, {
      keys: undefined,
      middleware: [
        {
          position: 'before',
          middleware(c, next) {
            const name = c.env.incoming.header('x-made-up') ?? ''
            c.set('tenant', { name, priority: 'normal', weight: 1, limits: {}, models: ['small'] })
            return next()
          },
        },
      ],
    })
    const series = async () => {
      const response = await gateway.operations(new Request('http://127.0.0.1/metrics'))
      const found = (await response.text()).matchAll(/^vllm_router_tenant_requests_total\{tenant="(.*?)"/gm)
      return [...new Set([...found].map(([, name]) => name))].toSorted()
    }
    const json = { model: 'large', prompt: 'x' }
    const { head } = await send(port, { path: '/v1/completions', json, headers: { 'x-made-up': 'made-up' } })
    // What such a tenant may do holds all the same.
    assert.equal(head.status, 404)
    assert.deepEqual(await series(), ['other'])
    gateway.reconfigure({ ...gateway.config, keys: [all, some] })
    await chat('all', 'small')
    assert.deepEqual(await series(), ['all', 'other', 'some'])
    gateway.reconfigure({ ...gateway.config, keys: [all] })
    assert.deepEqual(await series(), ['all', 'other'])
  })
})

describe('keys and tokens', () => {
  test('stay at the router, unless told otherwise', { timeout }, async (t) => {
    const seen = (worker: ScriptedWorker) =>
      worker.requests
        .at(-1)
        ?.headers.filter(([name]) => /auth|key/i.test(name))
        .map(([, value]) => value)
    const { chat, worker, gateway } = await start(t, { apiKey: 'of-the-workers' })
    await chat('all', 'small')
    assert.deepEqual(seen(worker), ['Bearer of-the-workers'])
    gateway.reconfigure({ ...gateway.config, passClientKeys: true })
    await chat('all', 'small')
    assert.deepEqual(seen(worker), ['Bearer key-of-all'])
  })

  test('of an issuer stand for a tenant, with all that holds for it', { timeout }, async (t) => {
    const issuer = await startTokenIssuer(t)
    await issuer.addKey('one')
    const jwt = { jwtJwksUrl: issuer.url, jwtIssuer: 'https://issuer.example/', jwtAudience: ['router'] }
    const { ask, gateway, worker } = await start(t, {
      ...jwt,
      keys: [all, { name: 'by-token', models: ['small'] }],
    })
    const completion = async (token: string, model = 'small') => {
      const { status, code } = await ask('', {
        ...{ path: '/v1/completions', json: { model, prompt: 'x' } },
        headers: { authorization: `Bearer ${token}` },
      })
      return [status, code]
    }
    const token = await issuer.token({ sub: 'by-token' })
    assert.deepEqual(await completion(token), [200, undefined])
    assert.equal(worker.requests.at(-1)?.header('authorization'), undefined)
    assert.deepEqual(await completion(token, 'large'), [404, 'model_not_found'])
    assert.deepEqual(await completion(await issuer.token({ sub: 'stranger' })), [403, 'forbidden'])
    assert.deepEqual(await completion(await issuer.token({ sub: 'by-token', aud: 'x' })), [
      401,
      'invalid_api_key',
    ])
    assert.deepEqual(await completion(await issuer.token({ sub: 'by-token' }, { expiresIn: -90 })), [
      ...[401, 'expired_api_key'],
    ])
    // A reload that is not about tokens leaves the keys known, also while the issuer is away.
    await issuer.close()
    gateway.reconfigure({ ...gateway.config, keys: [all, { name: 'by-token' }] })
    assert.deepEqual(await completion(token, 'large'), [200, undefined])
    gateway.reconfigure({ ...gateway.config, jwtAudience: ['router', 'more'] })
    assert.deepEqual(await completion(token), [503, 'jwks_unreachable'])
    assert.equal((await ask('all', { path: '/v1/models' })).status, 200)
  })
})
