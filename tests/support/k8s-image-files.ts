/**
 * The root file system of the image without a container engine: exactly the files that the Dockerfile's stage `program`
 * collects, over the least of an operating system. What the base image has more of is left out on purpose: whatever the
 * router or the guide's commands need and is not listed here fails the test.
 */

import { execFile } from 'node:child_process'
import { chmod, copyFile, cp, mkdir, readFile, realpath, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { type Runtime, runtimeBinary } from './child.ts'
import { all, copiesOf, parseDockerfile, readDockerfile, type Stage, stageNamed } from './k8s-dockerfile.ts'

const run = promisify(execFile)
const root = fileURLToPath(new URL('../../', import.meta.url))

/** Of the base image and of its `apt-get install`: what the guide's commands, the probes and preStop call. */
const programs = ['sh', 'curl', 'grep', 'sleep', 'env', 'cat', 'id', 'touch']

const systemFiles: Readonly<Record<string, string>> = {
  'etc/passwd': 'root:x:0:0:root:/root:/bin/sh\n',
  'etc/group': 'root:x:0:\n',
  'etc/nsswitch.conf': 'hosts: files dns\n',
}

export interface ImageFiles {
  /** The root of the image. */
  readonly root: string
  /** The simulated workers, built from the same source; not part of the image. */
  readonly simulator: string
  /** The runtime's binary, outside the image. */
  readonly runtime: string
}

/** Makes both under `home`, readable by everyone. */
export async function assembleImage(home: string, runtime: Runtime): Promise<ImageFiles> {
  const image = join(home, 'root')
  const built = join(home, 'build')
  await chmod(home, 0o755)
  await mkdir(image, { recursive: true })
  const stages = parseDockerfile(readDockerfile())
  await compile(stageNamed(stages, 'build'), join(built, 'dist'))
  await collectProgram(stageNamed(stages, 'program'), image, built)
  for (const program of programs) await addProgram(image, await find(program), `/usr/bin/${program}`)
  const binary = `/usr/local/bin/${runtime}`
  await addProgram(image, await realpath(runtimeBinary(runtime)), binary)
  for (const [file, text] of Object.entries(systemFiles)) await put(image, file, text)
  for (const directory of ['proc', 'dev', 'tmp', 'etc/vllm-router'])
    await mkdir(join(image, directory), { recursive: true })
  await put(built, 'package.json', '{ "type": "module" }\n')
  return { root: image, simulator: join(built, 'dist/sim/server.js'), runtime: join(image, binary) }
}

async function put(base: string, file: string, text: string): Promise<void> {
  await mkdir(dirname(join(base, file)), { recursive: true })
  await writeFile(join(base, file), text)
}

/** The compiler as the Dockerfile runs it, into another directory. */
async function compile(stage: Stage, outDir: string): Promise<void> {
  const line = all(stage, 'RUN').find(({ rest }) => rest.startsWith('node_modules/.bin/tsc '))
  if (line === undefined) throw new Error('the stage build does not compile')
  const [, ...args] = line.rest.split(/\s+/)
  const compiler = join(root, 'node_modules/typescript/bin/tsc')
  await run(runtimeBinary('node'), [compiler, ...args, '--outDir', outDir], { cwd: root })
}

async function collectProgram(stage: Stage, image: string, built: string): Promise<void> {
  for (const { from, sources, target } of copiesOf(stage)) {
    for (const source of sources) {
      if (from === 'dependencies') await copyDependencies(join(image, target))
      else if (from === undefined) await copy(join(root, source), join(image, target))
      else
        await copy(
          join(source.startsWith('/build/dist/') ? built : root, inBuild(source)),
          join(image, target),
        )
    }
  }
}

/** What a stage copies to `/build` is the project itself; only what it makes there is in `dist`. */
function inBuild(source: string): string {
  return source.replace(/^\/build\//, '')
}

async function copy(source: string, target: string): Promise<void> {
  await mkdir(dirname(target), { recursive: true })
  await cp(source, target, { recursive: true })
}

/** What `npm ci --omit=dev --omit=optional` installs, by the marks of the lockfile. */
async function copyDependencies(target: string): Promise<void> {
  const lock = JSON.parse(await readFile(join(root, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, { dev?: boolean; optional?: boolean; devOptional?: boolean }>
  }
  for (const [path, { dev, optional, devOptional }] of Object.entries(lock.packages)) {
    const top = path.startsWith('node_modules/') && path.lastIndexOf('node_modules/') === 0
    if (top && !dev && !optional && !devOptional)
      await copy(join(root, path), join(target, path.slice('node_modules/'.length)))
  }
}

async function find(program: string): Promise<string> {
  const { stdout } = await run('sh', ['-c', `command -v ${program}`])
  return realpath(stdout.trim())
}

/** A program and the libraries that it is linked against, at the same places. */
async function addProgram(image: string, binary: string, target: string): Promise<void> {
  const { stdout } = await run('ldd', [binary]).catch(() => ({ stdout: '' }))
  const libraries = [...stdout.matchAll(/(\/\S+) \(0x/g)].map(([, path = '']) => path)
  for (const library of libraries) await copyInto(library, join(image, library))
  await copyInto(binary, join(image, target))
  await chmod(join(image, target), 0o755)
}

async function copyInto(source: string, target: string): Promise<void> {
  await mkdir(dirname(target), { recursive: true })
  await copyFile(await realpath(source), target)
}
