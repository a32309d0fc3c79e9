import type { Runtime } from './runtime.ts'

/** The runtime that this process runs on. Loaded on demand: each of the two files needs what the other one lacks. */
export async function detectRuntime(): Promise<Runtime> {
  if (process.versions.bun !== undefined) return (await import('./bun.ts')).bun
  return (await import('./node.ts')).node
}
