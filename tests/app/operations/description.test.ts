/** The description of the operations listener: complete, valid, and the same in the document, on the page and in fact. */

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describe, test } from 'node:test'
import { Validator } from '@seriousme/openapi-schema-validator'
import { resolveOptions } from '../../../app/config/resolve-options.ts'
import { openApiDocument, routeGroups } from '../../../app/operations/description/openapi.ts'
import { apiPage } from '../../../app/operations/description/page.ts'
import type { FleetFeed } from '../../../app/operations/fleet-feed.ts'
import { createOperations } from '../../../app/operations/operations.ts'
import type { RouterControl } from '../../../app/operations/router-control.ts'
import { silentLog } from '../../../app/telemetry/log.ts'
import { describedContent, strictDescription } from '../../support/described-answers.ts'

const page = new URL('../../../docs/api.md', import.meta.url)

const write = `docs/api.md is behind the descriptions of the routes. Write it again:
node --input-type=module -e "import { apiPage } from './app/operations/description/page.ts'; process.stdout.write(apiPage())" > docs/api.md`

const described = routeGroups.flatMap(({ routes }) => routes)

/** The routes that Hono has, as the document writes them; `ALL` stands for checks and for refused methods. */
function routesInFact(): string[] {
  const app = createOperations({
    config: resolveOptions({ adminApiKey: 'k' }),
    control: {} as RouterControl,
    exposition: async () => ({ text: '', contentType: 'text/plain' }),
    log: silentLog(),
    page: new Map(),
    feed: {} as FleetFeed,
    api: () => new Response(),
  })
  const routes = app.routes.filter(({ method }) => method !== 'ALL')
  return routes.map(({ method, path }) => `${method} ${path.replaceAll(/:(\w+)(\{[^}]*\})?/g, '{$1}')}`)
}

describe('the description of the operations listener', () => {
  test('has every route that there is, and no other', () => {
    const told = described.map(({ method, path }) => `${method.toUpperCase()} ${path}`)
    assert.ok(told.length > 15)
    assert.deepEqual(told.toSorted(), routesInFact().toSorted())
  })

  test('is a valid document of OpenAPI 3.1', async () => {
    const { valid, errors } = await new Validator().validate(openApiDocument())
    assert.ok(valid, JSON.stringify(errors))
  })

  test('gives every route a name of its own, every variable part of a path a parameter, and no full stops', () => {
    assert.equal(new Set(described.map(({ name }) => name)).size, described.length)
    for (const { path, parameters = [], summary } of described) {
      const inPath = parameters.filter((parameter) => parameter.in === 'path').map(({ name }) => `{${name}}`)
      assert.deepEqual(inPath, path.match(/\{\w+\}/g) ?? [], path)
      assert.ok(summary.length > 10 && !summary.endsWith('.'), path)
    }
  })

  test('has examples that are as it says', () => {
    const { faults } = strictDescription()
    const examples = describedContent().filter(({ example }) => example !== undefined)
    assert.ok(examples.length > 15)
    for (const { where, pointer, example } of examples) assert.equal(faults(pointer, example), '', where)
  })

  test('objects to a field that is not described, one that is missing, and a wrong word', () => {
    const { faults } = strictDescription()
    const pointer = '/components/schemas/FlushResult'
    assert.equal(faults(pointer, { worker: 'w', ok: true, detail: '' }), '')
    assert.match(faults(pointer, { worker: 'w', ok: true, detail: '', more: 1 }), /additional properties/)
    assert.match(faults(pointer, { worker: 'w', ok: true }), /required property 'detail'/)
    assert.match(faults('/components/schemas/Error', { error: { code: 'nonsense' } }), /error/)
  })
})

test('docs/api.md is what the descriptions give', () => {
  assert.ok(readFileSync(page, 'utf8') === apiPage(), write)
})

test('docs/api.md names every route, parameter and field', () => {
  const text = apiPage()
  for (const { method, path, parameters = [] } of described) {
    assert.ok(text.includes(`### ${method.toUpperCase()} ${path}\n`), path)
    for (const { name } of parameters) assert.ok(text.includes(`| \`${name}\` |`), `${path}: ${name}`)
  }
  for (const field of ['in_flight', 'breaker.state', 'attempts[].outcome', 'recent.first_token_ms.p95'])
    assert.ok(text.includes(`| \`${field}\` |`), field)
})
