import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, type TestContext, test } from 'node:test'
import { parseWorkerList } from '../../../../app/config/worker-list.ts'
import { systemClock } from '../../../../app/runtime/clock.ts'
import { parseList } from '../../../../app/workers/discovery/parse-list.ts'
import { eventuallyHolds, pause } from '../../../support/deadline.ts'
import { discovering, fastClock } from '../../../support/discovering.ts'

async function directory(t: TestContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'workers-'))
  t.after(() => rm(path, { recursive: true, force: true }))
  return path
}

/** Looks every 20 ms instead of every second. */
function following(t: TestContext, workerUrlsFile: string) {
  const kit = discovering({ t, clock: fastClock(50), config: { workerUrlsFile } })
  return {
    ...kit,
    until: (...urls: string[]) =>
      eventuallyHolds(() => assert.deepEqual(kit.members(), urls), { what: `the pool is ${urls}` }),
  }
}

describe('a long list', () => {
  test('is parsed beside the event loop, with the same result', { timeout: 60_000 }, async () => {
    const urls = Array.from({ length: 4000 }, (_, index) => `http://10.0.0.1:${index + 1}`)
    let turns = 0
    const timer = setInterval(() => turns++, 1)
    const workers = await parseList(urls.map((url) => `- ${url}\n`).join(''))
    clearInterval(timer)
    assert.deepEqual(
      workers,
      urls.map((url) => ({ url, draining: false })),
    )
    assert.ok(turns > 10, `${turns} turns of the event loop`)
  })

  test('says what is wrong with it', { timeout: 60_000 }, async () => {
    await assert.rejects(
      parseList(`${'- http://a:1\n'.repeat(4000)}- ftp://b\n`),
      /entry 4001 is not a worker URL/,
    )
  })
})

describe('a list of workers', () => {
  test('is YAML or JSON, of URLs or of objects', () => {
    const both = [
      { url: 'http://a:8000', draining: false },
      { url: 'https://b', draining: true },
    ]
    assert.deepEqual(parseWorkerList('- http://a:8000/\n- url: https://b\n  draining: true\n'), both)
    assert.deepEqual(parseWorkerList('["http://a:8000", {"url": "https://b", "draining": true}]'), both)
    assert.deepEqual(parseWorkerList('[]'), [])
  })

  test('may give a worker a weight', () => {
    const [heavy, usual] = parseWorkerList('[{url: http://a, weight: 2.5}, http://b]')
    assert.deepEqual([heavy?.weight, usual?.weight], [2.5, undefined])
  })

  test('names a worker once, draining if it says so once', () => {
    const list = '[{url: http://a, draining: true}, http://a:80/]'
    assert.deepEqual(parseWorkerList(list), [{ url: 'http://a:80', draining: true }])
  })

  test('is refused as a whole for one fault, which is named', () => {
    for (const [text, message] of [
      ['', /not a list of worker URLs/],
      ['# nothing yet\n', /not a list/],
      ['http://a', /not a list/],
      ['- http://a\n- ftp://b\n', /entry 2 is not a worker URL/],
      ['- http://user:secret@a\n', /entry 1 is not a worker URL: credentials/],
      ['- {url: http://a, wait: 3}\n', /entry 1: "wait" is not a known key/],
      ['- {url: http://a, weight: 0}\n', /entry 1: weight is no number from 0.01 to 100/],
      ['- {url: http://a, weight: "3"}\n', /entry 1: weight is no number from 0.01 to 100/],
      ['- {url: http://a, weight: 101}\n', /entry 1: weight is no number/],
      ['- {draining: true}\n', /entry 1 has no url/],
      ['- {url: http://a, draining: "yes"}\n', /draining is neither true nor false/],
      ['- 7\n', /entry 1 is neither/],
      ['- [http://a\n', /not valid YAML/],
    ] as const) {
      assert.throws(() => parseWorkerList(text), message, text)
    }
  })
})

