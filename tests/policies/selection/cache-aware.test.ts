/** The price that `cache_aware` puts on each worker: what it weighs, and what must not tip it. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { cacheAware } from '../../../policies/selection/cache-aware.ts'
import type {
  Booking,
  PromptChain,
  SelectionContext,
  SelectionRequest,
} from '../../../policies/selection/policy.ts'
import { PrefixIndex } from '../../../policies/selection/prefix-index.ts'
import { candidates, type Facts, tally } from '../../support/candidates.ts'
import { selectionContext } from '../../support/selection-context.ts'

const blockBytes = 2048

/** A prompt of these blocks; 512 tokens each at four bytes a token. */
function promptOf(...blocks: number[]): PromptChain {
  return { blocks, bytes: blocks.length * blockBytes, bytesOf: (count) => count * blockBytes }
}

let fresh = 1_000_000
/** A prompt that begins with the given blocks and goes on with new ones. */
function after(begin: readonly number[], count: number): PromptChain {
  return promptOf(...begin, ...Array.from({ length: count }, () => fresh++))
}

const range = (from: number, count: number): number[] => Array.from({ length: count }, (_, at) => from + at)

function router(list: Facts[], settings: Partial<SelectionContext['settings']> = {}) {
  const clock = { now: 0 }
  const context = selectionContext({ now: () => clock.now })
  const policy = cacheAware({ ...context, settings: { ...context.settings, ...settings } })
  /** Chooses, books and counts; the request stays open. */
  const send = (prompt: PromptChain, more: Partial<SelectionRequest> = {}, among: Facts[] = list) => {
    const request = { model: undefined, stream: true, prompt, ...more }
    const worker = policy.select(among, request)
    const why = policy.why
    const booking = policy.book!(worker, request)
    worker.inFlight += 1
    const end = () => {
      booking.firstToken()
      booking.end()
      worker.inFlight -= 1
    }
    return { worker, why, booking: booking as Booking, end }
  }
  /** The same for one that is over at once. */
  const ask = (prompt: PromptChain, more: Partial<SelectionRequest> = {}) => {
    const sent = send(prompt, more)
    sent.end()
    return sent
  }
  return { clock, policy, send, ask }
}

describe('a prompt', () => {
  test('has a home that every router finds, also one that has never seen it', () => {
    const list = candidates(8)
    const [one, other] = [router(list), router(list)]
    for (let group = 0; group < 100; group++) {
      const begin = range(group * 1000, 12)
      const first = one.ask(after(begin, 2))
      assert.equal(first.why, 'affinity')
      assert.equal(other.ask(after(begin, 2)).worker, first.worker)
    }
  })

  test('comes back to where its beginning is', () => {
    const list = candidates(8)
    const { ask } = router(list)
    for (let group = 0; group < 50; group++) {
      const turns = [after([], 3)]
      const home = ask(turns[0]!).worker
      for (let turn = 0; turn < 5; turn++) {
        const grown = after([...Array.from(turns.at(-1)!.blocks)], 2)
        const { worker, booking } = ask(grown)
        assert.equal(worker, home)
        assert.ok((booking.expected ?? 0) > 0.5)
        turns.push(grown)
      }
    }
  })

  test('leaves a worker that has too much to compute before it, and is known at the next one afterwards', () => {
    const list = candidates(4)
    const { send, ask } = router(list)
    // Among many others, so that it is not everybody's.
    for (let request = 0; request < 1000; request++) ask(after([], 2))
    const begin = range(0, 12)
    const home = ask(after(begin, 2)).worker
    const sent = Array.from({ length: 40 }, () => send(after(begin, 14)))
    const counts = tally(
      list,
      sent.map(({ worker }) => worker),
    )
    assert.ok(Math.max(...counts) <= 30, String(counts))
    assert.ok(sent.some(({ why }) => why === 'spill'))
    assert.ok(sent.some(({ why, worker }) => why === 'index' && worker !== home))
  })

  test('that everybody has pulls nobody to one worker', () => {
    const list = candidates(8)
    const { send } = router(list)
    const common = range(0, 20)
    const open: ReturnType<typeof send>[] = []
    const chosen: Facts[] = []
    for (let request = 0; request < 2000; request++) {
      const sent = send(after(common, 2))
      chosen.push(sent.worker)
      open.push(sent)
      if (open.length > 16) open.shift()?.end()
    }
    const counts = tally(list, chosen.slice(500))
    assert.ok(Math.max(...counts) < (1.5 * 1500) / 8, String(counts))
  })

  test('of a third of all requests gives no worker more than one and a half of its part', () => {
    const list = candidates(8)
    const { send } = router(list)
    const hot = range(0, 16)
    const open: ReturnType<typeof send>[] = []
    const chosen: Facts[] = []
    for (let request = 0; request < 3000; request++) {
      const sent = send(request % 10 < 3 ? after(hot, 2) : after([], 10))
      chosen.push(sent.worker)
      open.push(sent)
      if (open.length > 24) open.splice(request % open.length, 1)[0]?.end()
    }
    const counts = tally(list, chosen.slice(1000))
    assert.ok(Math.max(...counts) < (1.5 * 2000) / 8, String(counts))
  })

  test('without anything in common with others goes where the least is to be computed', () => {
    const list = candidates(4)
    const { send } = router(list)
    for (let request = 0; request < 400; request++) send(after([], 8))
    const sent = [send(after([], 200)).worker, ...Array.from({ length: 24 }, () => send(after([], 8)).worker)]
    // One of a hundred thousand tokens counts for what it is.
    assert.equal(sent.slice(1).filter((worker) => worker === sent[0]).length, 0)
  })

  test('too short for a block goes by load, and 64 at once see each other', () => {
    const list = candidates(8)
    const { send } = router(list)
    for (let request = 0; request < 64; request++) assert.equal(send(promptOf()).why, 'load')
    assert.deepEqual(
      list.map(({ inFlight }) => inFlight),
      Array.from({ length: 8 }, () => 8),
    )
  })

  test('of another model has another home', () => {
    const list = candidates(8)
    const { ask } = router(list)
    const homes = range(0, 40).map((group) => ask(promptOf(...range(group * 100, 5)), { model: 'a' }).worker)
    assert.ok(new Set(homes).size > 4)
  })
})

