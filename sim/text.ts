/**
 * Seeded text: the words a simulated model "says".
 *
 * The same prompt and seed give the same words on every server and in both forms of an answer, so a test can compare
 * a stream with the plain answer. No word needs escaping in JSON; a few are not ASCII, so that a relay that cuts
 * inside a character is found out.
 */
const words = (
  'the of and a to in is that it was for on are as with his they at be this from have or by one had not but what all ' +
  'were when we there can an your which their said if do will each about how up out them then she many some so these ' +
  'would other café naïve 数据 🙂 into has'
).split(' ')

const openers = words.slice(0, 64)
const followers = openers.map((word) => ` ${word}`)

/** Generator of numbers from 0 to below 1 (mulberry32): small, quick, and the same on every runtime. */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    return mix(state) / 4294967296
  }
}

function mix(value: number): number {
  let t = Math.imul(value ^ (value >>> 15), value | 1)
  t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
  return (t ^ (t >>> 14)) >>> 0
}

/** 32-bit FNV-1a over at most the first and last 256 characters and the length: enough to seed an answer. */
export function textSeed(text: string, seed: number): number {
  let hash = Math.imul(seed ^ text.length, 0x01000193) ^ 0x811c9dc5
  const headEnd = Math.min(text.length, 256)
  for (let i = 0; i < headEnd; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  for (let i = Math.max(headEnd, text.length - 256); i < text.length; i++) {
    hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  }
  return hash >>> 0
}

/** The output token at `position` of the answer with this seed. Needs no escaping inside a JSON string. */
export function tokenAt(seed: number, position: number): string {
  const pick = mix((seed + Math.imul(position, 0x9e3779b9)) >>> 0) & 63
  return (position === 0 ? openers[pick] : followers[pick]) as string
}

/** The first `count` output tokens of the answer with this seed as one text. */
export function textOf(seed: number, count: number): string {
  let text = ''
  for (let i = 0; i < count; i++) text += tokenAt(seed, i)
  return text
}
