/**
 * Stands in for the router or the simulated server where the tests of the launchers need a program that behaves, or
 * misbehaves, on command. Flags: --as router|sim|silent|broken, --port N, --stubborn (ignores SIGTERM), --child.
 */

import { spawn } from 'node:child_process'
import { createServer, type Server } from 'node:http'
import { portOf } from './sockets.ts'

const args = process.argv.slice(2)
const flag = (name: string): string | undefined =>
  args.find((_arg, index) => args[index - 1] === name) ??
  args.find((arg) => arg.startsWith(`${name}=`))?.slice(name.length + 1)
const as = flag('--as')

function listen(port: number, text: string): Promise<Server> {
  const server = createServer((_request, response) => response.end(text))
  return new Promise((resolve) => server.listen(port, '127.0.0.1', () => resolve(server)))
}

const say = (line: string): boolean => process.stdout.write(`${line}\n`)

if (as === 'broken') {
  process.stderr.write('a flag is wrong\n')
  process.exit(2)
}
const api = await listen(Number(flag('--port') ?? 0), 'api')
if (as === 'router') {
  const environment = Object.keys(process.env).filter((name) => /^(VLLM_|NODE_TEST|BUN_CONFIG)/.test(name))
  const operations = await listen(0, '# TYPE up gauge\nup{part="a"} 1\nup{part="b"} 2\n')
  const url = (server: Server): string => `http://127.0.0.1:${portOf(server)}`
  say(JSON.stringify({ msg: 'starting', args, environment, bun: process.versions.bun !== undefined }))
  say('not json')
  say(JSON.stringify({ msg: 'listening', api: url(api), operations: url(operations) }))
}
if (as === 'sim') say(`simulated vLLM (not a real one) worker-1 serving m on http://127.0.0.1:${portOf(api)}`)
if (args.includes('--child')) {
  const file = process.argv[1] ?? ''
  spawn(process.execPath, [file, '--as', 'sim', '--port', '0', '--stubborn'], { stdio: 'inherit' })
}
process.on('SIGTERM', () => {
  if (!args.includes('--stubborn')) process.exit(7)
})
