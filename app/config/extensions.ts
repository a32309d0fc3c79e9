import type { MiddlewareHandler } from 'hono'
import * as v from 'valibot'
import type { GatewayEnv } from '../../middleware/gateway-env.ts'
import type { SelectionPolicyFactory } from '../../policies/selection/index.ts'

/** A middleware of the user's own: a Hono handler, with or without its place relative to the router's own ones. */
export type MiddlewareEntry =
  | MiddlewareHandler<GatewayEnv>
  | { readonly position: 'before' | 'after'; readonly middleware: MiddlewareHandler<GatewayEnv> }

/** What only a TypeScript configuration or the library can carry, because it is code. */
export interface Extensions {
  readonly middleware: readonly MiddlewareEntry[]
  /** More names for `--policy`. A name of the built-in policies is replaced. */
  readonly selectionPolicies: Readonly<Record<string, SelectionPolicyFactory>>
}

const code = v.function()
const placed = v.object({ position: v.picklist(['before', 'after']), middleware: code })

export const extensionSchemas = {
  middleware: v.optional(v.array(v.union([code, placed])), []),
  selectionPolicies: v.optional(v.record(v.string(), code), {}),
}

export const extensionKeys = Object.keys(extensionSchemas) as readonly (keyof Extensions)[]

export const extensionsAllowed: Readonly<Record<keyof Extensions, string>> = {
  middleware: "a list of functions or of { position: 'before' | 'after', middleware: function }",
  selectionPolicies: 'an object of functions that make a policy, by name',
}
