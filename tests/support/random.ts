/** A small seeded generator (mulberry32, public domain), so that a failure can be played again. */

export type Random = () => number

/** Numbers in [0, 1), the same for the same seed. */
export function seeded(seed: number): Random {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** Cuts bytes into pieces of `min` to `max` bytes; together they are the same bytes. */
export function slices(bytes: Uint8Array, random: Random, min = 1, max = 40): Uint8Array[] {
  const pieces: Uint8Array[] = []
  for (let start = 0; start < bytes.length; ) {
    const length = min + Math.floor(random() * (max - min + 1))
    pieces.push(bytes.subarray(start, start + length))
    start += length
  }
  return pieces
}
