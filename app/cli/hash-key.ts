import { randomBytes } from 'node:crypto'
import { hashOfKey } from '../../middleware/key-ring.ts'
import type { CommandContext } from './cli.ts'
import { splitArguments } from './verbs.ts'

/** Characters: 256 random bits have so many in base64, and 64 in hex. */
const shortest = 43
/** Different characters in a key. Of random ones of that length, even in hex, one in 10^11 has fewer. */
const fewest = 8

const usage = 'vllm-router hash-key: pass the key on standard input, or --new for a random one'

/** Prints the line that stands for a key in the configuration; with `--new`, also the key, this once. */
export async function hashKey(argv: readonly string[], { out, err, stdin }: CommandContext): Promise<number> {
  const { words, own, settings } = splitArguments('hash-key', argv)
  // Nothing of it is repeated: it may be the key.
  if (words.length > 0 || settings.length > 0) {
    err(`${usage}. Nothing else: everyone who can list processes sees what stands on a command line\n`)
    return 2
  }
  if (own.new !== undefined) {
    const key = `sk-${randomBytes(32).toString('base64url')}`
    out(`key:  ${key}\nhash: ${hashOfKey(key)}\n`)
    return 0
  }
  const key = ((await stdin?.()) ?? '').replace(/\r?\n$/, '')
  const fault = faultOf(key)
  if (fault === undefined) out(`hash: ${hashOfKey(key)}\n`)
  else err(`vllm-router hash-key: ${fault}\n`)
  return fault === undefined ? 0 : 2
}

/** What keeps it from being a key; nothing of it is shown. */
function faultOf(key: string): string | undefined {
  if (key === '') return 'there is nothing on standard input; --new makes a random key'
  if (!/^[\x21-\x7e]+$/.test(key)) return 'a key is one word of printable ASCII without spaces'
  if (key.length >= shortest && new Set(key).size >= fewest) return undefined
  const why =
    'whoever reads the hash could try billions of keys a second until one fits: only 256 random bits are safe from that'
  return `the key is too short, or not random: ${why}, ${shortest} characters in base64, 64 in hex. --new makes one`
}
