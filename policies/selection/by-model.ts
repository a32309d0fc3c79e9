import type { Booking, Candidate, SelectionPolicy, SelectionRequest, Why } from './policy.ts'

/** A policy for each of some models, and one for all others. */
export function byModel(usual: SelectionPolicy, own: ReadonlyMap<string, SelectionPolicy>): SelectionPolicy {
  return own.size === 0 ? usual : new ByModel(usual, own)
}

class ByModel implements SelectionPolicy {
  readonly reads: NonNullable<SelectionPolicy['reads']>
  readonly #usual: SelectionPolicy
  readonly #own: ReadonlyMap<string, SelectionPolicy>
  /** Who has made the last choice, or has told of the next one. */
  #last: SelectionPolicy

  constructor(usual: SelectionPolicy, own: ReadonlyMap<string, SelectionPolicy>) {
    this.#usual = usual
    this.#own = own
    this.#last = usual
    const all = [usual, ...own.values()]
    this.reads = {
      prompt: all.some(({ reads }) => reads?.prompt === true),
      session: all.some(({ reads }) => reads?.session === true),
      engine: all.some(({ reads }) => reads?.engine === true),
    }
  }

  get why(): Why {
    return this.#last.why ?? 'custom'
  }

  select<C extends Candidate>(candidates: readonly C[], request: SelectionRequest): C {
    this.#last = this.#for(request.model)
    return this.#last.select(candidates, request)
  }

  preview<C extends Candidate>(candidates: readonly C[], request: SelectionRequest): C | undefined {
    this.#last = this.#for(request.model)
    return this.#last.preview?.(candidates, request)
  }

  book(candidate: Candidate, request: SelectionRequest): Booking {
    return this.#for(request.model).book?.(candidate, request) ?? nothing
  }

  counted(model: string | undefined, bytes: number, tokens: number): void {
    this.#for(model).counted?.(model, bytes, tokens)
  }

  forget(id: string): void {
    for (const policy of [this.#usual, ...this.#own.values()]) policy.forget?.(id)
  }

  finish(session: string): void {
    for (const policy of [this.#usual, ...this.#own.values()]) policy.finish?.(session)
  }

  #for(model: string | undefined): SelectionPolicy {
    return (model === undefined ? undefined : this.#own.get(model)) ?? this.#usual
  }
}

const nothing: Booking = { firstToken() {}, end() {} }
