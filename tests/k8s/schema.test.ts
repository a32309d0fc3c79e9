/** The manifests against the schemas of the Kubernetes API: nothing that does not exist, nothing of the wrong kind. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import {
  type Manifest,
  parseManifests,
  readK8s,
  render,
  rendered,
  singleFiles,
  withoutKubectl,
} from '../support/k8s-manifests.ts'
import { fieldFaults, type Sources, valueFaults } from '../support/k8s-schema.ts'

const timeout = 60_000

function committed(): Sources {
  return Object.fromEntries(Object.keys(singleFiles).map((file) => [file, parseManifests(readK8s(file))]))
}

function overlays(): Sources {
  return Object.fromEntries(rendered.map((place) => [place, parseManifests(render(place))]))
}

/** The simple router, with one thing changed in its Deployment. */
function changed(from: string | RegExp, to: string): Sources {
  const text = readK8s('vllm-router-simple.yaml')
  const broken = text.replace(from, to)
  assert.notEqual(broken, text)
  return { broken: parseManifests(broken) }
}

describe('the manifests fit the schemas', () => {
  test('the single files', { timeout }, async () => {
    const sources = committed()
    assert.deepEqual([await valueFaults(sources), await fieldFaults(sources)], [[], []])
  })

  test('every overlay, with its components', { timeout, skip: withoutKubectl }, async () => {
    const sources = overlays()
    assert.ok(Object.keys(sources).length >= 6)
    assert.deepEqual([await valueFaults(sources), await fieldFaults(sources)], [[], []])
  })
})

describe('the check', () => {
  test('refuses a field that does not exist, however deep', { timeout }, async () => {
    const faults = await fieldFaults(changed('livenessProbe:', 'livenessProb:'))
    assert.equal(faults.length, 1)
    assert.match(faults[0] ?? '', /^broken: Deployment vllm-router: error .*livenessProb['"]/)
  })

  test('refuses a field at the wrong place', { timeout }, async () => {
    const faults = await fieldFaults(changed('type: NodePort', 'nodePort: 30090'))
    assert.match(faults.join('\n'), /^broken: Service vllm-router: error .*nodePort/)
  })

  test('refuses a value of the wrong kind', { timeout }, async () => {
    const faults = await valueFaults(changed('containerPort: 8080', 'containerPort: "8080"'))
    assert.equal(faults.length, 1)
    assert.match(faults[0] ?? '', /containerPort/)
  })

  test('refuses what is not there but must be', { timeout }, async () => {
    const faults = await valueFaults(
      changed(/ {2}selector:\n {4}matchLabels:\n.*\n {2}strategy/, '  strategy'),
    )
    assert.match(faults.join('\n'), /selector/)
  })

  test('refuses a kind that nobody knows', { timeout }, async () => {
    const manifest: Manifest = { apiVersion: 'apps/v1', kind: 'Deploymint', metadata: { name: 'x' } }
    assert.equal((await valueFaults({ broken: [manifest] })).length, 1)
  })
})
