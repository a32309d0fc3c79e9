/** Reads a Dockerfile as far as its rules need it: stages, instructions with continuation lines joined, ENV and COPY. */

import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

export interface Instruction {
  /** In capitals, for example COPY. */
  readonly name: string
  /** Everything after the name, continuation lines joined by one space. */
  readonly rest: string
  readonly line: number
}

export interface Stage {
  readonly base: string
  readonly name: string | undefined
  readonly instructions: readonly Instruction[]
}

export interface Copy {
  /** The stage it copies from; undefined: the directory that is built. */
  readonly from: string | undefined
  readonly sources: readonly string[]
  readonly target: string
}

const root = fileURLToPath(new URL('../../', import.meta.url))

export function readDockerfile(): string {
  return readFileSync(`${root}Dockerfile`, 'utf8')
}

export function readDockerignore(): string {
  return readFileSync(`${root}.dockerignore`, 'utf8')
}

function parseInstructions(text: string): Instruction[] {
  const instructions: Instruction[] = []
  let open: { name: string; parts: string[]; line: number } | undefined
  for (const [index, raw] of text.split('\n').entries()) {
    const line = raw.trim()
    if (line === '' || line.startsWith('#')) continue
    const continued = line.endsWith('\\')
    const content = continued ? line.slice(0, -1).trim() : line
    if (open === undefined) {
      const [name = ''] = content.split(/\s/, 1)
      open = { name: name.toUpperCase(), parts: [content.slice(name.length).trim()], line: index + 1 }
    } else open.parts.push(content)
    if (continued) continue
    instructions.push({ name: open.name, rest: open.parts.join(' '), line: open.line })
    open = undefined
  }
  return instructions
}

export function parseDockerfile(text: string): readonly Stage[] {
  const stages: { base: string; name: string | undefined; instructions: Instruction[] }[] = []
  for (const instruction of parseInstructions(text)) {
    if (instruction.name !== 'FROM') {
      stages.at(-1)?.instructions.push(instruction)
      continue
    }
    const match = /^(\S+)(?:\s+AS\s+(\S+))?$/i.exec(instruction.rest)
    if (!match) throw new Error(`Dockerfile:${instruction.line}: not understood: FROM ${instruction.rest}`)
    stages.push({ base: match[1] ?? '', name: match[2], instructions: [] })
  }
  return stages
}

export function stageNamed(stages: readonly Stage[], name: string): Stage {
  const stage = stages.find((candidate) => candidate.name === name)
  if (stage === undefined) throw new Error(`the Dockerfile has no stage ${name}`)
  return stage
}

export function all(stage: Stage, name: string): readonly Instruction[] {
  return stage.instructions.filter((instruction) => instruction.name === name)
}

/** Values of every ENV of the stage. Only `KEY=value` without quotes, which is all that is used here. */
export function environmentOf(stage: Stage): Readonly<Record<string, string>> {
  const pairs = all(stage, 'ENV').flatMap(({ rest }) => rest.split(/\s+/))
  return Object.fromEntries(
    pairs.map((pair) => {
      const at = pair.indexOf('=')
      return [pair.slice(0, at), pair.slice(at + 1)]
    }),
  )
}

export function copiesOf(stage: Stage): readonly Copy[] {
  return all(stage, 'COPY').map(({ rest }) => {
    const words = rest.split(/\s+/)
    const from = words.find((word) => word.startsWith('--from='))?.slice('--from='.length)
    const paths = words.filter((word) => !word.startsWith('--'))
    return { from, sources: paths.slice(0, -1), target: paths.at(-1) ?? '' }
  })
}

/** The words of an instruction in exec form (`["a", "b"]`); undefined when it is in shell form, or missing. */
export function execForm(rest: string | undefined): readonly string[] | undefined {
  const list = /\[.*\]$/.exec(rest ?? '')?.[0]
  if (list === undefined) return undefined
  try {
    return JSON.parse(list) as string[]
  } catch {
    return undefined
  }
}

/** The last instruction of that name in the stage. */
export function last(stage: Stage, name: string): Instruction | undefined {
  return all(stage, name).at(-1)
}
