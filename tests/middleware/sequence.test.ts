import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { MiddlewareHandler } from 'hono'
import { RouterError } from '../../http/errors.ts'
import { sequence } from '../../middleware/sequence.ts'
import { errorOf, middlewareApp } from '../support/middleware-app.ts'

test('several middlewares run in their order, each around those that follow', async () => {
  const told: string[] = []
  const link =
    (name: string): MiddlewareHandler =>
    async (_, next) => {
      told.push(`${name} begins`)
      await next()
      told.push(`${name} ends`)
    }
  const { fetch } = middlewareApp([sequence(link('one'), link('two'))], async (c) => {
    told.push('handler')
    return c.text('handled')
  })
  assert.equal(await (await fetch('/')).text(), 'handled')
  assert.deepEqual(told, ['one begins', 'two begins', 'handler', 'two ends', 'one ends'])
})

test('one that throws, or answers itself, keeps the request from those that follow', async () => {
  const unreached: MiddlewareHandler = () => assert.fail('not reached')
  const refusing = middlewareApp([
    sequence(() => {
      throw new RouterError('forbidden', 'no')
    }, unreached),
  ])
  await errorOf(await refusing.fetch('/'), 403, 'forbidden')
  const answering = middlewareApp([sequence(async (c) => c.text('early'), unreached)])
  assert.equal(await (await answering.fetch('/')).text(), 'early')
})

test('none at all is no obstacle', async () => {
  assert.equal((await middlewareApp([sequence()]).fetch('/')).status, 200)
})
