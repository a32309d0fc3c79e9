/** CSV of RFC 4180, whatever the names of tenants and models are. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { usageCsv } from '../../../app/usage/usage-csv.ts'
import type { UsageHour } from '../../../app/usage/usage-report.ts'
import { nothing, usageFields } from '../../../app/usage/usage-row.ts'

/** Reads the grammar of RFC 4180, section 2. */
function parse(text: string): string[][] {
  const records: string[][] = []
  let at = 0
  const field = (): string => {
    if (text[at] !== '"') {
      const [plain = ''] = /^[^",\r\n]*/.exec(text.slice(at)) ?? []
      at += plain.length
      return plain
    }
    const [quoted = ''] = /^"(?:[^"]|"")*"/.exec(text.slice(at)) ?? assert.fail('a quote that does not end')
    at += quoted.length
    return quoted.slice(1, -1).replaceAll('""', '"')
  }
  while (at < text.length) {
    const record = [field()]
    while (text[at] === ',') {
      at++
      record.push(field())
    }
    assert.equal(text.slice(at, at + 2), '\r\n', `the end of a line at ${at}`)
    at += 2
    records.push(record)
  }
  return records
}

const special = fc.string({ unit: fc.constantFrom('"', ',', '\r', '\n', ' ', 'a', 'é', ';', "'") })
const names = fc.oneof(special, fc.string())
const hours: fc.Arbitrary<UsageHour> = fc.record({
  hour: fc.constant('2026-11-28T09:00:00.000Z'),
  tenant: fc.option(names),
  model: names,
  requests: fc.nat(),
  prompt_tokens: fc.nat(),
  cached_tokens: fc.nat(),
  completion_tokens: fc.nat(),
  unmetered_requests: fc.nat(),
  worker_seconds: fc.nat().map((micros) => micros / 1e6),
})

test('says the same as the report when it is read again', () => {
  fc.assert(
    fc.property(fc.array(hours, { maxLength: 6 }), (given) => {
      const [names, ...lines] = parse(usageCsv(given))
      assert.deepEqual(names, ['hour', 'tenant', 'model', ...usageFields])
      assert.deepEqual(
        lines,
        given.map((hour) => [
          ...[hour.hour, hour.tenant ?? '', hour.model],
          ...usageFields.map((field) => String(hour[field])),
        ]),
      )
    }),
  )
})

test('quotes only what needs it', () => {
  const hour: UsageHour = { hour: '2026-11-28T09:00:00.000Z', tenant: 'a, "b"', model: 'org/m', ...nothing }
  assert.equal(usageCsv([hour]).split('\r\n')[1], '2026-11-28T09:00:00.000Z,"a, ""b""",org/m,0,0,0,0,0,0')
})
