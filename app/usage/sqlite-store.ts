import { Worker } from 'node:worker_threads'
import { moduleBeside } from '../runtime/module-beside.ts'
import type { UsageRow } from './usage-row.ts'
import type { UsageRange, UsageStore } from './usage-store.ts'

type Task =
  | { readonly task: 'add'; readonly argument: readonly UsageRow[] }
  | { readonly task: 'rows'; readonly argument: UsageRange }
  | { readonly task: 'forget'; readonly argument: number }
  | { readonly task: 'close'; readonly argument?: undefined }

/** What the thread is asked. */
export type Asked = Task & { readonly id: number }

/** What it says. */
export type Told = { readonly id: number; readonly value?: unknown; readonly error?: string }

/**
 * Usage in a file of SQLite, in a thread of its own: the drivers block, and a disk that is slow for a moment must not
 * stop a stream. The thread is started at the first use, and again when it has ended by itself.
 */
export class SqliteStore implements UsageStore {
  readonly lasts = true
  readonly #file: string
  readonly #waiting = new Map<number, PromiseWithResolvers<unknown>>()
  #thread: Worker | undefined
  #next = 0

  constructor(file: string) {
    this.#file = file
  }

  async add(rows: readonly UsageRow[]): Promise<void> {
    await this.#ask({ task: 'add', argument: rows })
  }

  async rows(range: UsageRange): Promise<readonly UsageRow[]> {
    return (await this.#ask({ task: 'rows', argument: range })) as readonly UsageRow[]
  }

  async forget(before: number): Promise<void> {
    await this.#ask({ task: 'forget', argument: before })
  }

  async close(): Promise<void> {
    if (this.#thread === undefined) return
    await this.#ask({ task: 'close' })
    await this.#thread?.terminate()
  }

  #ask(task: Task): Promise<unknown> {
    this.#thread ??= this.#start()
    const id = this.#next++
    const waiting = Promise.withResolvers<unknown>()
    this.#waiting.set(id, waiting)
    this.#thread.ref()
    this.#thread.postMessage({ ...task, id } satisfies Asked)
    return waiting.promise
  }

  #start(): Worker {
    const thread = new Worker(moduleBeside(import.meta.url, 'sqlite-thread'), {
      workerData: this.#file,
    })
    let reason = 'the thread that keeps it has ended'
    thread.on('error', (error) => {
      reason = error instanceof Error ? error.message : String(error)
    })
    thread.on('message', ({ id, value, error }: Told) => {
      const waiting = this.#waiting.get(id)
      this.#waiting.delete(id)
      // The process does not stay for a thread that has nothing to do.
      if (this.#waiting.size === 0) thread.unref()
      if (error === undefined) waiting?.resolve(value)
      else waiting?.reject(new Error(error))
    })
    thread.once('exit', () => {
      if (this.#thread === thread) this.#thread = undefined
      for (const waiting of this.#waiting.values()) waiting.reject(new Error(reason))
      this.#waiting.clear()
    })
    return thread
  }
}
