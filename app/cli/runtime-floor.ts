const floors = { bun: [1, 4, 2], node: [22, 19, 0] } as const

/** Why this runtime cannot run the program, in one line; undefined when it can. Must itself run on much older ones. */
export function runtimeTooOld(versions: {
  readonly bun?: string
  readonly node?: string
}): string | undefined {
  const name = versions.bun === undefined ? 'node' : 'bun'
  const version = versions[name] ?? ''
  const parts = version.split('.').map(Number)
  const floor: readonly number[] = floors[name]
  for (let index = 0; index < floor.length; index++) {
    const difference = (parts[index] ?? 0) - (floor[index] ?? 0)
    if (difference > 0) return undefined
    if (difference < 0) {
      return `vllm-router needs Node 22.19 or newer, or Bun 1.4.2 or newer: this is ${name === 'bun' ? 'Bun' : 'Node'} ${version}`
    }
  }
  return undefined
}
