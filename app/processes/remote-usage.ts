import type { UsageRow } from '../usage/usage-row.ts'
import type { UsageStore } from '../usage/usage-store.ts'

/** The part of a channel that usage needs. */
export interface UsageChannel {
  call(name: 'addUsage', rows: readonly UsageRow[]): Promise<null>
}

/** The usage that the supervisor keeps for all processes. */
export class RemoteUsage implements UsageStore {
  readonly lasts = false
  readonly #channel: UsageChannel

  constructor(channel: UsageChannel) {
    this.#channel = channel
  }

  async add(rows: readonly UsageRow[]): Promise<void> {
    await this.#channel.call('addUsage', rows)
  }

  /** Whoever wants to read it asks the supervisor. */
  async rows(): Promise<readonly UsageRow[]> {
    return []
  }

  /** The supervisor does so. */
  async forget(): Promise<void> {}

  async close(): Promise<void> {}
}
