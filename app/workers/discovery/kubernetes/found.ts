import type { Member } from '../../source.ts'

/** What a collection of API objects says about workers. */
export interface Found {
  readonly members: readonly Member[]
  /** What is wrong with objects: why one is no worker, or which annotation is not followed; for the log. */
  readonly problems: readonly string[]
}

export function hostUrl(address: string, port: number): string {
  return `http://${address.includes(':') ? `[${address}]` : address}:${port}`
}

/**
 * One member for each address. Of two at one address, the one that takes requests is the one that is really there; of two
 * that do, the one that came later: the end of the other has not been told yet.
 */
export function oneEach(members: readonly Member[]): readonly Member[] {
  const byUrl = new Map<string, Member>()
  for (const member of members) {
    const other = byUrl.get(member.url)
    if (other === undefined || other.draining === true || member.draining !== true)
      byUrl.set(member.url, member)
  }
  return [...byUrl.values()]
}