describe('--worker-urls-file', () => {
  test('a file that is written, renamed into place and emptied is followed', async (t) => {
    const path = join(await directory(t), 'workers.yaml')
    await writeFile(path, '- http://a:1\n')
    const { until, pool } = following(t, path)
    await until('http://a:1')
    const [a] = pool.workers
    await writeFile(path, '- http://a:1\n- http://b:1\n')
    await until('http://a:1', 'http://b:1')
    await writeFile(`${path}.new`, '- http://a:1\n- url: http://c:1\n  draining: true\n')
    await rename(`${path}.new`, path)
    await until('http://a:1', 'http://c:1 draining')
    assert.equal(pool.workers[0], a, 'who stays is the same worker')
    await writeFile(path, '[]')
    await until()
  })

  test('a mounted ConfigMap is followed, whose link is swapped', async (t) => {
    const root = await directory(t)
    const version = async (name: string, text: string): Promise<void> => {
      await mkdir(join(root, name))
      await writeFile(join(root, name, 'workers.yaml'), text)
      await symlink(name, join(root, 'next'))
      await rename(join(root, 'next'), join(root, '..data'))
    }
    await version('v1', '- http://a:1\n')
    await symlink('..data/workers.yaml', join(root, 'workers.yaml'))
    const { until } = following(t, join(root, 'workers.yaml'))
    await until('http://a:1')
    await version('v2', '- http://b:1\n')
    await until('http://b:1')
  })

  test('wrong content, and none, keep what was found last and say so once', async (t) => {
    const path = join(await directory(t), 'workers.json')
    await writeFile(path, '["http://a:1", "http://b:1"]')
    const { until, reports, discovery, members } = following(t, path)
    const both = ['http://a:1', 'http://b:1'] as const
    await until(...both)
    await writeFile(path, '["http://a:1", ')
    const says = (pattern: RegExp) =>
      eventuallyHolds(() => assert.match(reports.at(-1) ?? '', pattern), { what: String(pattern) })
    await says(/^file: read: .*not valid YAML/)
    await rm(path)
    await says(/^file: read: .*ENOENT/)
    const age = discovery.status()[0]?.ageMs ?? 0
    await pause(50)
    assert.ok((discovery.status()[0]?.ageMs ?? 0) > age, 'it grows older')
    assert.deepEqual(members(), [...both])
    assert.equal(reports.length, 2, reports.join('\n'))
    await writeFile(path, '["http://b:1"]')
    await until('http://b:1')
    await says(/^file: read recovered$/)
  })

  test('what is too large to be a list changes nothing, an endless device either', async (t) => {
    const path = join(await directory(t), 'workers.yaml')
    await writeFile(path, '- http://a:1\n')
    const { until, reports, members } = following(t, path)
    await until('http://a:1')
    const says = (pattern: RegExp) =>
      eventuallyHolds(() => assert.match(reports.at(-1) ?? '', pattern), { what: String(pattern) })
    await writeFile(path, '- http://b:1\n'.repeat(100_000))
    await says(/^file: read: .*more than 1048576 bytes/)
    await writeFile(path, '- http://a:1\n- http://b:1\n')
    await until('http://a:1', 'http://b:1')
    await rm(path)
    await symlink('/dev/zero', path)
    await says(/^file: read: .*more than 1048576 bytes/)
    assert.deepEqual(members(), ['http://a:1', 'http://b:1'])
  })

  test('a file that appears after the start is found', async (t) => {
    const path = join(await directory(t), 'workers.yaml')
    const { until, reports } = following(t, path)
    await eventuallyHolds(() => assert.match(reports[0] ?? '', /ENOENT/), { what: 'it is missed' })
    await writeFile(path, '- http://a:1\n')
    await until('http://a:1')
  })

  test('a list that is half written is not taken for a shorter one', async (t) => {
    const path = join(await directory(t), 'workers.yaml')
    const lines = Array.from({ length: 40 }, (_, index) => `- http://w${index}:1\n`)
    await writeFile(path, lines.join(''))
    const { until, pool } = following(t, path)
    await until(...lines.map((line) => line.slice(2, -1)).sort())
    let fewest = lines.length
    const watching = setInterval(() => {
      fewest = Math.min(fewest, pool.workers.length)
    }, 1)
    t.after(() => clearInterval(watching))
    // A writer that is always faster than the looks are apart: 20 ms.
    for (let count = 1; count <= lines.length; count++) {
      await writeFile(path, lines.slice(0, count).join(''))
      await pause(2)
    }
    await pause(100)
    assert.equal(fewest, lines.length)
  })

  test('is one source among others', async (t) => {
    const path = join(await directory(t), 'workers.yaml')
    await writeFile(path, '- http://a:1\n- http://b:1\n')
    const config = { workerUrlsFile: path, workerUrls: ['http://a:1'] }
    const { members, discovery, registry } = discovering({ t, clock: systemClock, config })
    const found = () => assert.deepEqual(members(), ['http://a:1', 'http://b:1'])
    await eventuallyHolds(found, { what: 'the workers of both' })
    assert.deepEqual(
      discovery.status().map(({ source, ageMs }) => [source, ageMs === undefined]),
      [
        ['static', true],
        ['file', false],
      ],
    )
    assert.deepEqual(
      [...registry.counts()],
      [
        ['static', 1],
        ['file', 2],
      ],
    )
  })
})
