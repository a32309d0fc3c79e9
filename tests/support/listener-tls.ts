/** Certificates of listeners for tests: what a router is given, and what its clients trust. */

import { readFileSync } from 'node:fs'
import { copyFile, mkdtemp, rename, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ConnectionOptions } from 'node:tls'
import { fileURLToPath } from 'node:url'
import type { Scope } from './scope.ts'

/** The path of a file in tests/support/certificates. */
export function certificateFile(name: string): string {
  return fileURLToPath(new URL(`./certificates/${name}`, import.meta.url))
}

export function pem(name: string): string {
  return readFileSync(certificateFile(name), 'utf8')
}

/** What a client of a listener trusts. */
export const trusting: ConnectionOptions = { ca: pem('listener-ca.crt'), servername: 'localhost' }
/** The same, and what it shows. */
export const asTeam: ConnectionOptions = { ...trusting, cert: pem('team.crt'), key: pem('team.key') }

export interface MountedCertificate {
  readonly cert: string
  readonly key: string
  /** Puts other files in their place, both in one step. */
  use(cert: string, key: string): Promise<void>
}

/** A certificate and its key as Kubernetes mounts a secret: links to a directory that is replaced as a whole. */
export async function mountedCertificate(t: Scope): Promise<MountedCertificate> {
  const home = await mkdtemp(join(tmpdir(), 'vllm-router-tls-'))
  t.after(() => rm(home, { recursive: true, force: true }))
  await symlink('..data/tls.crt', join(home, 'tls.crt'))
  await symlink('..data/tls.key', join(home, 'tls.key'))
  const use = async (cert: string, key: string): Promise<void> => {
    const version = await mkdtemp(join(home, 'version-'))
    await copyFile(certificateFile(cert), join(version, 'tls.crt'))
    await copyFile(certificateFile(key), join(version, 'tls.key'))
    await symlink(version, join(home, '..next'))
    await rename(join(home, '..next'), join(home, '..data'))
  }
  await use('listener-a.crt', 'listener-a.key')
  return { cert: join(home, 'tls.crt'), key: join(home, 'tls.key'), use }
}
