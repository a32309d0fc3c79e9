import type { RequestRecord } from './request-record.ts'

/** Why a worker was not among those that the policy chose from, by its URL. */
export interface PassedOver {
  readonly worker: string
  readonly reason: string
}

/** One attempt that another one followed, or that was the last. */
export interface AttemptView {
  readonly worker: string
  /** Why the policy chose it, in a word. */
  readonly why: string | undefined
  /** What came of it: a kind of fault, or the reason of the request's end. */
  readonly outcome: string
  /** Milliseconds since the request was accepted. */
  readonly sent_ms: number | undefined
  readonly ended_ms: number | undefined
}

/** What became of one request, without anything that the client or the worker said. */
export interface RequestView {
  readonly request_id: string
  readonly at: string
  readonly route: string
  readonly model: string
  readonly answered_by: string | undefined
  readonly stream: boolean
  /** Whose request it is, where keys tell. */
  readonly tenant: string | undefined
  readonly client: string | undefined
  /** 0 while nothing has been answered. */
  readonly status: number
  /** `running` as long as it has not ended. */
  readonly end_reason: string
  readonly error: string | undefined
  /** Workers that the policy could choose from, and those that it could not, with why. */
  readonly candidates: number
  readonly passed_over: readonly PassedOver[]
  readonly attempts: readonly AttemptView[]
  /** Milliseconds since the request was accepted at which each phase was over; absent: it did not come to that. */
  readonly phases: {
    /** Read, checked and admitted. */
    readonly admitted?: number | undefined
    readonly sent?: number | undefined
    /** The head of the worker's answer. */
    readonly head?: number | undefined
    readonly first_token?: number | undefined
    readonly end?: number | undefined
  }
  readonly prompt_tokens: number | undefined
  readonly completion_tokens: number | undefined
}

/** Which requests are wanted; all that is named must hold. */
export interface RequestFilter {
  /** Id or URL of a worker that was asked. */
  readonly worker?: string | undefined
  readonly model?: string | undefined
  readonly tenant?: string | undefined
  readonly status?: number | undefined
  /** Only those that took longer, in milliseconds. */
  readonly slower_than_ms?: number | undefined
  /** Only those that ended within the last so many milliseconds. */
  readonly ended_within_ms?: number | undefined
  /** Only those that ended otherwise than well. */
  readonly failed?: boolean | undefined
  /** At most so many, the newest first. Default 50. */
  readonly limit?: number | undefined
}

export function viewOf(record: RequestRecord, now: number): RequestView {
  const since = (at: number | undefined) => (at === undefined ? undefined : round(at - record.startedAt))
  const last =
    record.workerUrl === undefined || record.lastFailed
      ? []
      : [
          {
            worker: record.workerUrl,
            why: record.why,
            outcome: record.endReason ?? 'running',
            sent_ms: since(record.sentAt),
            ended_ms: since(record.endedAt),
          },
        ]
  const failed = record.failures.map(({ workerId: _, sentAt, endedAt, ...rest }) => ({
    ...rest,
    sent_ms: since(sentAt),
    ended_ms: since(endedAt),
  }))
  record.shownAt ??= new Date(Date.now() - (now - record.startedAt)).toISOString()
  return {
    request_id: record.requestId,
    at: record.shownAt,
    route: record.route,
    model: record.model,
    answered_by: record.answeredBy,
    stream: record.stream,
    tenant: record.tenant,
    client: record.client,
    status: record.status,
    end_reason: record.endReason ?? 'running',
    error: record.errorMessage,
    candidates: record.candidates,
    passed_over: record.passedOver,
    attempts: [...failed, ...last],
    phases: {
      admitted: since(record.admittedAt),
      sent: since(record.sentAt),
      head: since(record.headAt),
      first_token: since(record.firstTokenAt),
      end: since(record.endedAt),
    },
    prompt_tokens: record.usage?.prompt,
    completion_tokens: record.usage?.completion,
  }
}

function round(ms: number): number {
  return Math.round(ms * 10) / 10
}
