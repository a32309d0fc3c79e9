/** Texts of a configuration file refer to variables and files, mostly for secrets. */

import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import fc from 'fast-check'
import { loadConfig } from '../../../app/config/load-config.ts'
import { printConfig } from '../../../app/config/print-config.ts'
import { formatProblems } from '../../../app/config/problem.ts'

let folder = ''
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'router-references-'))
})
after(() => rm(folder, { recursive: true }))

async function load(content: string, env: Record<string, string> = {}) {
  await writeFile(join(folder, 'router.yaml'), content)
  return loadConfig({ argv: ['--config', 'router.yaml'], env, cwd: folder })
}

async function good(content: string, env: Record<string, string> = {}) {
  const result = await load(content, env)
  if (!result.ok) assert.fail(formatProblems(result.faults))
  return result
}

async function faultOf(content: string, env: Record<string, string> = {}): Promise<string> {
  const result = await load(content, env)
  return result.ok ? '' : formatProblems(result.faults)
}

describe('a reference in a configuration file', () => {
  test('is a variable, one with a default, or a file, also within a text and in a list', async () => {
    await writeFile(join(folder, 'key'), 'from-a-file\n')
    const { config, origins } = await good(
      [
        'port: ${PORT}',
        'host: ${NOWHERE:-127.0.0.1}',
        'queue-size: "${EMPTY:-7}"',
        'admin-api-key: ${file:key}',
        'worker-urls: ["http://${HOST}:8000", "http://b:8000"]',
        'router-api-keys: ["${ONE}", "plain"]',
      ].join('\n'),
      { PORT: '8123', EMPTY: '', HOST: 'gpu1', ONE: 'k1' },
    )
    assert.deepEqual([config.port, config.host, config.queueSize], [8123, '127.0.0.1', 7])
    assert.equal(config.adminApiKey, 'from-a-file')
    assert.deepEqual(config.workerUrls, ['http://gpu1:8000', 'http://b:8000'])
    assert.deepEqual(config.routerApiKeys, ['k1', 'plain'])
    assert.match(origins.port.text, /router\.yaml:1:7 \(port\), from \$\{PORT\}$/)
    assert.doesNotMatch(printConfig(config, origins), /from-a-file|k1/)
  })

  test('is none behind a second dollar sign, and print-config writes it so that it is read again', async () => {
    const { config, origins } = await good('model-alias: ["$${a}=b"]')
    assert.deepEqual(config.modelAlias, ['${a}=b'])
    const again = await good(printConfig(config, origins))
    assert.deepEqual(again.config.modelAlias, ['${a}=b'])
  })

  test('that leads nowhere is a fault with its place and its name', async () => {
    const scenes = [
      [
        'port: ${GONE}',
        /--port +\(file router\.yaml:1:7 \(port\)\): the reference "\$\{GONE\}" is a variable that is not set/,
      ],
      ['port: ${EMPTY}', /is an empty variable/],
      ['host: ${file:gone}', /the reference "\$\{file:gone\}" cannot be read: ENOENT/],
      ['host: ${file:.}', /is no file/],
      ['host: ${OPEN', /has no end/],
      ['host: ${a b}', /is none of \$\{NAME\}, \$\{NAME:-text\} and \$\{file:\/path\}/],
      ['host: ${}', /is none of/],
      ['worker-urls: [http://a:1, "${GONE}"]', /router\.yaml:1:27/],
    ] as const
    for (const [content, expected] of scenes) assert.match(await faultOf(content, { EMPTY: '' }), expected)
  })

  test('to a wrong value is a fault that does not show it', async () => {
    const fault = await faultOf('port: ${PORT}\nworker-urls: ["${URL}"]', { PORT: 'sesame', URL: 'sesame' })
    assert.match(fault, /--port .*from \$\{PORT\}\): got a value that is not shown; allowed/)
    assert.doesNotMatch(fault, /sesame/)
  })

  test('shows no secret: not what stands for a missing one, not a piece of a key, not a file whose path was meant', async () => {
    await writeFile(join(folder, 'key.pem'), '-----BEGIN\nsesame\n-----END\n')
    const { config, origins } = await good('api-key: ${GONE:-sesame}')
    assert.equal(config.apiKey, 'sesame')
    assert.doesNotMatch(printConfig(config, origins), /sesame/)
    for (const [content, expected] of [
      ['api-key: "k${sesame"', /a reference has no end/],
      ['api-key: "k${a-sesame}k"', /is none of/],
      ['worker-client-key: ${file:key.pem}', /leads to more than one line/],
      ['policy: ${S}', /not shown/],
      ['model-policy: ["m=${S}"]', /not shown/],
      ['worker-urls: ["http://h:1/${S}", "http://h:1/${S}"]', /not shown/],
      ['api-key: ${file:/dev/zero}', /is no file/],
      ['api-key: ${file:/dev/null}', /is no file/],
    ] as const) {
      const fault = await faultOf(content, { S: 'sesame' })
      assert.match(fault, expected)
      assert.doesNotMatch(fault.replace(content, ''), /sesame/, content)
    }
  })

  test('is not looked for in flags and variables, nor twice', async () => {
    const { config } = await good('admin-api-key: ${A}', { A: '${B}', B: 'x' })
    assert.equal(config.adminApiKey, '${B}')
  })

  test('in a text of any kind gives a text or a fault, never an exception', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.string({ unit: fc.constantFrom('$', '{', '}', ':', '-', 'A', 'file:') }),
        async (text) => {
          await load(`admin-api-key: ${JSON.stringify(text)}`, { A: 'x' })
        },
      ),
      { numRuns: 50 },
    )
  })
})
