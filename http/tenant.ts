/** What a tenant may use up; what is undefined has no limit. */
export interface TenantLimits {
  readonly requestsPerMinute?: number | undefined
  readonly promptTokensPerMinute?: number | undefined
  readonly completionTokensPerMinute?: number | undefined
  /** Requests at once, to their last byte. */
  readonly requestsInFlight?: number | undefined
}

/** Who is served first where requests wait: every `high` before every `normal`, every `normal` before every `low`. */
export const priorityClasses = ['high', 'normal', 'low'] as const
export type PriorityClass = (typeof priorityClasses)[number]

/** Who a request comes from, as an operator has named it, and what it may ask for. One object for as long as it is unchanged. */
export interface Tenant {
  /** From the configuration, never from a client: it becomes a label. */
  readonly name: string
  /** Models and aliases that it may ask for; undefined: all. */
  readonly models?: readonly string[] | undefined
  /** Paths that it may call; one that ends in `*` stands for all that begin so. Undefined: all. */
  readonly routes?: readonly string[] | undefined
  readonly priority: PriorityClass
  /** Its share beside other tenants of its class: one of weight 2 is served twice as often as one of weight 1. */
  readonly weight: number
  readonly limits: TenantLimits
}
