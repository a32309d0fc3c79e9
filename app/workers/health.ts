/**
 * What the probes have found.
 * - `starting`: never been healthy; a vLLM server may load weights for minutes.
 * - `healthy`, `unhealthy`: after enough probes in a row said so.
 */
export type Health =
  | { readonly name: 'starting' }
  | { readonly name: 'healthy' }
  | { readonly name: 'unhealthy'; readonly reason: string; readonly cause: UnhealthyCause }

/**
 * - `refused`: nobody listens there.
 * - `silent`: a probe got no answer in time; a busy worker may be so, too.
 * - `status`: the worker says itself that it is not well.
 * - `stalled`: it has requests and makes no progress on any of them.
 */
export type UnhealthyCause = 'refused' | 'silent' | 'status' | 'stalled'

/** Why a worker cannot get a request at this moment. */
export type Unavailable =
  | 'removed'
  | 'draining'
  | 'starting'
  | 'unhealthy'
  | 'breaker_open'
  | 'full'
  | 'key_refused'
  | 'other_model'

/** Why others are chosen first, although the worker can get a request. */
export type LastChoice = 'busy' | 'no_sign_of_life'
