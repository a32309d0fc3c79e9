import type { Contender } from './contender.ts'

export const direct: Contender = {
  name: 'direct',
  about: 'nothing in between: the client talks to the first worker',
  native: true,
  version: () => '-',
  start: async ({ workers }) => ({ host: workers[0]!, process: undefined }),
}
