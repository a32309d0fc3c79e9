/** A reload of several processes: all of them take it over, or nothing changes anywhere. */

import assert from 'node:assert/strict'
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { ConfigError, type ConfigProblem } from '../../../app/config/problem.ts'
import { resolveOptions } from '../../../app/config/resolve-options.ts'
import { GroupReload, type ReloadingProcess, reloadAnswerMs } from '../../../app/processes/group-reload.ts'
import { shareFaults } from '../../../app/processes/share-config.ts'
import { silentLog } from '../../../app/telemetry/log.ts'
import { RouterError } from '../../../http/errors.ts'
import { AppClock, settled } from '../../support/app-clock.ts'
import { eventually, within } from '../../support/deadline.ts'
import { processPids } from '../../support/process-pids.ts'
import { rawRequest } from '../../support/raw-client.ts'
import { untilAvailable } from '../../support/router-over.ts'
import { startRouter } from '../../support/router-process.ts'
import type { Scope } from '../../support/scope.ts'
import { startScriptedWorker } from '../../support/scripted-worker.ts'

const timeout = 60_000

type Answer = () => Promise<readonly ConfigProblem[]>
const agrees: Answer = async () => []
const hangs: Answer = () => new Promise(() => {})
const gone: Answer = () => Promise.reject(new RouterError('draining', 'a process of the router has ended'))
const refuses: Answer = async () => [{ name: '--policy', origin: 'option policy', problem: 'no' }]

function standIn(number: number, answer: Answer = agrees, commit: () => Promise<null> = async () => null) {
  const said: string[] = []
  const process = {
    ...{ id: number, number },
    channel: {
      call(name: string, argument: unknown) {
        said.push(name === 'commit' ? `commit ${argument}` : name)
        return name === 'prepare' ? answer() : commit()
      },
    },
    kill: () => said.push('killed'),
  } as unknown as ReloadingProcess
  return { process, said }
}

function reloading(...standIns: readonly ReturnType<typeof standIn>[]) {
  const clock = new AppClock()
  const processes = standIns.map(({ process }) => process)
  const log = silentLog()
  const group = new GroupReload({
    ...{ reload: 7, clock, log },
    processes: () => processes,
    share: () => ({}),
  })
  return { clock, group, processes }
}

async function problemsOf(preparing: Promise<void>): Promise<string> {
  const error = await within(5000, preparing, 'the end of it').then(
    () => undefined,
    (reason: unknown) => reason,
  )
  assert.ok(error instanceof ConfigError)
  return error.message
}

describe('a configuration for several processes', () => {
  test('is refused by the name of the process that refuses, and no process takes it over', async () => {
    const [first, second] = [standIn(1), standIn(2, refuses)]
    const { group } = reloading(first, second)
    assert.match(await problemsOf(group.prepare()), /--policy \(process 2, option policy\): no/)
    assert.deepEqual([first.said, second.said], [['prepare'], ['prepare']])
  })

  test('does not wait for ever for a process that hangs', async () => {
    const [first, second] = [standIn(1), standIn(2, hangs)]
    const { group, clock } = reloading(first, second)
    const problems = problemsOf(group.prepare())
    await settled()
    clock.advance(reloadAnswerMs)
    assert.match(await problems, /process 2.*no answer within 5 s/)
    assert.deepEqual(first.said, ['prepare'])
  })

  test('is not held up by a process that is gone', async () => {
    const [first, second] = [standIn(1), standIn(2, gone)]
    const { group } = reloading(first, second)
    await within(5000, group.prepare(), 'the first half')
    await within(5000, group.commit(), 'the second half')
    assert.deepEqual(first.said, ['prepare', 'commit 7'])
  })

  test('reaches a process that was started in between', async () => {
    const [first, late] = [standIn(1), standIn(2)]
    const { group, processes } = reloading(first)
    await group.prepare()
    processes.push(late.process)
    await within(5000, group.commit(), 'the second half')
    assert.deepEqual(late.said, ['prepare', 'commit 7'])
  })

  test('leaves no process that could not take it over after all', async () => {
    const failing = standIn(2, agrees, () => Promise.reject(new Error('boom')))
    const slow = standIn(3, agrees, () => new Promise(() => {}))
    const { group, clock } = reloading(standIn(1), failing, slow)
    await group.prepare()
    const committing = group.commit()
    await settled()
    clock.advance(reloadAnswerMs)
    await within(5000, committing, 'the second half')
    assert.deepEqual(failing.said, ['prepare', 'commit 7', 'killed'])
    assert.deepEqual(slow.said, ['prepare', 'commit 7'], 'it obeys when it turns again')
  })

  test('must be one that this number of processes can share, also where the number was found out', () => {
    const config = resolveOptions({ processes: 'auto', maxConcurrentRequestsPerWorker: 3 })
    assert.deepEqual(shareFaults(config, 3), [])
    const [fault, ...more] = shareFaults(config, 4)
    assert.deepEqual(more, [])
    assert.equal(fault?.name, '--max-concurrent-requests-per-worker')
    assert.match(fault?.problem ?? '', /3 is less than --processes \(4\)/)
  })
})

