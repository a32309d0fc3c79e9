import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { loadConfig } from '../../../../app/config/load-config.ts'
import { formatProblems } from '../../../../app/config/problem.ts'
import { ConfigError } from '../../../../app/index.ts'
import { systemClock } from '../../../../app/runtime/clock.ts'
import { discovering } from '../../../support/discovering.ts'
import { runRouter } from '../../../support/router-process.ts'

async function faults(flags: string): Promise<string> {
  const result = await loadConfig({ argv: flags.split(' '), env: {} })
  return result.ok ? '' : formatProblems(result.faults)
}

async function config(flags: string) {
  const result = await loadConfig({ argv: flags.split(' '), env: {} })
  if (!result.ok) assert.fail(formatProblems(result.faults))
  return result.config
}

describe('the settings of discovery', () => {
  test('the flags of the vLLM Router are taken as they are', async () => {
    const given = await config(
      '--service-discovery --selector app=vllm tier=gpu --service-discovery-port 8000 --service-discovery-namespace ml',
    )
    assert.equal(given.serviceDiscovery, true)
    assert.deepEqual(given.selector, ['app=vllm', 'tier=gpu'])
    assert.deepEqual([given.serviceDiscoveryPort, given.serviceDiscoveryNamespace], ['8000', 'ml'])
    assert.equal((await config('--port 1')).serviceDiscoveryPort, '80')
  })

  test('discovery needs to know which pods, in one way', async () => {
    assert.match(await faults('--service-discovery'), /it does not say which pods; add --selector/)
    const both = '--service-discovery --selector app=vllm --service-discovery-service vllm'
    assert.match(await faults(both), /--service-discovery-service .*cannot be combined with --selector/)
    assert.equal(await faults('--service-discovery --service-discovery-service vllm vllm-big'), '')
  })

  test('a port is a number or a name', async () => {
    for (const right of ['1', '65535', 'http', 'http-1', 'a'])
      assert.equal(await faults(`--service-discovery-port ${right}`), '', right)
    for (const wrong of ['0', '65536', '-http', 'http-', 'a--b', 'HTTP', 'longer-than-fifteen', '8000.5'])
      assert.match(await faults(`--service-discovery-port=${wrong}`), /allowed: a port from 1/, wrong)
  })

  test('names and addresses are checked', async () => {
    for (const wrong of [
      '--selector app',
      '--service-discovery-namespace ML',
      '--service-discovery-service vllm.ml',
      '--service-discovery-api-server 10.0.0.1:6443',
      '--service-discovery-api-server https://10.0.0.1:6443/api',
      '--worker-dns vllm',
      '--worker-dns-interval-secs 0',
      '--service-discovery-relist-secs 0',
    ]) {
      assert.match(await faults(wrong), /1 fault in the configuration/, wrong)
    }
  })

  test('outside of a cluster the router does not start, and says what is missing', {
    timeout: 30_000,
  }, async () => {
    const env = { KUBERNETES_SERVICE_HOST: undefined, KUBERNETES_SERVICE_PORT: undefined }
    const args = ['--service-discovery', '--selector', 'app=vllm']
    const { code, stderr } = await runRouter({ args, env })
    assert.equal(code, 2)
    assert.match(
      stderr,
      /--service-discovery \(environment KUBERNETES_SERVICE_HOST\): not set: this is no pod/,
    )
    assert.match(stderr, /--service-discovery-api-server/)
  })

  test('a program is told the same', (t) => {
    const config = { serviceDiscovery: true, selector: 'app=vllm' }
    assert.throws(() => discovering({ t, config, clock: systemClock, parts: { env: {} } }), ConfigError)
  })
})
