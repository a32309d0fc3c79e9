/** The rules of the Dockerfile: kept, and each of them refuses a Dockerfile that breaks it. */

import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { copiesOf, parseDockerfile, readDockerfile, readDockerignore } from '../support/k8s-dockerfile.ts'
import { imageBreaches, imageRules } from '../support/k8s-image-rules.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const dockerfile = readDockerfile()
const dockerignore = readDockerignore()

describe('the Dockerfile', () => {
  test('keeps its rules', () => {
    assert.deepEqual(imageBreaches(dockerfile, dockerignore), [])
  })

  test('copies only what is there', () => {
    const copies = parseDockerfile(dockerfile).flatMap(copiesOf)
    const paths = copies.filter(({ from }) => from === undefined).flatMap(({ sources }) => sources)
    assert.ok(paths.length >= 8)
    for (const path of paths) assert.ok(existsSync(`${root}/${path}`), path)
  })
})

/** By rule: what to replace, by what. The last occurrence, so that the default image is the one that breaks. */
const broken: Readonly<Record<string, readonly (readonly [string | RegExp, string])[]>> = {
  'pinned bases': [[/node:[\d.]+-bookworm-slim AS node/, 'node:latest AS node']],
  'Node is the default': [[/$/, '\nFROM scratch AS extra\n']],
  'one program': [['COPY --from=program /app /app', 'COPY . /app']],
  'no build tools': [
    ['ca-certificates curl', 'ca-certificates curl git'],
    [' /usr/local/bin/npm ', ' '],
    [' --omit=optional', ''],
  ],
  curl: [['ca-certificates curl', 'ca-certificates']],
  'small layers': [
    [' --no-install-recommends', ''],
    ['/var/lib/apt/lists/*', '/tmp/none'],
  ],
  'uid 10001': [
    ['USER 10001:10001', 'USER node'],
    ['USER 10001:10001', ''],
  ],
  'signals reach the process': [
    ['ENTRYPOINT ["node", "/app/app/main.js"]', 'ENTRYPOINT node /app/app/main.js'],
    ['STOPSIGNAL SIGTERM', 'STOPSIGNAL SIGKILL'],
    [/$/, '\nCMD ["--demo"]\n'],
  ],
  'health by the verb': [
    ['"/liveness"]', '"http://127.0.0.1:8080/health"]'],
    [/HEALTHCHECK [^\n]*\\\n[^\n]*health[^\n]*/, 'HEALTHCHECK CMD curl -f http://127.0.0.1:8080/health'],
  ],
  'listens to the outside': [
    ['VLLM_ROUTER_HOST=0.0.0.0', 'VLLM_ROUTER_HOST=127.0.0.1'],
    ['EXPOSE 8080 29000', 'EXPOSE 8080'],
  ],
  'no secrets': [['ENV NODE_ENV', 'ENV VLLM_ROUTER_ADMIN_API_KEY=x NODE_ENV']],
  'nothing from elsewhere': [
    ['COPY LICENSE', 'ADD LICENSE'],
    ['RUN npm ci --ignore-scripts', 'RUN npm ci'],
  ],
  'a context of exactly what is copied': [['COPY app ./app', 'COPY app bench ./app']],
}

function replaceLast(text: string, from: string | RegExp, to: string): string {
  if (from instanceof RegExp) {
    const at = [...text.matchAll(new RegExp(from, 'g'))].at(-1)
    return at === undefined ? text : text.slice(0, at.index) + to + text.slice(at.index + at[0].length)
  }
  const at = text.lastIndexOf(from)
  return at < 0 ? text : text.slice(0, at) + to + text.slice(at + from.length)
}

describe('each rule refuses what breaks it', () => {
  for (const { name, because } of imageRules) {
    test(`${name}: ${because}`, () => {
      const cases = broken[name] ?? []
      assert.ok(cases.length > 0, 'no Dockerfile that breaks it')
      for (const [from, to] of cases) {
        const wrong = replaceLast(dockerfile, from, to)
        assert.notEqual(wrong, dockerfile, String(from))
        const said = imageBreaches(wrong, dockerignore)
        assert.ok(
          said.some((breach) => breach.startsWith(`${name}: `)),
          `${String(from)} -> ${to}: ${said.join('\n')}`,
        )
      }
    })
  }

  test('and .dockerignore must not let more in', () => {
    for (const line of ['!.env', '!node_modules']) {
      const said = imageBreaches(dockerfile, `${dockerignore}${line}\n`)
      assert.deepEqual(said, [
        `a context of exactly what is copied: ${line.slice(1)} is sent, but not copied`,
      ])
    }
    assert.equal(imageBreaches(dockerfile, dockerignore.replace('\n*\n', '\n')).length, 1)
  })
})
