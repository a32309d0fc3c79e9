import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { describe, test } from 'node:test'
import { type ErrorCode, errorBody, errorCodes, errorEvent, RouterError } from '../../http/errors.ts'

const page = await readFile(new URL('../../docs/errors.md', import.meta.url), 'utf8')

const codes = page.slice(page.indexOf('\n## Codes'), page.indexOf('\n## Faults'))

/** Cells of the table of codes, by code. */
const rows = new Map(
  [...codes.matchAll(/^\| `(\w+)` \| (.+) \|$/gm)].map(([, code = '', rest = '']) => [
    code,
    rest.split(' | '),
  ]),
)

function typeOf(code: ErrorCode, dialect: 'openai' | 'anthropic'): string {
  return (errorBody(new RouterError(code, ''), dialect) as { error: { type: string } }).error.type
}

describe('docs/errors.md', () => {
  test('has every code with its status and its types, and no other', () => {
    assert.deepEqual([...rows.keys()].sort(), [...errorCodes].sort())
    for (const code of errorCodes) {
      const [status, openai, anthropic] = rows.get(code) ?? []
      const expected = [
        String(new RouterError(code, '').status),
        typeOf(code, 'openai'),
        typeOf(code, 'anthropic'),
      ]
      assert.deepEqual([status, openai, anthropic], expected, code)
    }
  })

  test('shows the last event of a broken stream as it is sent', () => {
    const event = Buffer.from(errorEvent(new RouterError('worker_lost', '...'), 'openai')).toString()
    assert.ok(page.includes(event.trim()), event)
  })
})
