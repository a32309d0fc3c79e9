import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { RouterError } from '../../../../http/errors.ts'
import { registering } from '../../../support/discovering.ts'

const a = { url: 'http://a:8000' }
const b = { url: 'http://b:8000' }
const refusedWith = (code: string) => (error: unknown) => {
  assert.ok(error instanceof RouterError)
  assert.equal(error.code, code)
  return true
}

describe('a worker and its sources', () => {
  test('a source replaces its own set and nobody else’s', () => {
    const { registry, members } = registering()
    registry.assign('static', [a])
    registry.assign('file', [b])
    assert.deepEqual(members(), ['http://a:8000', 'http://b:8000'])
    registry.assign('file', [])
    assert.deepEqual(members(), ['http://a:8000'])
  })

  test('a worker of two sources stays, the very same, until both have dropped it', () => {
    const { registry, pool } = registering()
    registry.assign('static', [a])
    const [worker] = pool.workers
    registry.assign('file', [{ url: 'http://A:8000/' }])
    registry.assign('static', [])
    assert.deepEqual(pool.workers, [worker])
    assert.equal(worker?.removed, false)
    registry.assign('file', [])
    assert.deepEqual(pool.workers, [])
    assert.equal(worker?.removed, true)
  })

  test('a worker that comes back is a new one', () => {
    const { registry, pool } = registering()
    registry.assign('file', [a, b])
    const [, before] = pool.workers
    registry.assign('file', [a])
    registry.assign('file', [a, b])
    const [, after] = pool.workers
    assert.notEqual(after, before)
    assert.deepEqual([before?.removed, after?.removed], [true, false])
  })

  test('so is another one at the same address, between two looks', () => {
    const { registry, pool } = registering()
    registry.assign('kubernetes', [{ ...a, identity: 'pod-1' }])
    const [before] = pool.workers
    registry.assign('kubernetes', [{ ...a, identity: 'pod-1' }])
    assert.deepEqual(pool.workers, [before])
    registry.assign('kubernetes', [{ ...a, identity: 'pod-2' }])
    const [after] = pool.workers
    assert.equal(pool.workers.length, 1)
    assert.notEqual(after, before)
  })

  test('a source sets its workers draining and takes that back', () => {
    const { registry, members, reports } = registering()
    registry.assign('kubernetes', [{ ...a, draining: true }, b])
    assert.deepEqual(members(), ['http://a:8000 draining', 'http://b:8000'])
    registry.assign('kubernetes', [a, b])
    assert.deepEqual(members(), ['http://a:8000', 'http://b:8000'])
    assert.deepEqual(reports, ['http://a:8000 draining', 'http://a:8000 serving'])
  })

  test('a source weighs its workers, and takes that back; the pool chooses anew', () => {
    const { registry, pool } = registering()
    registry.assign('static', [a])
    registry.assign('file', [{ ...a, weight: 2 }, b])
    assert.deepEqual(
      pool.workers.map(({ weight }) => weight),
      [2, 1],
    )
    registry.assign('file', [{ ...b, weight: 0.5 }])
    assert.deepEqual(
      pool.workers.map(({ weight }) => weight),
      [1, 0.5],
    )
  })

  test('draining is draining as long as one source, or an operator, says so', () => {
    const { registry, pool } = registering()
    registry.assign('static', [a])
    registry.assign('kubernetes', [{ ...a, draining: true }])
    const [worker] = pool.workers
    assert.ok(worker)
    registry.drain(worker, true)
    registry.assign('kubernetes', [a])
    assert.equal(worker.draining, true)
    registry.drain(worker, false)
    assert.equal(worker.draining, false)
  })
})

describe('operators', () => {
  test('what they add is a source of its own', () => {
    const { registry, members } = registering()
    const worker = registry.add('http://b:8000')
    registry.assign('static', [a])
    registry.assign('static', [])
    assert.deepEqual(members(), ['http://b:8000'])
    registry.remove(worker)
    assert.deepEqual(members(), [])
  })

  test('they cannot add what is there, in whatever spelling', () => {
    const { registry } = registering()
    registry.assign('static', [{ url: 'http://a' }])
    assert.throws(() => registry.add('http://a:80/'), refusedWith('invalid_request'))
  })

  test('what they take out stays out while its source names it, and may come back afterwards', () => {
    const { registry, members, pool } = registering()
    registry.assign('kubernetes', [{ ...a, identity: 'pod-1' }, b])
    const [worker] = pool.workers
    assert.ok(worker)
    registry.remove(worker)
    registry.assign('kubernetes', [{ ...a, identity: 'pod-1' }, b])
    assert.deepEqual(members(), ['http://b:8000'])
    registry.assign('kubernetes', [{ ...a, identity: 'pod-2' }, b])
    assert.deepEqual(members(), ['http://a:8000', 'http://b:8000'])
  })

  test('what they took out they can put back, and the source has it again', () => {
    const { registry, members, pool } = registering()
    registry.assign('file', [a])
    registry.remove(pool.workers[0] ?? assert.fail())
    const worker = registry.add('http://a:8000')
    registry.withdraw(worker)
    assert.deepEqual(members(), ['http://a:8000'])
    assert.equal(worker.removed, false)
  })

  test('a source’s worker that is not allowed is told of once, for as long as the source names it', () => {
    const { registry, reports, members } = registering({ allow: ['a'] })
    registry.assign('file', [a, b])
    registry.assign('file', [b])
    assert.deepEqual(reports, ['file: http://b:8000 refused'])
    assert.deepEqual(members(), [])
    registry.assign('file', [])
    registry.assign('file', [b])
    assert.equal(reports.length, 2)
    registry.assign('static', [b])
    assert.deepEqual(members(), ['http://b:8000'])
  })

  test('each of their changes is told, so that the other processes hear of it', () => {
    let told = 0
    const { registry } = registering({ onOperatorChange: () => void told++ })
    const changes = [
      () => registry.add('http://a:8000'),
      () => registry.drain(registry.find('http://a:8000')!, true),
      () => registry.withdraw(registry.find('http://a:8000')!),
      () => registry.add('http://b:8000'),
      () => registry.remove(registry.find('http://b:8000')!),
    ]
    for (const [index, change] of changes.entries()) {
      change()
      assert.equal(told, index + 1, String(index))
    }
    registry.assign('file', [a])
    assert.equal(told, changes.length, 'what a source says every process finds out by itself')
  })

  test('a removed worker is out of their reach', () => {
    const { registry, members } = registering()
    const worker = registry.add('http://a:8000')
    registry.remove(worker)
    registry.assign('file', [a])
    registry.remove(worker)
    registry.drain(worker, true)
    assert.deepEqual(members(), ['http://a:8000'])
  })
})

