/**
 * The image without a container engine: its files, run as the manifest says, with seven simulated workers beside it.
 * The addresses are those of the manifest; the sandbox has a network of its own, so they collide with nothing.
 */

import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { thisRuntime } from '../support/child.ts'
import { eventually, within } from '../support/deadline.ts'
import {
  environmentOf,
  execForm,
  last,
  parseDockerfile,
  readDockerfile,
  stageNamed,
} from '../support/k8s-dockerfile.ts'
import { assembleImage } from '../support/k8s-image-files.ts'
import { parseManifests, readK8s, theOne } from '../support/k8s-manifests.ts'
import { type Sandbox, startSandbox, withoutSandbox } from '../support/k8s-sandbox.ts'
import type { Scope } from '../support/scope.ts'
import { shared } from '../support/shared.ts'

const timeout = 60_000
const skip = withoutSandbox()

const manifests = parseManifests(readK8s('vllm-router-all-nodes.yaml'))
const deployment = theOne(manifests, 'Deployment')
const pod = deployment.spec?.template.spec
const container = pod?.containers[0]
const config = theOne(manifests, 'ConfigMap').data?.['router.yaml'] ?? ''
const image = stageNamed(parseDockerfile(readDockerfile()), thisRuntime)
const adminKey = randomUUID()
const workers = [...config.matchAll(/http:\/\/([\w-]+):8000/g)].map(([, host = '']) => host)

interface Running {
  readonly sandbox: Sandbox
  get(path: string): Promise<{ status: number; text: string }>
}

/** Seven servers at the addresses that the names of the workers stand for. */
const simulation = (server: string) => `
import { startSimulatedVllm } from ${JSON.stringify(server)}
for (let n = 1; n <= 7; n++)
  await startSimulatedVllm({ host: '127.0.1.' + n, port: 8000, id: 'worker-' + n, ttftMs: 5, tokenMs: 100 })
console.log('up')
setInterval(() => {}, 2 ** 30)
`

async function startPod(t: Scope): Promise<Running> {
  const home = await mkdtemp(join(tmpdir(), 'vllm-router-image-'))
  t.after(() => rm(home, { recursive: true, force: true }))
  const files = await assembleImage(home, thisRuntime)
  await writeFile(join(home, 'router.yaml'), config)
  const hosts = workers.map((name, index) => `127.0.1.${index + 1} ${name}\n`).join('')
  await writeFile(join(files.root, 'etc/hosts'), `127.0.0.1 localhost\n${hosts}`)
  await writeFile(join(files.root, 'etc/vllm-router/router.yaml'), '')
  const sandbox = await startSandbox({
    t,
    root: files.root,
    uid: pod?.securityContext?.runAsUser ?? 0,
    command: [...(execForm(last(image, 'ENTRYPOINT')?.rest) ?? []), ...(container?.args ?? [])],
    env: { ...environmentOf(image), VLLM_ROUTER_ADMIN_API_KEY: adminKey },
    mounts: { '/etc/vllm-router/router.yaml': join(home, 'router.yaml') },
  })
  await writeFile(join(home, 'build/workers.js'), simulation(files.simulator))
  const fleet = sandbox.beside([files.runtime, join(home, 'build/workers.js')])
  let said = ''
  for (const pipe of [fleet.stdout, fleet.stderr])
    pipe?.setEncoding('utf8').on('data', (text: string) => {
      said += text
    })
  await eventually(() => said.includes('up'), { what: 'the simulated workers', withinMs: 20_000 })
  const get = async (path: string): Promise<{ status: number; text: string }> => {
    const { stdout, stderr } = await sandbox.shell(
      `curl -s -w '\\n%{http_code}' http://localhost:29000${path}`,
    )
    const at = stdout.lastIndexOf('\n')
    if (at < 0) throw new Error(`${path}: ${stderr}${sandbox.stderr()}${sandbox.stdout().slice(-1000)}`)
    return { status: Number(stdout.slice(at + 1)), text: stdout.slice(0, at) }
  }
  await eventually(async () => JSON.parse((await get('/readiness')).text).workers.available === 7, {
    what: 'seven workers that take requests',
    withinMs: 20_000,
    everyMs: 100,
  })
  return { sandbox, get }
}