async function start(t: Scope) {
  const home = await mkdtemp(join(tmpdir(), 'vllm-router-reload-'))
  t.after(() => rm(home, { recursive: true, force: true }))
  const worker = await startScriptedWorker(undefined, { t })
  const file = join(home, 'router.yaml')
  const write = async (lines: string): Promise<void> => {
    await writeFile(`${file}.new`, `worker-urls: [${JSON.stringify(worker.url)}]\n${lines}\n`)
    await rename(`${file}.new`, file)
  }
  await write('')
  const router = await startRouter({ t, args: ['--config', file, '--processes', '2'] })
  await untilAvailable(router, 1)
  const operations = async (method: string, path: string) => {
    const json = method === 'POST' ? { json: {} } : {}
    const exchange = rawRequest({ port: router.operationsPort, method, path, ...json })
    const { status, text } = await within(20_000, exchange.text(), path)
    return { status, body: JSON.parse(text) }
  }
  return {
    ...{ router, write },
    reload: async () => {
      const { status, body } = await operations('POST', '/reload')
      return { status, problems: String(body.problems?.join('\n')) }
    },
    inForce: async (name: string) => (await operations('GET', '/config')).body.settings[name],
    async ask() {
      const json = { model: 'test-model', messages: [{ role: 'user', content: 'hi' }] }
      const exchange = rawRequest({ port: router.apiPort, path: '/v1/chat/completions', json })
      return (await within(10_000, exchange.text(), 'an answer')).status
    },
  }
}

describe('two processes of a router', () => {
  test('that refuse a configuration are replaced with the one in force', { timeout }, async (t) => {
    const { router, write, reload, ask, inForce } = await start(t)
    // The supervisor finds nothing wrong with it: only who looks for pods needs a Kubernetes.
    await write('service-discovery: true\nselector: [app=vllm]\nrouter-api-keys: [secret-key]')
    const { status, problems } = await reload()
    assert.equal(status, 409)
    assert.match(problems, /process 1, /)
    assert.match(problems, /process 2, /)
    assert.equal(await inForce('service-discovery'), 'false')
    const before = processPids(router)
    process.kill(before[0]!, 'SIGKILL')
    await eventually(() => processPids(router).length === before.length + 1, {
      what: 'the replacement',
      withinMs: 20_000,
    })
    for (let round = 0; round < 8; round++) assert.equal(await ask(), 200)
  })

  test('change nothing when one of them hangs, and take it over when it turns again', {
    timeout,
  }, async (t) => {
    const { router, write, reload, ask, inForce } = await start(t)
    const second = Number(
      router.logs().find(({ msg, process: of }) => msg === 'process serving' && of === 2)?.pid,
    )
    await write('router-api-keys: [secret-key]')
    process.kill(second, 'SIGSTOP')
    const refused = await reload()
    assert.equal(refused.status, 409)
    assert.match(refused.problems, /process 2, .*no answer within/)
    assert.equal(await inForce('router-api-keys'), 'none')
    // Those that come to the process which hangs are answered later.
    const asked = Array.from({ length: 20 }, () => ask())
    assert.equal(await Promise.any(asked), 200)
    process.kill(second, 'SIGCONT')
    await Promise.allSettled(asked)
    assert.equal((await reload()).status, 200)
    for (let round = 0; round < 8; round++) assert.equal(await ask(), 401)
  })
})
