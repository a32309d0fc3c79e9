import { stripVTControlCharacters } from 'node:util'
import { plain } from '../text-table.ts'

/** At most so many characters; what is cut off is said by a sign. Coloured text is left alone: it was cut before. */
export function cut(text: string, width: number): string {
  if (text.length <= width || stripVTControlCharacters(text).length <= width) return text
  return `${text.slice(0, Math.max(0, width - 1))}…`
}

/** In lines of at most so many characters, broken between words; a longer word is cut. */
export function wrapped(text: string, width: number): string[] {
  const lines: string[] = []
  let line = ''
  for (const word of text.split(' ')) {
    const longer = line === '' ? word : `${line} ${word}`
    if (line !== '' && longer.length > width) lines.push(line)
    line = longer.length > width && line !== '' ? word : longer
  }
  return [...lines, line].map((one) => cut(one, width))
}

/** Names of one fleet begin alike and end alike: what is left out is in the middle. */
export function cutMiddle(text: string, width: number): string {
  if (text.length <= width) return text
  const head = Math.ceil((width - 1) / 2)
  return `${text.slice(0, head)}…${text.slice(text.length - (width - 1 - head))}`
}

/**
 * As many of these blocks as `room` lines hold, the one at `wanted` among them. What is left out is counted in the last
 * line.
 */
export function fitting(
  blocks: readonly (readonly string[])[],
  wanted: number,
  room: number,
): readonly string[] {
  const all = blocks.flat()
  if (all.length <= room) return all
  const free = room - 1
  let first = 0
  while (first < wanted && linesOf(blocks.slice(first, wanted + 1)) > free) first++
  let last = first
  while (last < blocks.length && linesOf(blocks.slice(first, last + 1)) <= free) last++
  const below = blocks.length - last
  const left = [first > 0 ? `${first} above` : '', below > 0 ? `${below} below` : ''].filter(
    (one) => one !== '',
  )
  return [...blocks.slice(first, last).flat(), `  ... ${left.join(', ')}`]
}

function linesOf(blocks: readonly (readonly string[])[]): number {
  return blocks.reduce((sum, block) => sum + block.length, 0)
}

/** A worker's address without what all have alike. */
export function shortUrl(url: string): string {
  return plain(url.replace(/^http:\/\//, ''))
}
