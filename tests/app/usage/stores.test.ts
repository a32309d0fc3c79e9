/** Where usage is kept: in memory and in a file of SQLite, which must keep the same. */

import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { openDatabase } from '../../../app/runtime/sqlite.ts'
import { SqliteStore } from '../../../app/usage/sqlite-store.ts'
import { nothing, sumOf, type UsageRow } from '../../../app/usage/usage-row.ts'
import { MemoryStore, type UsageStore } from '../../../app/usage/usage-store.ts'
import { within } from '../../support/deadline.ts'
import type { Scope } from '../../support/scope.ts'

const timeout = 60_000
const everything = { from: 0, to: 1000 }

async function fileIn(t: Scope): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'usage-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  return join(folder, 'usage.sqlite')
}

async function storeIn(t: Scope, file: string): Promise<SqliteStore> {
  const store = new SqliteStore(file)
  t.after(() => store.close())
  return store
}

/** Names as operators may give them, in the order of code points. */
const names = fc.constantFrom('', 'a', 'a"b', "a'; DROP TABLE usage", 'é', '\u{1F600}', '\uFFFD')
const hours = fc.integer({ min: 1, max: 6 })
const tokens = fc.nat(1_000_000)
const rows: fc.Arbitrary<UsageRow> = fc.record({
  hour: hours,
  tenant: names,
  model: fc.constantFrom('m', 'org/m:7b', 'unknown'),
  requests: tokens,
  prompt_tokens: tokens,
  cached_tokens: tokens,
  completion_tokens: tokens,
  unmetered_requests: tokens,
  // In parts that doubles have exactly: sums do not depend on their order.
  worker_seconds: fc.nat(10_000).map((parts) => parts / 1024),
})

type Step =
  | { readonly do: 'add'; readonly rows: readonly UsageRow[] }
  | { readonly do: 'forget'; readonly before: number }
  | {
      readonly do: 'read'
      readonly tenant?: string
      readonly model?: string
      readonly from: number
      readonly to: number
    }

const steps: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ do: fc.constant('add' as const), rows: fc.array(rows, { maxLength: 4 }) }),
  fc.record({ do: fc.constant('forget' as const), before: hours }),
  fc.record(
    {
      do: fc.constant('read' as const),
      tenant: names,
      model: fc.constantFrom('m', 'x'),
      from: hours,
      to: hours,
    },
    { requiredKeys: ['do', 'from', 'to'] },
  ),
)

async function run(store: UsageStore, step: Step): Promise<unknown> {
  if (step.do === 'add') return store.add(step.rows)
  return step.do === 'forget' ? store.forget(step.before) : store.rows(step)
}

test('both keep the same, whatever is added, forgotten and asked for', { timeout }, async (t) => {
  const sqlite = await storeIn(t, await fileIn(t))
  await fc.assert(
    fc.asyncProperty(fc.array(steps, { maxLength: 12 }), async (taken) => {
      const memory = new MemoryStore()
      await sqlite.forget(1000)
      for (const step of taken) assert.deepEqual(await run(sqlite, step), await run(memory, step))
      assert.deepEqual(await sqlite.rows(everything), await memory.rows(everything))
    }),
    { numRuns: 60 },
  )
})

test('what is asked for is the sum of what was added', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(rows, { maxLength: 20 }), async (added) => {
      const memory = new MemoryStore()
      for (const row of added) await memory.add([row])
      assert.deepEqual(sumOf(await memory.rows(everything)), sumOf(added))
    }),
  )
})

const row: UsageRow = { hour: 5, tenant: 'a', model: 'm', ...nothing, requests: 1, worker_seconds: 0.5 }

describe('a file', () => {
  test('has it all when it is opened again', { timeout }, async (t) => {
    const file = await fileIn(t)
    const first = await storeIn(t, file)
    await first.add([row, { ...row, model: 'n' }])
    await first.add([row])
    await first.close()
    const second = await storeIn(t, file)
    assert.deepEqual(await second.rows({ ...everything, model: 'm' }), [
      { ...row, requests: 2, worker_seconds: 1 },
    ])
    assert.deepEqual([first.lasts, new MemoryStore().lasts], [true, false])
  })

  test('of two routers has the usage of both', { timeout }, async (t) => {
    const file = await fileIn(t)
    const stores = await Promise.all([storeIn(t, file), storeIn(t, file)])
    for (let time = 0; time < 20; time++) await Promise.all(stores.map((store) => store.add([row])))
    assert.equal((await stores[0]!.rows(everything))[0]?.requests, 40)
  })

  test('that is none of SQLite is said to be so, left as it is, and taken when it is in order', {
    timeout,
  }, async (t) => {
    const file = await fileIn(t)
    await writeFile(
      file,
      'this is no database, and was written by hand or by a disk that is broken'.repeat(20),
    )
    const store = await storeIn(t, file)
    for (let time = 0; time < 2; time++) await assert.rejects(store.add([row]), /not a database/)
    await assert.rejects(store.rows(everything), /not a database/)
    await rm(file)
    await store.add([row])
    assert.deepEqual(await store.rows(everything), [row])
  })

  test('of a later version is not touched', { timeout }, async (t) => {
    const file = await fileIn(t)
    const database = await openDatabase(file)
    database.exec('PRAGMA user_version = 2')
    database.close()
    const store = await storeIn(t, file)
    await assert.rejects(store.add([row]), /written by a later version/)
  })

  test('that is full takes all rows of one call or none, and goes on when there is room', {
    timeout,
  }, async (t) => {
    const file = await fileIn(t)
    const store = await storeIn(t, file)
    await store.add([row])
    await store.close()
    // A trigger of SQLite's own says at the second row what a full disk would say.
    const database = await openDatabase(file)
    database.exec(`CREATE TRIGGER full BEFORE INSERT ON usage WHEN NEW.model = 'too much'
      BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END`)
    database.close()
    const again = await storeIn(t, file)
    await assert.rejects(again.add([row, { ...row, model: 'too much' }]), /disk is full/)
    assert.deepEqual(await again.rows(everything), [row])
    await again.add([row])
    assert.equal((await again.rows(everything))[0]?.requests, 2)
  })

  test('in a place that is not there is said to be so', { timeout }, async (t) => {
    const store = await storeIn(t, join(await fileIn(t), 'nowhere', 'usage.sqlite'))
    await assert.rejects(within(20_000, store.add([row]), 'an answer'), /unable to open/)
  })
})
