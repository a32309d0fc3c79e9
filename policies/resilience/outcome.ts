/**
 * How one attempt on a worker ended, judged at the END of the response body.
 *
 * `neutral` says nothing about the worker's health: the client left, or the worker is busy rather than sick.
 */
export type Outcome = 'success' | 'failure' | 'neutral'
