/** What the program is made of is told, completely: the table of SECURITY.md, and the bill of materials. */

import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import manifest from '../../package.json' with { type: 'json' }

const run = promisify(execFile)
const root = fileURLToPath(new URL('../../', import.meta.url))
const read = (file: string) => readFileSync(`${root}${file}`, 'utf8')
const timeout = 60_000

interface Component {
  readonly name: string
  readonly version: string
  readonly hashes?: readonly unknown[]
  readonly properties: readonly { readonly name: string; readonly value: string }[]
}

interface Bill {
  readonly bomFormat: string
  readonly components: readonly Component[]
}

const development = 'cdx:npm:package:development'

describe('what the program is made of', () => {
  test('has a reason in SECURITY.md, each package of it', () => {
    const table = /## Dependencies\n([\s\S]*?)\n## /.exec(read('SECURITY.md'))?.[1] ?? ''
    const rows = table.split('\n').filter((line) => line.startsWith('| `'))
    const named = rows.flatMap((row) =>
      [...(row.split(' | ')[0] ?? '').matchAll(/`([^`]+)`/g)].map(([, name]) => name),
    )
    assert.deepEqual(named.sort(), Object.keys(manifest.dependencies).sort())
  })

  test('runs nothing when it is installed', () => {
    const { packages } = JSON.parse(read('package-lock.json')) as {
      packages: Record<string, { dev?: true; hasInstallScript?: true }>
    }
    const scripts = Object.entries(packages).filter(([, entry]) => entry.hasInstallScript && !entry.dev)
    assert.deepEqual(scripts, [])
  })

  test('is in the bill of materials, with hashes, and told from what is for development', {
    timeout,
  }, async (t) => {
    const npm = await run('npm', ['--version']).then(({ stdout }) => Number.parseInt(stdout, 10))
    if (npm < 10) return t.skip(`npm ${npm} has no sbom`)
    const { stdout } = await run('npm', ['run', '--silent', 'sbom'], { cwd: root, maxBuffer: 64 * 2 ** 20 })
    const bill = JSON.parse(stdout) as Bill
    assert.equal(bill.bomFormat, 'CycloneDX')
    const needed = new Map(
      bill.components
        .filter(({ properties }) => !properties.some(({ name }) => name === development))
        .map((component) => [component.name, component]),
    )
    for (const [name, version] of Object.entries(manifest.dependencies)) {
      const component = needed.get(name)
      assert.equal(component?.version, version, name)
      assert.ok((component?.hashes?.length ?? 0) > 0, `${name} has no hash`)
    }
    assert.ok(!needed.has('undici'), 'what is for development only is marked')
  })
})
