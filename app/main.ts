#!/usr/bin/env node
import { runtimeTooOld } from './cli/runtime-floor.ts'
import { Signals } from './runtime/signals.ts'

// Before anything is loaded: that takes half a second, in which an order to end must not get lost.
const signals = new Signals()
const tooOld = runtimeTooOld(process.versions)

if (tooOld === undefined) {
  const { runProgram } = await import('./cli/program.ts')
  process.exitCode = await runProgram(process.argv.slice(2), signals)
} else {
  process.stderr.write(`${tooOld}\n`)
  process.exitCode = 2
}
