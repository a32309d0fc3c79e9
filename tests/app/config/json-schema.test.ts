/** The JSON Schema of the configuration file, which editors complete and check by. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Ajv } from 'ajv'
import fc from 'fast-check'
import { parse } from 'yaml'
import { parseCommand, runCommand } from '../../../app/cli/cli.ts'
import { configJsonSchema } from '../../../app/config/json-schema.ts'
import { loadConfig } from '../../../app/config/load-config.ts'
import { printConfig } from '../../../app/config/print-config.ts'
import { settings } from '../../../app/config/settings.ts'
import { settable, textsOf } from '../../support/setting-values.ts'

const ajv = new Ajv({ strict: true, strictTypes: false })
const validate = ajv.compile(configJsonSchema())
const faults = (text: string): string => (validate(parse(text)) ? '' : ajv.errorsText(validate.errors))

test('is what `config schema` prints, and describes every setting of a file', async () => {
  let out = ''
  const write = (text: string): void => {
    out += text
  }
  const command = parseCommand(['config', 'schema'])
  assert.equal(command.verb, 'schema')
  if (command.verb === 'schema')
    assert.equal(await runCommand(command, { version: '0', env: {}, out: write, err: write }), 0)
  const { properties } = JSON.parse(out) as { properties: Record<string, { description?: string }> }
  for (const { key, flag, help } of settings)
    if (key !== 'config') assert.ok(properties[flag]?.description?.includes(help), flag)
})

test('accepts every file that the router accepts, and what it prints of it', {
  timeout: 60_000,
}, async () => {
  let good = 0
  const line = fc
    .constantFrom(...settable)
    .chain((entry) => textsOf(entry).map((text) => [entry.flag, JSON.stringify(text)] as const))
  await fc.assert(
    fc.asyncProperty(fc.uniqueArray(line, { maxLength: 6, selector: ([flag]) => flag }), async (lines) => {
      const text = lines.map(([flag, value]) => `${flag}: ${value}\n`).join('')
      const loaded = await loadConfig({
        ...{ argv: ['--config', 'router.yaml'], env: {} },
        readFile: async () => text,
      })
      if (!loaded.ok) return
      good += 1
      assert.equal(faults(text || '{}'), '', text)
      assert.equal(faults(printConfig(loaded.config, loaded.origins)), '')
    }),
    { numRuns: 300 },
  )
  assert.ok(good > 100, `${good} configurations were good`)
})

test('accepts references, numbers, switches and its own key', () => {
  const good = [
    'port: 8080',
    'port: ${PORT}',
    'demo: 3',
    'policy: ${POLICY:-random}',
    'disable-retries: true',
    'disable-retries: "off"',
    'worker-urls: [http://a:1]',
    'worker-urls: http://a:1,http://b:1',
    '$schema: router.schema.json',
    '{}',
  ]
  for (const text of good) assert.equal(faults(text), '', text)
})

test('names an unknown key, a wrong word and a wrong type', () => {
  assert.match(faults('prot: 8080'), /must NOT have additional properties/)
  assert.match(faults('log-level: loud'), /log-level must be equal to one of the allowed values/)
  assert.match(faults('port: [1]'), /port must be/)
  assert.match(faults('worker-urls: { a: 1 }'), /worker-urls must be/)
})

test('its key in a file is not a setting', async () => {
  const readFile = async () => '{"$schema": "router.schema.json", "port": 8123}'
  const loaded = await loadConfig({ argv: ['--config', 'router.json'], env: {}, readFile })
  assert.equal(loaded.ok && loaded.config.port, 8123)
})