describe('a session that the client names', () => {
  test('is the key in place of the beginning of the prompt', () => {
    const list = candidates(8)
    const [one, other] = [router(list), router(list)]
    const common = range(0, 4)
    // Until the routers know that its beginning is everybody's, a worker that holds it is cheaper.
    for (let request = 0; request < 40; request++) for (const { ask } of [one, other]) ask(after(common, 2))
    for (let session = 0; session < 40; session++) {
      const name = `session-${session}`
      const { worker, why } = one.ask(after(common, 2), { session: name })
      assert.equal(why, 'session')
      assert.equal(other.ask(after(common, 3), { session: name }).worker, worker)
    }
  })
})

describe('what workers say of themselves', () => {
  const facts = { at: 0, own: 0, cacheQueries: 0, cacheHits: 0, cacheTokens: 100_000 }

  test('others wait there: it is dearer', () => {
    const list = candidates(2)
    const { ask } = router(list)
    list[0]!.engine = { ...facts, foreign: 20, foreignWaiting: 10 }
    list[1]!.engine = { ...facts, foreign: 0, foreignWaiting: 0 }
    for (let request = 0; request < 20; request++) assert.equal(ask(after([], 4)).worker, list[1])
  })

  test('counts less and less when it is old, and for nothing after 15 s', () => {
    const list = candidates(2)
    const { clock, ask } = router(list)
    list[0]!.engine = { ...facts, foreign: 20, foreignWaiting: 10 }
    clock.now = 15_000
    const chosen = Array.from({ length: 40 }, () => ask(promptOf()).worker)
    assert.ok(tally(list, chosen)[0]! > 10)
  })

  test('its cache is small: what does not fit is not believed to be there', () => {
    const list = candidates(1)
    list[0]!.engine = { ...facts, foreign: 0, foreignWaiting: 0, cacheTokens: 20 * 512 }
    const { ask } = router(list)
    const begin = range(0, 10)
    ask(promptOf(...begin))
    assert.ok((ask(promptOf(...begin, 77)).booking.expected ?? 0) > 0.8)
    for (let request = 0; request < 30; request++) ask(after([], 10))
    assert.equal(ask(promptOf(...begin, 78)).booking.expected, 0)
  })

  test('it has been started anew: nothing is believed to be there', () => {
    const list = candidates(1)
    const { ask, policy } = router(list)
    const begin = range(0, 10)
    ask(promptOf(...begin))
    policy.forget?.(list[0]!.id)
    assert.equal(ask(promptOf(...begin)).booking.expected, 0)
  })
})

