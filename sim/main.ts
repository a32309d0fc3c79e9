/** Starts simulated vLLM servers from the command line. They SIMULATE vLLM; see server.ts. */
import { type Command, parseCommand, usage } from './cli.ts'
import { startFleet } from './fleet.ts'
import { type SimulatedVllm, startSimulatedVllm } from './server.ts'

async function start({ options, fleet }: Command): Promise<readonly SimulatedVllm[]> {
  if (fleet > 1) return (await startFleet({ ...options, size: fleet })).workers
  // A process of its own dies as one; in a fleet the others live on.
  return [await startSimulatedVllm({ ...options, onDie: () => process.exit(1) })]
}

async function main(): Promise<void> {
  const command = parseCommand(process.argv.slice(2))
  if (command.help) {
    process.stdout.write(usage)
    return
  }
  const workers = await start(command)
  const end = (worker: SimulatedVllm) => (command.graceful ? worker.finish() : worker.close())
  const stop = () => void Promise.all(workers.map(end)).then(() => process.exit(0))
  // A server that refuses connections for a while is nothing that keeps a process alive.
  setInterval(() => {}, 2 ** 30)
  process.once('SIGTERM', stop)
  process.once('SIGINT', stop)
  for (const worker of workers) {
    for (const fault of command.faults) worker.setFault(fault)
    const models = worker.models.join(', ')
    process.stdout.write(`simulated vLLM (not a real one) ${worker.id} serving ${models} on ${worker.url}\n`)
  }
}

main().catch((error: unknown) => {
  process.stderr.write(`sim: ${error instanceof Error ? error.message : String(error)}\n`)
  process.exit(2)
})
