/** Prometheus' own judgement of the rules: they are well-formed, each alert fires when it should, and only then. */

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { readK8s } from '../support/k8s-manifests.ts'

const timeout = 30_000
const skip = spawnSync('promtool', ['--version']).status === 0 ? false : 'promtool is not on PATH'
const monitoring = fileURLToPath(new URL('../../k8s/monitoring', import.meta.url))

function promtool(cwd: string, ...args: string[]): { status: number | null; said: string } {
  const { status, stdout, stderr } = spawnSync('promtool', args, { cwd, encoding: 'utf8' })
  return { status, said: `${stdout}${stderr}` }
}

function inCopy<T>(files: Readonly<Record<string, string>>, use: (place: string) => T): T {
  const place = mkdtempSync(join(tmpdir(), 'vllm-router-rules-'))
  try {
    for (const [file, text] of Object.entries(files)) writeFileSync(join(place, file), text)
    return use(place)
  } finally {
    rmSync(place, { recursive: true, force: true })
  }
}

describe('promtool', { skip }, () => {
  const rules = readK8s('monitoring/rules.yaml')
  const tests = readK8s('monitoring/rules.test.yaml')

  test('finds nothing wrong with the rules', { timeout }, () => {
    const { status, said } = promtool(monitoring, 'check', 'rules', 'rules.yaml')
    assert.equal(status, 0, said)
  })

  test('sees each alert fire, and stay quiet', { timeout }, () => {
    const { status, said } = promtool(monitoring, 'test', 'rules', 'rules.test.yaml')
    assert.equal(status, 0, said)
  })

  test('sees it when a threshold or a label is another one', { timeout }, () => {
    const changes: readonly (readonly [string, string])[] = [
      ['(vllm_router_active_workers) == 0', '(vllm_router_active_workers) == 1'],
      ['reason=~"worker_lost|stream_idle_timeout"', 'reason=~".*"'],
      ['vllm_router_discovery_age_seconds) > 50', 'vllm_router_discovery_age_seconds) > 20'],
    ]
    for (const [from, to] of changes) {
      const changed = rules.replace(from, to)
      assert.notEqual(changed, rules, from)
      const { status } = inCopy({ 'rules.yaml': changed, 'rules.test.yaml': tests }, (place) =>
        promtool(place, 'test', 'rules', 'rules.test.yaml'),
      )
      assert.notEqual(status, 0, from)
    }
  })

  test('understands the configuration for scraping', { timeout }, () => {
    // Debian builds it without the discovery of Kubernetes: that part is put aside.
    const text = readK8s('monitoring/scrape-config.yaml').replace(
      /kubernetes_sd_configs:\n.*role: pod/,
      "static_configs:\n      - targets: ['127.0.0.1:29000']",
    )
    assert.match(text, /static_configs/)
    const { status, said } = inCopy({ 'prometheus.yaml': text, 'rules.yaml': rules }, (place) =>
      promtool(place, 'check', 'config', 'prometheus.yaml'),
    )
    assert.equal(status, 0, said)
  })
})