describe('tokens', () => {
  test('are estimated from bytes by what usage has told, for each model', () => {
    const list = candidates(1)
    const { policy, ask } = router(list)
    const prompt = after([], 10)
    for (let answer = 0; answer < 500; answer++) policy.counted?.('dense', 1000, 500)
    const request = { model: 'dense', prompt, stream: true }
    policy.select(list, request)
    const dense = policy.book!(list[0]!, request) as unknown as { tokens: number }
    const plain = ask(after([], 10), { model: 'other' }).booking as unknown as { tokens: number }
    assert.ok(Math.abs(dense.tokens - prompt.bytes / 2) < 100, String(dense.tokens))
    assert.equal(plain.tokens, prompt.bytes / 4)
  })

  test('that nobody sees computed are taken for computed after their time', () => {
    const list = candidates(2)
    const { send, clock } = router(list)
    const first = send(after([], 40), { stream: false })
    assert.notEqual(send(after([], 4)).worker, first.worker)
    clock.now = 60_000
    first.worker.inFlight = 0
    const chosen = Array.from({ length: 6 }, () => send(after([], 1)).worker)
    assert.ok(chosen.includes(first.worker))
  })
})

test('a lead that operators do not allow sends nobody home any more', () => {
  const list = candidates(2)
  const strict = router(list, { balanceAbs: 2, balanceRel: 1 })
  const begin = range(0, 12)
  const home = strict.ask(after(begin, 2)).worker
  home.inFlight = 100
  const other = list.find((one) => one !== home)!
  assert.equal(strict.ask(after([999_999], 2)).worker, other)
})

describe('the index', () => {
  test('stays within its bounds under a million different prompts', { timeout: 120_000 }, () => {
    const index = new PrefixIndex({ evictionMs: 0, now: () => 0, maxBlocks: 50_000 })
    for (let prompt = 0; prompt < 1_000_000; prompt++)
      index.learn(`worker-${prompt % 8}`, promptOf(prompt * 3, prompt * 3 + 1, prompt * 3 + 2), 2 ** 40)
    assert.ok(index.size <= 50_000, String(index.size))
    assert.ok(index.size > 40_000, String(index.size))
  })

  test('forgets the end of a chain first, and the chain used longest ago before others', () => {
    const index = new PrefixIndex({ evictionMs: 0, now: () => 0 })
    index.learn('a', promptOf(1, 2, 3), 5 * blockBytes)
    index.learn('a', promptOf(4, 5, 6), 5 * blockBytes)
    index.look(promptOf(1, 2, 3))
    assert.equal(index.depthOf('a'), 2)
    index.learn('a', promptOf(1, 2), 5 * blockBytes)
    index.learn('a', promptOf(7, 8), 5 * blockBytes)
    index.look(promptOf(4, 5, 6))
    assert.ok(index.depthOf('a') < 3)
    index.look(promptOf(1, 2))
    assert.equal(index.depthOf('a'), 2)
  })

  test('tells for each worker how far it holds a chain, and for all how far anybody does', () => {
    const index = new PrefixIndex({ evictionMs: 0, now: () => 0 })
    index.learn('a', promptOf(1, 2), 1e9)
    index.learn('b', promptOf(1, 2, 3), 1e9)
    index.learn('c', promptOf(9), 1e9)
    assert.equal(index.look(promptOf(1, 2, 3, 4)), 3)
    assert.deepEqual(
      ['a', 'b', 'c', 'd'].map((id) => index.depthOf(id)),
      [2, 3, 0, 0],
    )
    index.forget('b')
    assert.equal(index.look(promptOf(1, 2, 3, 4)), 2)
    assert.deepEqual(
      ['a', 'b'].map((id) => index.depthOf(id)),
      [2, 0],
    )
  })

  test('may be a tenth too large between two evictions', () => {
    let now = 0
    const index = new PrefixIndex({ evictionMs: 1000, now: () => now })
    const capacity = 100 * blockBytes
    for (let block = 0; block < 108; block++) index.learn('a', promptOf(block), capacity)
    assert.equal(index.size, 108)
    now = 1000
    index.learn('a', promptOf(500), capacity)
    assert.equal(index.size, 100)
    now = 1999
    for (let block = 700; block < 708; block++) index.learn('a', promptOf(block), capacity)
    assert.equal(index.size, 108, 'the next one comes a second after the last')
    for (let block = 600; block < 630; block++) index.learn('a', promptOf(block), capacity)
    assert.ok(index.size <= 110)
  })
})
