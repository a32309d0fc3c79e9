/** Completion, tried in the shells themselves: bash is asked as its readline asks, zsh and fish as far as they are here. */

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { describe, test } from 'node:test'
import { parseCommand, runCommand } from '../../../app/cli/cli.ts'
import { completionScript } from '../../../app/cli/completion/completion.ts'
import { verbNames, verbOf } from '../../../app/cli/verbs.ts'
import { settings } from '../../../app/config/settings.ts'
import { selectionPolicies } from '../../../policies/selection/index.ts'

const timeout = 30_000

function without(shell: string): string | false {
  return spawnSync(shell, ['--version']).status === 0 ? false : `${shell} is not on PATH`
}

function run(shell: string, args: readonly string[], input = ''): string {
  const { status, stdout, stderr } = spawnSync(shell, args, { input, encoding: 'utf8', timeout: 20_000 })
  assert.equal(status, 0, stderr)
  assert.equal(stderr, '')
  return stdout
}

/** What bash offers for a line; it has broken it into words at blanks and at `=` already. */
function offered(...words: string[]): string[] {
  const line = words.map((word) => `'${word}'`).join(' ')
  const ask = `
COMP_WORDS=(${line}); COMP_CWORD=${words.length - 1}
# As readline does: the function that complete -F has named, with command, word and the word before.
function=$(complete -p vllm-router | sed 's/.*-F \\([^ ]*\\).*/\\1/')
$function vllm-router "\${COMP_WORDS[COMP_CWORD]}" "\${COMP_WORDS[COMP_CWORD-1]}"
printf '%s\\n' "\${COMPREPLY[@]}"
`
  return run('bash', ['--norc', '-s'], completionScript('bash') + ask)
    .split('\n')
    .filter((one) => one !== '')
}

describe('bash completes', { skip: without('bash'), timeout }, () => {
  test('every verb', () => {
    assert.deepEqual(offered('vllm-router', ''), [...verbNames])
    assert.deepEqual(offered('vllm-router', 'un'), ['undrain'])
  })

  test('every flag of a verb and every setting', () => {
    const flags = settings.map(({ flag }) => `--${flag}`)
    const all = offered('vllm-router', 'requests', '--')
    for (const flag of [...flags, ...verbOf('requests').flags.map((flag) => `--${flag}`), '--no-demo'])
      assert.ok(all.includes(flag), flag)
    assert.ok(!all.includes('--watch'), 'a flag of another verb')
    assert.deepEqual(offered('vllm-router', 'workers', '--wat'), ['--watch'])
    assert.deepEqual(offered('vllm-router', '--worker-urls-f'), ['--worker-urls-file'])
  })

  test('what may follow a flag', () => {
    const policies = Object.keys(selectionPolicies)
    assert.deepEqual(offered('vllm-router', '--policy', ''), policies)
    assert.deepEqual(offered('vllm-router', 'serve', '--log-level', 'w'), ['warn'])
    assert.deepEqual(offered('vllm-router', '--policy', '=', ''), policies)
    assert.deepEqual(offered('vllm-router', '--policy', '='), policies)
    assert.deepEqual(offered('vllm-router', '--policy', '=', 'rend'), ['rendezvous_hash'])
    assert.deepEqual(offered('vllm-router', '--config', 'package.j'), ['package.json'])
    assert.deepEqual(offered('vllm-router', '--port', ''), [])
  })

  test('the words behind a verb', () => {
    assert.deepEqual(offered('vllm-router', 'completion', ''), ['bash', 'zsh', 'fish'])
    assert.deepEqual(offered('vllm-router', 'config', 's'), ['schema'])
    assert.deepEqual(offered('vllm-router', 'drain', ''), [])
  })
})

describe('zsh', { skip: without('zsh'), timeout }, () => {
  test('takes the script', () => {
    run('zsh', ['-n', '-s'], completionScript('zsh'))
  })

  test('registers it, and its texts are told apart by zsh itself', () => {
    const ask = `
autoload -Uz compinit && compinit -u -D
${completionScript('zsh')}
print -- $_comps[vllm-router]
CURRENT=2 words=(vllm-router '')
_describe() { print -l -- \${(P)2}; }
_vllm_router
CURRENT=3 words=(vllm-router completion '')
_arguments() { print -l -- "$@"; }
_vllm_router
`
    const lines = run('zsh', ['-f', '-s'], ask).split('\n')
    assert.equal(lines[0], '_vllm_router')
    for (const verb of verbNames) assert.ok(lines.includes(`${verb}:${verbOf(verb).help}`), verb)
    assert.ok(lines.includes('1:word:(bash zsh fish)'))
    assert.ok(lines.some((line) => line.startsWith('*--config[') && line.endsWith(':file:_files')))
    const policy = lines.find((line) => line.startsWith('*--policy['))
    assert.ok(policy?.endsWith(`:value:(${Object.keys(selectionPolicies).join(' ')})`), policy)
  })
})

describe('fish', { skip: without('fish'), timeout }, () => {
  const offeredByFish = (line: string) =>
    run('fish', ['--no-config', '-c', `${completionScript('fish')}complete -C ${JSON.stringify(line)}`])
      .split('\n')
      .map((one) => one.split('\t')[0])
      .filter((one) => one !== '')

  test('completes verbs, flags and values', () => {
    assert.deepEqual(offeredByFish('vllm-router ').toSorted(), [...verbNames].toSorted())
    assert.deepEqual(offeredByFish('vllm-router workers --watc'), ['--watch'])
    assert.deepEqual(offeredByFish('vllm-router top --watc'), [])
    assert.deepEqual(offeredByFish('vllm-router --log-format ').toSorted(), ['auto', 'json', 'pretty'])
    assert.deepEqual(offeredByFish('vllm-router completion ').toSorted(), ['bash', 'fish', 'zsh'])
  })
})

test('the verb prints the script of the shell; another word is a fault', async () => {
  const said = { out: '', err: '' }
  const context = {
    ...{ version: '1', env: {} },
    out: (text: string) => {
      said.out += text
    },
    err: (text: string) => {
      said.err += text
    },
  }
  const of = (...argv: string[]) => {
    const command = parseCommand(['completion', ...argv])
    assert.ok(command.verb !== 'serve' && command.verb !== 'process')
    return runCommand(command, context)
  }
  assert.equal(await of('fish'), 0)
  assert.equal(said.out, completionScript('fish'))
  assert.equal(await of('fihs'), 2)
  assert.match(said.err, /got "fihs"; allowed: bash, zsh, fish; did you mean fish\?/)
  assert.equal(await of(), 2)
  assert.match(said.err, /got nothing/)
})
