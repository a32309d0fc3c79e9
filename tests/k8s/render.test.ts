/** What is made of something else is equal to what it is made of: `k8s/render.sh` makes it. */

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { parse } from 'yaml'
import {
  parseManifests,
  readK8s,
  render,
  rendered,
  singleFiles,
  theOne,
  withoutKubectl,
} from '../support/k8s-manifests.ts'

const timeout = 30_000
const stale = 'run k8s/render.sh'

describe('the single files', () => {
  for (const [file, place] of Object.entries(singleFiles))
    test(`${file} is the render of ${place}`, { timeout, skip: withoutKubectl }, () => {
      assert.equal(readK8s(file), render(place), stale)
    })

  test('are what their names say', () => {
    const nodes = Object.keys(singleFiles).map((file) => {
      const manifests = parseManifests(readK8s(file))
      const config = theOne(manifests, 'ConfigMap').data?.['router.yaml'] ?? ''
      const pinned = theOne(manifests, 'Deployment').spec?.template.spec?.nodeSelector
      return [file, config.match(/- http:/g)?.length, pinned?.['kubernetes.io/hostname']]
    })
    assert.deepEqual(nodes, [
      ['vllm-router-all-nodes.yaml', 7, undefined],
      ['vllm-router-simple.yaml', 1, undefined],
      ['vllm-router-node2.yaml', 7, 'node2'],
    ])
  })
})

describe('kustomize', () => {
  for (const place of rendered)
    test(`renders ${place}`, { timeout, skip: withoutKubectl }, () => {
      assert.ok(parseManifests(render(place)).length >= 3)
    })

  test('a changed configuration changes the name of its ConfigMap, so that pods are replaced', {
    timeout,
    skip: withoutKubectl,
  }, () => {
    const names = ['overlays/all-nodes', 'overlays/simple'].map((place) => {
      const manifests = parseManifests(render(place))
      const name = theOne(manifests, 'ConfigMap').metadata?.name
      const volume = theOne(manifests, 'Deployment').spec?.template.spec?.volumes?.[0]
      assert.equal(volume?.configMap?.name, name)
      return name
    })
    assert.notEqual(names[0], names[1])
  })
})

describe("the operator's rules", () => {
  test('are the plain ones', () => {
    const plain = parse(readK8s('monitoring/rules.yaml'))
    const operator = parse(readK8s('monitoring/prometheus-rule.yaml'))
    assert.deepEqual(operator.spec, plain, stale)
  })
})

describe('k8s/render.sh', () => {
  test('makes all of it, byte for byte', { timeout, skip: withoutKubectl }, () => {
    const copy = mkdtempSync(join(tmpdir(), 'vllm-router-render-'))
    try {
      cpSync(fileURLToPath(new URL('../../k8s', import.meta.url)), copy, { recursive: true })
      const made = [...Object.keys(singleFiles), 'monitoring/prometheus-rule.yaml']
      for (const file of made) rmSync(join(copy, file))
      const { status, stderr } = spawnSync('sh', [join(copy, 'render.sh')], { encoding: 'utf8' })
      assert.equal(status, 0, stderr)
      for (const file of made) assert.equal(readFileSync(join(copy, file), 'utf8'), readK8s(file), file)
    } finally {
      rmSync(copy, { recursive: true, force: true })
    }
  })
})