describe('--worker-url-allow', () => {
  test('holds for every source but the configuration’s own list, and is told once', () => {
    const { registry, members, reports } = registering({ allow: ['10.0.0.0/8'] })
    registry.assign('static', [a])
    const inside = { url: 'http://10.1.2.3:8000' }
    registry.assign('kubernetes', [b, inside])
    registry.assign('kubernetes', [b, inside])
    assert.deepEqual(members(), ['http://10.1.2.3:8000', 'http://a:8000'])
    assert.deepEqual(reports, ['kubernetes: http://b:8000 refused'])
    assert.throws(() => registry.add('http://c:8000'), refusedWith('forbidden'))
  })

  test('what a source names beyond it is not counted as its worker', () => {
    const { registry } = registering({ allow: ['10.0.0.0/8'] })
    registry.assign('file', [b, { url: 'http://10.1.2.3' }])
    assert.deepEqual([...registry.counts()], [['file', 1]])
  })
})

describe('TLS files of a worker', () => {
  const tls = { ca: 'authority', cert: 'certificate', key: 'key' }

  function told() {
    const sets: string[] = []
    const kit = registering({ setTls: (origin, files) => sets.push(`${origin} ${files?.ca ?? 'none'}`) })
    return { ...kit, sets }
  }

  test('are told when they come, change and go, and not when they are the same', () => {
    const { registry, sets } = told()
    registry.assign('file', [{ ...a, tls }])
    registry.assign('file', [{ ...a, tls: { ...tls } }])
    assert.deepEqual(sets, ['http://a:8000 authority'])
    registry.assign('file', [{ ...a, tls: { ...tls, ca: 'another' } }])
    registry.assign('file', [{ ...a, tls: { ...tls, ca: 'another', cert: 'c2' } }])
    registry.assign('file', [{ ...a, tls: { ...tls, ca: 'another', cert: 'c2', key: 'k2' } }])
    registry.assign('file', [a])
    assert.deepEqual(sets.slice(1), [
      'http://a:8000 another',
      'http://a:8000 another',
      'http://a:8000 another',
      'http://a:8000 none',
    ])
  })

  test('are taken back when the worker leaves', () => {
    const { registry, sets } = told()
    registry.assign('file', [{ ...a, tls }, b])
    registry.assign('file', [])
    assert.deepEqual(sets, ['http://a:8000 authority', 'http://a:8000 none'])
  })

  test('stay for another worker behind the same origin', () => {
    const { registry, sets } = told()
    const [one, two] = [`${a.url}/one`, `${a.url}/two`]
    registry.assign('file', [
      { url: one, tls },
      { url: two, tls: { ...tls, ca: 'another' } },
      { ...b, tls: { ca: 'elsewhere' } },
    ])
    sets.length = 0
    registry.assign('file', [
      { url: two, tls: { ...tls, ca: 'another' } },
      { ...b, tls: { ca: 'elsewhere' } },
    ])
    assert.deepEqual(sets, ['http://a:8000 another'])
  })
})

test('a worker is found by its id, and by its URL in any spelling', () => {
  const { registry, pool } = registering()
  registry.assign('static', [a, b])
  const [, second] = pool.workers
  assert.equal(registry.find(second!.id), second)
  assert.equal(registry.find('http://B:8000/'), second)
  assert.equal(registry.find('http://c:8000'), undefined)
  assert.equal(registry.find('nobody'), undefined)
})

test('what is no worker’s URL is refused, with what would be one', () => {
  const { registry, pool } = registering()
  for (const [url, message] of [
    ['htp://a:8000', 'not a worker URL: did you mean "http://a:8000"?'],
    ['http://a:0', 'not a worker URL: port 0 cannot be connected to'],
    ['', 'not a worker URL'],
  ] as const)
    assert.throws(
      () => registry.add(url),
      (error) => refusedWith('invalid_request')(error) && (error as RouterError).message === message,
    )
  assert.deepEqual(pool.workers, [])
})

test('an operator’s drain of a worker is told once, and undone by the operator alone', () => {
  const { registry, pool, reports } = registering()
  registry.assign('static', [a])
  registry.drain(pool.workers[0]!, true)
  registry.drain(pool.workers[0]!, true)
  registry.assign('static', [a, b])
  assert.deepEqual(reports, ['http://a:8000 draining'])
  assert.deepEqual(registry.operatorChanges().drained, ['http://a:8000'])
  registry.drain(pool.workers[0]!, false)
  assert.deepEqual(registry.operatorChanges(), { added: [], dismissed: [], drained: [] })
})
