/**
 * Holds manifests against the typed schemas of the Kubernetes API, twice: a validator checks values (kinds, formats, what
 * is required), and the compiler refuses fields that no type knows. The validator lets those pass, as an API server does
 * that is not asked to be strict: it drops them in silence, and a misspelt probe is no probe.
 */

import { execFile } from 'node:child_process'
import { mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { runtimeBinary } from './child.ts'
import type { Manifest } from './k8s-manifests.ts'

const run = promisify(execFile)
const modules = fileURLToPath(new URL('../../node_modules', import.meta.url))

/** Manifests by where they come from. */
export type Sources = Readonly<Record<string, readonly Manifest[]>>

function modelOf({ apiVersion, kind }: Manifest): string {
  const operator = apiVersion.startsWith('monitoring.coreos.com/')
  return `${operator ? '@kubernetes-models/prometheus-operator' : 'kubernetes-models'}/${apiVersion}/${kind}`
}

function label(source: string, { kind, metadata }: Manifest): string {
  return `${source}: ${kind} ${metadata.name}`
}

/** Every fault of a value, as a sentence. */
export async function valueFaults(sources: Sources): Promise<string[]> {
  const faults: string[] = []
  for (const [source, manifests] of Object.entries(sources)) {
    for (const manifest of manifests) {
      try {
        const models = (await import(modelOf(manifest))) as Record<string, Model | undefined>
        const Kind = models[manifest.kind]
        if (Kind === undefined) throw new Error('has no schema')
        new Kind(manifest).validate()
      } catch (error) {
        faults.push(`${label(source, manifest)}: ${(error as Error).message}`)
      }
    }
  }
  return faults
}

type Model = new (data: unknown) => { validate(): void }

/** What the compiler says about fields: those that do not exist, above all. Compiles everything at once. */
export async function fieldFaults(sources: Sources): Promise<string[]> {
  const home = await mkdtemp(join(tmpdir(), 'vllm-router-manifests-'))
  try {
    await symlink(modules, join(home, 'node_modules'))
    const names: string[] = []
    for (const [source, manifests] of Object.entries(sources)) {
      for (const manifest of manifests) {
        const file = join(home, `${names.length}.ts`)
        names.push(label(source, manifest))
        await writeFile(
          file,
          `import type { I${manifest.kind} } from '${modelOf(manifest)}'\n` +
            `export const manifest: I${manifest.kind} = ${JSON.stringify(manifest, null, 1)}\n`,
        )
      }
    }
    await writeFile(join(home, 'package.json'), '{ "type": "module" }\n')
    const compilerOptions = {
      module: 'nodenext',
      target: 'es2024',
      strict: true,
      noEmit: true,
      skipLibCheck: true,
      types: [],
    }
    await writeFile(join(home, 'tsconfig.json'), JSON.stringify({ compilerOptions, include: ['*.ts'] }))
    const compiler = join(modules, 'typescript/bin/tsc')
    const { stdout } = await run(runtimeBinary('node'), [compiler, '--pretty', 'false', '-p', home], {
      cwd: home,
    }).catch((error: { stdout: string }) => error)
    return stdout
      .split('\n')
      .filter((line) => line !== '')
      .map((line) =>
        line.replace(/^(\d+)\.ts\(\d+,\d+\)/, (_all, index: string) => names[Number(index)] ?? ''),
      )
  } finally {
    await rm(home, { recursive: true, force: true })
  }
}
