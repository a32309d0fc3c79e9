/** Who serves which model, between two probes. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { ModelDirectory } from '../../../app/workers/model-directory.ts'
import { contextOf, takeModelList } from '../../../app/workers/model-list.ts'
import { AppClock, settled } from '../../support/app-clock.ts'
import { FakeClient } from '../../support/fake-client.ts'
import { testPool } from '../../support/pool.ts'

const list = (...ids: string[]) => ({
  status: 200,
  headers: [],
  body: JSON.stringify({ data: ids.map((id) => ({ id })) }),
})

function directory() {
  const clock = new AppClock()
  const client = new FakeClient(clock)
  const { pool, addHealthy } = testPool({ clock })
  const worker = addHealthy('http://a:1')
  client.answer(worker.origin, () => list('a'))
  const refused: string[] = []
  const options = {
    pool,
    client,
    clock,
    headers: [],
    onKeyRefused: ({ url }: { url: string }) => refused.push(url),
  }
  const models = new ModelDirectory(options)
  const asked = () => client.sent.length
  return { clock, client, pool, worker, addHealthy, models, refused, asked }
}

describe('a model that nobody lists', () => {
  test('has the workers asked again, at most once a second', async () => {
    const { clock, client, worker, models, asked } = directory()
    worker.listModels([{ id: 'old' }])
    await models.lookAgain()
    assert.deepEqual([...(worker.models ?? [])], ['a'])
    await models.lookAgain()
    assert.equal(asked(), 1)
    clock.advance(1000)
    client.answer(worker.origin, () => list('a', 'b'))
    await models.lookAgain()
    assert.deepEqual([asked(), worker.models?.has('b')], [2, true])
  })

  test('does not wait for a worker that does not answer', async () => {
    const { clock, client, worker, models } = directory()
    client.answer(worker.origin, () => 'never')
    const look = models.lookAgain()
    await clock.pass(1000, 100)
    await look
    // The next look asks again: the one before is over.
    clock.advance(5000)
    client.answer(worker.origin, () => list('late'))
    await settled()
    await models.lookAgain()
    assert.equal(worker.models?.has('late'), true)
  })

  test('has nobody asked who is not well', async () => {
    const { worker, models, asked } = directory()
    worker.health = { name: 'unhealthy', reason: '', cause: 'silent' }
    await models.lookAgain()
    assert.equal(asked(), 0)
  })

  test('that a worker has served is its own from then on; with a list, the list is read again', async () => {
    const { worker, models } = directory()
    models.served(worker.id, 'shown')
    assert.equal(worker.shownModels.has('shown'), true)
    worker.listModels([{ id: 'old' }])
    models.served(worker.id, 'a')
    await settled()
    assert.equal(worker.models?.has('a'), true)
    models.served('nobody', 'a')
  })
})

test('a worker that does not have what it lists is asked for its list; a made-up name teaches nothing', async () => {
  const { worker, models, pool, asked } = directory()
  worker.listModels([{ id: 'gone' }])
  models.missing(worker, 'gone')
  await settled()
  assert.deepEqual([asked(), worker.models?.has('gone')], [1, false])
  const other = pool.add('http://b:1')
  models.missing(other, 'made-up')
  assert.equal(other.unavailable('made-up') === 'other_model', false)
})

test('a worker that refuses the router’s key is told of once, and serves again when it takes it', async () => {
  const { worker, models, refused } = directory()
  models.refusedKey(worker, 401)
  models.refusedKey(worker, 401)
  assert.deepEqual(refused, [worker.url])
  assert.equal(worker.unavailable(undefined), 'key_refused')
  assert.match(worker.lastError?.message ?? '', /--api-key/)
  assert.equal(takeModelList(worker, list('a')), true)
  assert.equal(worker.unavailable(undefined), undefined)
})

test('what is no list changes nothing', () => {
  const { worker } = directory()
  worker.listModels([{ id: 'a', max_model_len: 4096 }])
  assert.equal(takeModelList(worker, { failed: { reason: '', cause: 'silent' } }), false)
  assert.equal(takeModelList(worker, { status: 500, body: '', headers: [] }), false)
  assert.equal(takeModelList(worker, { status: 200, body: '{"data":5}', headers: [] }), false)
  assert.deepEqual([...(worker.models ?? [])], ['a'])
  assert.equal(takeModelList(worker, { status: 401, body: '', headers: [] }), true)
  assert.equal(worker.modelsLocked, true)
  assert.equal(contextOf(worker, 'a'), 4096)
  assert.equal(contextOf(worker, 'b'), undefined)
})

test('who has no longer a context than a worker is known, where another has', () => {
  const { worker, models, addHealthy } = directory()
  const other = addHealthy('http://b:1')
  worker.listModels([{ id: 'a', max_model_len: 1000 }])
  other.listModels([{ id: 'a', max_model_len: 2000 }])
  const third = addHealthy('http://c:1')
  third.listModels([{ id: 'a', max_model_len: 1000 }])
  assert.deepEqual(models.noLonger(worker, 'a'), [worker, third])
  assert.equal(models.noLonger(other, 'a'), undefined)
  assert.equal(models.noLonger(worker, 'b'), undefined)
})

test('workers that hide their models are asked with the client’s own key; a refusal is told apart from an empty list', async () => {
  const { client, pool, models, addHealthy } = directory()
  const hidden = addHealthy('http://hidden:1')
  hidden.modelsLocked = true
  client.answer(hidden.origin, () => list('secret-model'))
  assert.deepEqual(await models.hiddenLists([]), [[{ id: 'secret-model' }]])
  client.answer(hidden.origin, () => 401)
  assert.deepEqual(await models.hiddenLists([]), [undefined])
  assert.equal(pool.workers.length, 2)
})

test('a worker that lists its models is taken at its word, whatever it seemed to lack before', () => {
  const { worker, pool } = directory()
  worker.learnModel('a', true)
  worker.learnModel('b', false)
  assert.equal(worker.unavailable('b'), 'other_model')
  worker.forgetLacking()
  assert.equal(worker.unavailable('b'), undefined)
  assert.equal(pool.knows('a'), true)
})

test('a worker that hides its models and does not have one that another lists gets no more requests for it', () => {
  const { worker, models, addHealthy, asked } = directory()
  worker.listModels([{ id: 'a' }])
  const hiding = addHealthy('http://b:1')
  models.missing(hiding, 'a')
  assert.equal(hiding.unavailable('a'), 'other_model')
  models.missing(worker, 'b')
  assert.equal(asked(), 0, 'it has never listed that one')
})

test('a look at the lists leaves no timer, and those who come meanwhile wait for the same', async () => {
  const { clock, client, worker, models, asked } = directory()
  client.answer(worker.origin, () => ({ ...list('a', 'b'), afterMs: 300 }))
  const looks = [models.lookAgain(), models.lookAgain()]
  await clock.pass(300)
  await Promise.all(looks)
  assert.deepEqual([asked(), worker.models?.has('b'), clock.pending], [1, true, 0])
  clock.advance(699)
  await models.lookAgain()
  assert.equal(asked(), 1)
})

test('a large fleet is asked less often: ten milliseconds of pause for each worker', async () => {
  const { clock, models, addHealthy, asked } = directory()
  for (let at = 0; at < 299; at++) addHealthy(`http://w${at}:1`)
  await models.lookAgain()
  clock.advance(2999)
  await models.lookAgain()
  assert.equal(asked(), 300)
  clock.advance(1)
  await models.lookAgain()
  assert.equal(asked(), 600)
})

test('a worker is asked for its list by one question at a time', async () => {
  const { clock, client, worker, models, asked } = directory()
  worker.listModels([{ id: 'old' }])
  client.answer(worker.origin, () => ({ ...list('a'), afterMs: 100 }))
  models.served(worker.id, 'a')
  models.served(worker.id, 'b')
  await clock.pass(100)
  assert.equal(asked(), 1)
  models.served(worker.id, 'b')
  assert.equal(asked(), 2)
})

test('an answer that is no list hides nothing and shows nothing to a client’s own key', async () => {
  const { client, models, addHealthy } = directory()
  const hidden = addHealthy('http://hidden:1')
  hidden.modelsLocked = true
  client.answer(hidden.origin, () => ({ status: 200, body: '{"data":7}' }))
  assert.deepEqual(await models.hiddenLists([]), [undefined])
  client.answer(hidden.origin, () => 'refused')
  assert.deepEqual(await models.hiddenLists([]), [undefined])
  hidden.listModels([{ id: 'a' }])
  assert.deepEqual(await models.hiddenLists([]), [], 'it hides nothing any more')
})
