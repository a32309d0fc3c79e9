/** What real vLLM does not have: faults and counts of the simulation, under `/sim`. */
import { json } from '../answer.ts'
import { badRequest } from '../api-error.ts'
import type { Call, SimContext } from '../call.ts'
import { checkFault, parseFault } from '../fault-parser.ts'
import type { Handler } from './index.ts'

const faults = (sim: SimContext) => json({ faults: sim.faults.list() })

/** The body is a fault as JSON, a list of them, or a short name as plain text. */
const setFaults: Handler = (sim, call) => {
  for (const fault of parsed(call)) sim.outage.setFault(fault)
  return faults(sim)
}

function parsed({ body }: Call) {
  const text = body.toString('utf8').trim()
  try {
    return text.startsWith('[') ? (JSON.parse(text) as unknown[]).map(checkFault) : [parseFault(text)]
  } catch (error) {
    throw badRequest(error instanceof Error ? error.message : String(error))
  }
}

const clearFaults: Handler = (sim) => {
  void sim.outage.clear()
  return faults(sim)
}

export const control: Record<string, Record<string, Handler>> = {
  '/sim/fault': { GET: faults, POST: setFaults, DELETE: clearFaults },
  '/sim/stats': { GET: (sim) => json(sim.stats()) },
}