const completion = `curl -s -X POST http://localhost:8080/v1/completions -H "Content-Type: application/json" -d '{"model": "facebook/opt-350m", "prompt": "Test", "max_tokens": 10}'`

describe('the image, run as the manifest says', { skip }, () => {
  const running = shared(startPod)

  test('runs as uid 10001 and process 1, without capabilities and without new privileges', {
    timeout,
  }, async () => {
    const { sandbox } = await running()
    const status = await readFile(`/proc/${sandbox.pid}/status`, 'utf8')
    assert.match(status, /^NoNewPrivs:\t1$/m)
    assert.match(status, /^CapEff:\t0+$/m)
    const { stdout } = await sandbox.shell('id -u; cat /proc/1/cmdline')
    assert.match(stdout, /^10001\n/)
    assert.match(stdout, /\/app\/app\/main\.js/)
  })

  test('can write nowhere, and does not want to', { timeout }, async () => {
    const { sandbox } = await running()
    for (const place of ['/', '/app', '/tmp', '/etc/vllm-router'])
      assert.notEqual((await sandbox.exec(['touch', `${place}/x`])).code, 0, place)
    assert.equal(sandbox.stderr(), '')
    const faults = sandbox.stdout().match(/"level":"(error|fatal)"/g)
    assert.equal(faults, null, sandbox.stdout())
  })

  test('holds neither the simulator, nor tests, nor types, nor a package manager', { timeout }, async () => {
    const { sandbox } = await running()
    const there = async (path: string) => (await sandbox.shell(`test -e ${path}`)).code === 0
    assert.ok(await there('/app/LICENSE'))
    for (const path of [
      '/app/sim',
      '/app/tests',
      '/app/app/main.ts',
      '/app/app/main.d.ts',
      '/app/node_modules/typescript',
    ])
      assert.equal(await there(path), false, path)
  })

  test('health: the command of the guide, the verb, and what HEALTHCHECK runs', { timeout }, async () => {
    const { sandbox } = await running()
    const { stdout } = await sandbox.shell('curl -s http://localhost:8080/health')
    assert.equal(stdout, 'All servers healthy')
    const entry = execForm(last(image, 'ENTRYPOINT')?.rest) ?? []
    assert.deepEqual(await sandbox.exec([...entry, 'health']), {
      code: 0,
      stdout: '200 All servers healthy\n',
      stderr: '',
    })
    const check = execForm(last(image, 'HEALTHCHECK')?.rest) ?? []
    assert.deepEqual(await sandbox.exec(check), { code: 0, stdout: '200 OK\n', stderr: '' })
  })

  test('the probes of the manifest succeed, each within its time', { timeout }, async () => {
    const { sandbox } = await running()
    const probes = [container?.startupProbe, container?.livenessProbe, container?.readinessProbe]
    for (const probe of probes) {
      const port = container?.ports?.find(({ name }) => name === probe?.httpGet?.port)?.containerPort
      const line = `curl -sf -m ${probe?.timeoutSeconds} -o /dev/null http://localhost:${port}${probe?.httpGet?.path}`
      assert.equal((await sandbox.shell(line)).code, 0, line)
    }
  })

  test('verify: the completion of the guide is answered', { timeout }, async () => {
    const { sandbox } = await running()
    const { stdout } = await sandbox.shell(completion)
    const answer = JSON.parse(stdout)
    assert.equal(answer.object, 'text_completion')
    assert.equal(answer.model, 'facebook/opt-350m')
    assert.equal(answer.usage.completion_tokens, 10)
  })

  test('balance: seven more requests reach each of the seven workers once', { timeout }, async () => {
    const { sandbox } = await running()
    const counts = async () => {
      const { stdout } = await sandbox.shell(
        'curl -s http://localhost:29000/metrics | grep processed_requests | grep -v "^#"',
      )
      return new Map(
        [...stdout.matchAll(/worker="([^"]+)"\} (\d+)/g)].map(([, worker = '', n = '']) => [
          worker,
          Number(n),
        ]),
      )
    }
    const before = await counts()
    await sandbox.shell(`for n in 1 2 3 4 5 6 7; do ${completion.replace('10}', '1}')} >/dev/null; done`)
    const after = await counts()
    assert.deepEqual(
      [...after].map(([worker, n]) => [worker, n - (before.get(worker) ?? 0)]).sort(),
      workers.map((name) => [`http://${name}:8000`, 1]).sort(),
    )
  })

  test('debug: each of the greps of the guide finds what it looks for', { timeout }, async () => {
    const { sandbox } = await running()
    const found = async (word: string) =>
      (await sandbox.shell(`curl -s http://localhost:29000/metrics | grep ${word} | grep -v '^#'`)).stdout
        .trim()
        .split('\n')
    assert.equal((await found('processed_requests')).length, 7)
    for (const word of ['cb_state{', 'running_requests']) {
      const lines = await found(`'${word}'`)
      assert.equal(lines.length, 7)
      for (const line of lines) assert.match(line, / 0$/)
    }
    assert.deepEqual(await found('active_workers'), ['vllm_router_active_workers 7'])
    assert.ok((await found('duration_seconds')).length > 20)
  })

  test('every command of the deployment page that runs in the pod says something', { timeout }, async () => {
    const { sandbox } = await running()
    const page = await readFile(new URL('../../docs/kubernetes.md', import.meta.url), 'utf8')
    const blocks = [...page.matchAll(/^```sh pod\n([^`]*)^```/gm)].map(([, block = '']) => block)
    const lines = blocks.flatMap((block) => block.trim().split('\n'))
    assert.ok(lines.length >= 9)
    for (const line of lines) {
      const { code, stdout } = await sandbox.shell(line)
      assert.equal(code, 0, line)
      assert.ok(line.includes('-o /dev/null') || stdout.length > 10, line)
      assert.doesNotMatch(stdout, /"error"/, line)
    }
  })

  test('the admin routes need the key that the manifest gives', { timeout }, async () => {
    const { sandbox, get } = await running()
    assert.equal((await get('/list_workers')).status, 401)
    const authorised = `curl -s -H "Authorization: Bearer $VLLM_ROUTER_ADMIN_API_KEY" http://localhost:29000/list_workers`
    const { stdout } = await sandbox.shell(authorised)
    assert.deepEqual(JSON.parse(stdout).urls.length, 7)
  })

  // Last: it ends the container.
  test('preStop and SIGTERM: not ready at once, a late request is served, the stream ends whole, exit code 0', {
    timeout,
  }, async () => {
    const { sandbox, get } = await running()
    const grace = pod?.terminationGracePeriodSeconds ?? 0
    const told = performance.now()
    const body = JSON.stringify({ model: 'facebook/opt-350m', prompt: 'Test', max_tokens: 120, stream: true })
    const url = 'http://localhost:8080/v1/completions'
    const type = 'Content-Type: application/json'
    // Not in the container: its end, right after the stream's, kills every process in it.
    const stream = sandbox.outside(['curl', '-sN', url, '-H', type, '-d', body], 40_000)
    await eventually(async () => /running_requests\{[^}]*\} 1/.test((await get('/metrics')).text), {
      what: 'the stream runs',
    })
    const hook = await sandbox.exec(container?.lifecycle?.preStop?.exec?.command ?? [])
    assert.deepEqual(hook, { code: 0, stdout: '', stderr: '' })
    sandbox.signal('SIGTERM')
    await eventually(async () => (await get('/readiness')).status === 503, { what: 'not ready' })
    assert.equal((await get('/liveness')).status, 200)
    assert.equal(
      JSON.parse((await sandbox.shell(completion.replace('10}', '1}'))).stdout).object,
      'text_completion',
    )
    const { code, stdout } = await stream
    assert.equal(code, 0)
    assert.match(stdout, /data: \[DONE\]\s*$/)
    assert.equal(await within(10_000, sandbox.exited, 'the end of the router'), 0)
    const took = (performance.now() - told) / 1000
    assert.ok(took < grace, `${took} s of ${grace} s`)
  })
})
