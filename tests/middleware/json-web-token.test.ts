/** Tokens of an issuer whose keys are read over HTTP: who is believed, who is not, and what happens when it is away. */

import assert from 'node:assert/strict'
import { createHmac } from 'node:crypto'
import { describe, test } from 'node:test'
import { exportSPKI, importJWK } from 'jose'
import { RouterError } from '../../http/errors.ts'
import { type JsonWebTokenOptions, JsonWebTokens } from '../../middleware/json-web-token.ts'
import { eventually, within } from '../support/deadline.ts'
import { ManualClock } from '../support/manual-clock.ts'
import type { Scope } from '../support/scope.ts'
import { audience, issuer, startTokenIssuer } from '../support/token-issuer.ts'

async function start(t: Scope, options: Partial<JsonWebTokenOptions> = {}) {
  const own = await startTokenIssuer(t)
  await own.addKey('one')
  const clock = new ManualClock()
  const told: boolean[] = []
  const tokens = new JsonWebTokens({
    ...{ url: own.url, issuer, audience: ['other', audience], claim: 'sub', now: () => clock.now() },
    onReachable: (reachable) => told.push(reachable),
    ...options,
  })
  const refusal = async (token: string): Promise<string> => {
    const answer = tokens.verify(token).then(
      (name) => `let in as ${name}`,
      (error: unknown) => {
        assert.ok(error instanceof RouterError, String(error))
        assert.ok(!error.message.includes(token), 'no token in the text')
        return `${error.code} ${error.status}: ${error.message}`
      },
    )
    return within(5000, answer, 'a word on the token')
  }
  return { own, clock, told, tokens, refusal }
}

const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')

describe('a token', () => {
  test('says who it stands for', async (t) => {
    const { own, tokens } = await start(t)
    assert.equal(await tokens.verify(await own.token()), 'team-a')
    assert.equal(await tokens.verify(await own.token({ aud: ['x', 'other'] })), 'team-a')
    assert.equal(own.reads, 1)
  })

  test('may be signed in each of the ways with two keys', async (t) => {
    const { own, tokens, clock } = await start(t)
    for (const algorithm of ['RS256', 'PS256', 'ES384', 'EdDSA']) {
      await own.addKey(algorithm, algorithm)
      clock.advance(20_000)
      assert.equal(await tokens.verify(await own.token()), 'team-a', algorithm)
    }
  })

  test('names its owner in the claim that is told', async (t) => {
    const { own, tokens, refusal } = await start(t, { claim: 'https://example.com/team' })
    assert.equal(await tokens.verify(await own.token({ 'https://example.com/team': 'b' })), 'b')
    assert.match(
      await refusal(await own.token()),
      /invalid_api_key 401: .*claim "https:\/\/example\.com\/team" is missing/,
    )
    for (const value of [1, ['b'], { b: 1 }])
      assert.match(await refusal(await own.token({ 'https://example.com/team': value })), /is no text/)
  })

  test('is refused when it was made for somebody else, is over, or not yet valid', async (t) => {
    const { own, refusal } = await start(t)
    const now = Math.floor(Date.now() / 1000)
    const wrong = /invalid_api_key 401: The token presented is not valid here: its claim "(\w+)" is (\w+)/
    assert.deepEqual(wrong.exec(await refusal(await own.token({ aud: 'somebody' })))?.slice(1), [
      'aud',
      'not',
    ])
    assert.deepEqual(wrong.exec(await refusal(await own.token({ aud: undefined })))?.slice(1), [
      'aud',
      'missing',
    ])
    assert.deepEqual(wrong.exec(await refusal(await own.token({ iss: 'https://evil/' })))?.slice(1), [
      'iss',
      'not',
    ])
    assert.deepEqual(wrong.exec(await refusal(await own.token({ nbf: now + 600 })))?.slice(1), ['nbf', 'not'])
    assert.deepEqual(wrong.exec(await refusal(await own.token({}, { expiresIn: undefined })))?.slice(1), [
      ...['exp', 'missing'],
    ])
    assert.match(await refusal(await own.token({}, { expiresIn: -60 })), /expired_api_key 401: .*has expired/)
  })

  test('is taken while the clocks differ by a little', async (t) => {
    const { own, tokens } = await start(t)
    assert.equal(await tokens.verify(await own.token({}, { expiresIn: -10 })), 'team-a')
    assert.equal(await tokens.verify(await own.token({ nbf: Math.floor(Date.now() / 1000) + 10 })), 'team-a')
  })

  test('that is not signed by the issuer tells nothing of why it is refused', async (t) => {
    const { own, refusal } = await start(t)
    const right = await own.token()
    const [header = '', payload = '', signature = ''] = right.split('.')
    const now = Math.floor(Date.now() / 1000)
    const claims = { iss: issuer, aud: audience, sub: 'team-b', exp: now + 60 }
    const unsigned = `${part({ alg: 'none', typ: 'JWT' })}.${part(claims)}.`
    // With the public key of the issuer as a shared secret: what a verifier would do that takes any algorithm.
    const publicKey = await exportSPKI((await importJWK(own.published[0]!, 'ES256')) as never)
    const confused = ['HS256', 'HS512'].flatMap((alg) =>
      [publicKey, JSON.stringify(own.published[0]), own.published[0]!.x ?? ''].map((secret) => {
        const signed = `${part({ alg, kid: 'one' })}.${part(claims)}`
        return `${signed}.${createHmac(alg === 'HS256' ? 'sha256' : 'sha512', secret)
          .update(signed)
          .digest('base64url')}`
      }),
    )
    const stranger = await startTokenIssuer(t)
    await stranger.addKey('one')
    const jwk = stranger.published[0]
    const embedded = `${part({ alg: 'ES256', kid: 'one', jwk, jku: stranger.url })}.${part(claims)}.${signature}`
    const forged = [
      ...[unsigned, `${unsigned}${signature}`, ...confused, embedded, await stranger.token()],
      `${header}.${part(claims)}.${signature}`,
      `${header}.${payload}.${signature.slice(0, -4)}AAAA`,
      ...[
        `${header}.${payload}`,
        `${header}.${payload}.`,
        'eyJ',
        'eyJ..',
        `${right}.${signature}`,
        `eyJ${'a'.repeat(9000)}.b.c`,
      ],
      `${part({ alg: 'ES256', kid: 'one', crit: ['exp'] })}.${payload}.${signature}`,
    ]
    for (const token of forged)
      assert.equal(await refusal(token), 'invalid_api_key 401: The token presented is not valid here.', token)
  })
})

