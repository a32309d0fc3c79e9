/** What programs can build upon: a change of it is a decision, not a side effect. */

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describe, test } from 'node:test'
import { publicTypes } from '../support/public-types.ts'

const report = new URL('../captures/public-types.txt', import.meta.url)
const rewrite =
  'node --input-type=module -e "import { publicTypes } from \'./tests/support/public-types.ts\'; process.stdout.write(publicTypes())" > tests/captures/public-types.txt'

describe('the types that the package exports', () => {
  test('are those of the report', () => {
    const message = `the public types have changed. If that is meant, say so in CHANGELOG.md, and run: npm run build && ${rewrite}`
    assert.equal(publicTypes(), readFileSync(report, 'utf8'), message)
  })

  test('name no part of the inside: no pool, no registry, no worker, no metrics, no runtime', () => {
    const files = [...publicTypes().matchAll(/^=== (.*)$/gm)].map(([, file = '']) => file)
    assert.ok(files.length > 5)
    const inside = files.filter((file) =>
      /(pool|registry|worker|lease|metrics|observer|router|fleet|runtime|bun|node)\.d\.ts$|upstream|relay/.test(
        file,
      ),
    )
    assert.deepEqual(inside, [])
  })
})
