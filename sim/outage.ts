/** The faults that concern the whole server: it refuses connections, or dies. */
import type { Fault } from './fault.ts'
import type { FaultSet } from './fault-set.ts'
import type { Listener } from './listener.ts'

export class Outage {
  private readonly faults: FaultSet
  private readonly listener: Listener
  private readonly kill: () => void
  private reopening: NodeJS.Timeout | undefined

  /** `kill` ends the server as a killed process ends. */
  constructor(faults: FaultSet, listener: Listener, kill: () => void) {
    this.faults = faults
    this.listener = listener
    this.kill = kill
  }

  /** Puts a fault in force, with its immediate effect if it has one. */
  setFault(fault: Fault): void {
    if (fault.kind === 'die' && fault.at === undefined) {
      // After the answer to whoever asked for it by HTTP.
      setImmediate(this.kill)
      return
    }
    this.faults.add(fault)
    if (fault.kind === 'refuse') this.refuseFor(fault.ms)
  }

  private refuseFor(ms: number | undefined): void {
    this.listener.refuse()
    clearTimeout(this.reopening)
    if (ms !== undefined) this.reopening = setTimeout(() => void this.endRefusal(), ms)
  }

  private async endRefusal(): Promise<void> {
    this.faults.remove('refuse')
    await this.listener.listenAgain()
  }

  /** Ends all faults; resolves when the server listens again. A server that died stays dead. */
  async clear(): Promise<void> {
    clearTimeout(this.reopening)
    const isRefusing = this.faults.list().some(({ kind }) => kind === 'refuse')
    this.faults.clear()
    if (isRefusing) await this.listener.listenAgain()
  }

  /** The server is closed for good. */
  close(): void {
    clearTimeout(this.reopening)
  }
}