describe('the keys of the issuer', () => {
  test('are read once, however many tokens come at once', async (t) => {
    const { own, tokens } = await start(t)
    const made = await Promise.all(Array.from({ length: 20 }, () => own.token()))
    assert.deepEqual(
      new Set(await Promise.all(made.map((token) => tokens.verify(token)))),
      new Set(['team-a']),
    )
    assert.equal(own.reads, 1)
  })

  test('may be read before the first token comes', async (t) => {
    const { own, tokens } = await start(t)
    tokens.warm()
    await eventually(() => own.reads === 1, { what: 'the keys are read' })
    assert.equal(await tokens.verify(await own.token()), 'team-a')
    assert.equal(own.reads, 1)
  })

  test('are read again for one that is not known, and not more often than every 10 s', async (t) => {
    const { own, clock, tokens, refusal } = await start(t)
    assert.equal(await tokens.verify(await own.token()), 'team-a')
    await own.addKey('two')
    const rotated = await own.token({}, { kid: 'two' })
    assert.match(await refusal(rotated), /invalid_api_key 401/)
    assert.equal(own.reads, 1)
    clock.advance(10_000)
    assert.equal(await tokens.verify(rotated), 'team-a')
    assert.equal(await tokens.verify(await own.token({}, { kid: 'one' })), 'team-a')
    assert.equal(own.reads, 2)
    const stranger = await startTokenIssuer(t)
    await stranger.addKey('three')
    for (let at = 0; at < 20; at++) assert.match(await refusal(await stranger.token()), /invalid_api_key 401/)
    assert.equal(own.reads, 2)
  })

  test('that are gone are no longer taken after some minutes', async (t) => {
    const { own, clock, tokens, refusal } = await start(t)
    await own.addKey('two')
    const old = await own.token({}, { kid: 'one' })
    assert.equal(await tokens.verify(old), 'team-a')
    own.dropKey('one')
    assert.equal(await tokens.verify(old), 'team-a')
    clock.advance(300_001)
    // Behind the request that finds them old.
    assert.equal(await tokens.verify(old), 'team-a')
    await eventually(async () => (await refusal(old)).startsWith('invalid_api_key'), {
      what: 'the key is gone',
    })
    assert.equal(await tokens.verify(await own.token({}, { kid: 'two' })), 'team-a')
  })

  test('that are known serve on while the issuer is away; of others nothing can be told', async (t) => {
    const { own, clock, told, tokens, refusal } = await start(t)
    const known = await own.token()
    assert.equal(await tokens.verify(known), 'team-a')
    await own.close()
    await own.addKey('two')
    const unknown = await own.token()
    const away = /^jwks_unreachable 503: .*the keys of its issuer cannot be read now/
    for (let minute = 0; minute < 60; minute++) {
      clock.advance(60_000)
      assert.equal(await tokens.verify(known), 'team-a')
      assert.match(await refusal(unknown), away)
    }
    assert.deepEqual(told, [false])
    await own.reopen()
    clock.advance(60_000)
    assert.equal(await tokens.verify(unknown), 'team-a')
    assert.deepEqual(told, [false, true])
  })

  test('that were never read let nobody in, and are not asked for without end', async (t) => {
    const { own, clock, told, refusal, tokens } = await start(t)
    const token = await own.token()
    const away = /^jwks_unreachable 503/
    const answers = [
      (response: import('node:http').ServerResponse) => void response.writeHead(500).end(),
      (response: import('node:http').ServerResponse) =>
        void response.writeHead(302, { location: own.url }).end(),
      (response: import('node:http').ServerResponse) => void response.end('no JSON'),
      (response: import('node:http').ServerResponse) => void response.end('{"keys":1}'),
      (response: import('node:http').ServerResponse) => void response.destroy(),
    ]
    for (const [at, answer] of answers.entries()) {
      own.use(answer)
      assert.match(await refusal(token), away)
      const { reads } = own
      // Within the pause: at once, and without asking.
      assert.match(await refusal(token), away)
      assert.equal(own.reads, reads, String(at))
      clock.advance(5000)
    }
    own.use((response) => void response.end('{"keys":[]}'))
    assert.match(await refusal(token), /^invalid_api_key 401/)
    own.use(undefined)
    clock.advance(10_000)
    assert.equal(await tokens.verify(token), 'team-a')
    assert.deepEqual(told, [false, true])
  })

  test('do not hold a request for ever where the issuer is silent', async (t) => {
    const { own, refusal } = await start(t, { times: { timeout: 100 } })
    own.use(() => {})
    assert.match(await refusal(await own.token()), /^jwks_unreachable 503/)
  })
})
