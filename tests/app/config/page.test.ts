import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { test } from 'node:test'
import { configurationPage } from '../../../app/config/document.ts'
import { settings } from '../../../app/config/settings.ts'

const page = new URL('../../../docs/configuration.md', import.meta.url)

const write = `docs/configuration.md is behind the list of settings. Write it again:
node --input-type=module -e "import { configurationPage } from './app/config/document.ts'; process.stdout.write(configurationPage())" > docs/configuration.md`

test('docs/configuration.md is what the list of settings gives', async () => {
  assert.ok((await readFile(page, 'utf8')) === configurationPage(), write)
})

test('the page names every setting with its default', () => {
  const text = configurationPage()
  for (const { flag, kind, default: usual } of settings)
    assert.ok(text.includes(`| \`--${flag}\` | \`${kind.show(usual)}\``), flag)
})
