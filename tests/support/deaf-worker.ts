/** A worker whose host can be made to take no connections any more: they are neither accepted nor refused. */

import { startProgram } from './child.ts'
import { within } from './deadline.ts'
import { openConnection, type RawConnection } from './raw-client.ts'
import type { Scope } from './scope.ts'

export interface DeafWorker {
  readonly url: string
  readonly port: number
  /** Resolves when the next connection to it will hang. */
  goDeaf(): Promise<void>
}

export async function startDeafWorker(t: Scope): Promise<DeafWorker> {
  // Always on Node: Bun does not let a server choose its backlog.
  const program = startProgram({ file: 'tests/support/deaf-program.ts', args: [], runtime: 'node', t })
  const text = await program.line((line) => /^port (\d+)$/.exec(line)?.[1], 'its port', 10_000)
  const port = Number(text)
  return {
    url: `http://127.0.0.1:${port}`,
    port,
    async goDeaf() {
      program.signal('SIGSTOP')
      const fillers: RawConnection[] = []
      t.after(() => {
        for (const filler of fillers) filler.abort()
      })
      for (let opened = true; opened; ) {
        if (fillers.length > 200) throw new Error('its backlog has no end')
        const filler = openConnection({ port })
        fillers.push(filler)
        opened = await within(300, filler.opened, 'a connection').then(
          () => true,
          () => false,
        )
      }
    },
  }
}
