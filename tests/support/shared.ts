/** A fixture that the tests of a file share: started by the first test that asks for it, ended with the file. */

import { after } from 'node:test'
import type { Scope } from './scope.ts'

/**
 * Call it at the top of a file or of a `describe`. A `before` hook would do the same, but Bun gives hooks 5 s whatever
 * their options say, and a test has a time limit of its own.
 */
export function shared<T>(start: (scope: Scope) => Promise<T>): () => Promise<T> {
  const ends: (() => unknown)[] = []
  let started: Promise<T> | undefined
  after(async () => {
    for (const end of ends.reverse()) await end()
  })
  return () => {
    started ??= start({ after: (work) => void ends.push(work) })
    return started
  }
}
