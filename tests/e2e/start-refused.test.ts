/** A router that is set up wrongly does not start: exit code, and a message that says what, where and what else. */

import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { runRouter } from '../support/router-process.ts'
import { shared } from '../support/shared.ts'
import { portOf } from '../support/sockets.ts'

const timeout = 30_000

/** Runs it and returns what it says on standard error; asserts that it says nothing else and ends with code 2. */
async function refusal(args: readonly string[], env: Record<string, string> = {}): Promise<string> {
  const { code, signal, stdout, stderr } = await runRouter({ args, env })
  assert.deepEqual([code, signal, stdout], [2, null, ''], stderr)
  assert.match(stderr, /^vllm-router: \d+ faults? in the configuration\n/)
  assert.doesNotMatch(stderr, /\n +at /, 'no stack')
  return stderr
}

/** All of them at once: most of the time goes into starting a process. */
const refusals = shared(async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'router-start-'))
  t.after(() => rm(folder, { recursive: true }))
  const broken = join(folder, 'broken.yaml')
  await writeFile(broken, 'port: 8123\nworker-urls:\n  - http://a:1\n bad: 1\n')
  const wrong = join(folder, 'wrong.yaml')
  await writeFile(wrong, '# settings\nqueue-size: many\nworker-url: http://a:1\n')
  const missing = join(folder, 'missing.yaml')
  const flags =
    '--wroker-urls http://a:1 --worker-urls htp://gpu1:8000 http://gpu2:80a --port 80a --policy best'
  const [flagsAndEnvironment, missingFile, brokenFile, wrongFile] = await Promise.all([
    refusal([...flags.split(' '), '--pd-disaggregation'], {
      VLLM_ROUTER_QUEUE_SIZE: '-1',
      VLLM_ROUTER_API_KEY: 'my secret key',
    }),
    refusal(['--config', missing]),
    refusal(['--config', broken]),
    refusal(['--config', wrong]),
  ])
  return { flagsAndEnvironment, missing, missingFile, brokenFile, wrongFile }
})

describe('exit code 2 for', () => {
  test('several faults, all of them at once', { timeout }, async () => {
    const said = (await refusals()).flagsAndEnvironment
    assert.match(said, /8 faults/)
    assert.equal(said.trim().split('\n').length, 9)
  })

  test('an unknown flag, with what was meant', { timeout }, async () => {
    assert.match((await refusals()).flagsAndEnvironment, /--wroker-urls .*unknown flag.*--worker-urls/)
  })

  test('a worker URL with a typo, with what is allowed', { timeout }, async () => {
    const said = (await refusals()).flagsAndEnvironment
    assert.match(said, /--worker-urls .*got "htp:\/\/gpu1:8000"; allowed: http:\/\/ or https:\/\//)
    assert.match(said, /"htp:.*did you mean "http:\/\/gpu1:8000"\?/)
    assert.match(said, /got "http:\/\/gpu2:80a".*not a URL/)
  })

  test('a wrong value, with its place and what is allowed', { timeout }, async () => {
    const said = (await refusals()).flagsAndEnvironment
    assert.match(said, /--port .*\(flag --port\): got "80a"; allowed: a whole number from 0 to 65535/)
    assert.match(said, /--policy .*got "best"; allowed: .*round_robin/)
    assert.match(said, /--queue-size .*VLLM_ROUTER_QUEUE_SIZE.*got "-1"; allowed: a whole number from 0/)
  })

  test('a flag of the Rust router that is not built', { timeout }, async () => {
    assert.match((await refusals()).flagsAndEnvironment, /--pd-disaggregation .*not supported yet/)
  })

  test('a key that is wrong, without showing it', { timeout }, async () => {
    const said = (await refusals()).flagsAndEnvironment
    assert.match(said, /VLLM_ROUTER_API_KEY/)
    assert.doesNotMatch(said, /secret/)
  })

  test('a configuration file that cannot be read', { timeout }, async () => {
    const { missing, missingFile } = await refusals()
    assert.ok(missingFile.includes(`cannot read ${missing}`), missingFile)
    assert.match(missingFile, /no such file/)
  })

  test('a fault of YAML, with line and column', { timeout }, async () => {
    assert.match((await refusals()).brokenFile, /broken\.yaml:4:\d+\): not valid/)
  })

  test('a wrong value or name in a file, with line and column', { timeout }, async () => {
    const { wrongFile } = await refusals()
    assert.match(wrongFile, /wrong\.yaml:2:13.*got "many"; allowed: a whole number/)
    assert.match(wrongFile, /wrong\.yaml:3:\d+.*worker-url.*worker-urls/)
  })
})

test('a port in use ends it with code 1 and says so', { timeout }, async (t) => {
  const taken = createServer()
  await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve))
  t.after(() => new Promise((resolve) => taken.close(resolve)))
  const port = String(portOf(taken))
  for (const [flag = '', other = ''] of [
    ['--port', '--prometheus-port'],
    ['--prometheus-port', '--port'],
  ]) {
    const { code, stderr, stdout } = await runRouter({ args: [flag, port, other, '0'] })
    assert.equal(code, 1)
    const why = 'the port is in use by another process'
    const remedy = `choose another one with ${flag}; 0 takes a free one`
    assert.equal(stderr.trim(), `cannot listen on 127.0.0.1:${port}: ${why} (${remedy})`)
    assert.doesNotMatch(stdout, /listening/)
  }
})
