/**
 * Whatever ends when a test ends: a node:test context, or `{ after }` with the `after` of `node:test` inside a
 * `describe`.
 */
export interface Scope {
  after(work: () => unknown): void
}
