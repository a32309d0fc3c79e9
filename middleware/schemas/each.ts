import * as v from 'valibot'

/** What is wrong with one element: the field of it, if any, and what is allowed there. */
export interface Fault {
  readonly key?: string
  readonly allowed: string
}

/**
 * Looks at each element of an array until the first fault; any other value passes.
 *
 * By hand, since valibot's own `array` of objects copies each of them and doubles the cost of a body of many messages.
 */
export function each(check: (item: unknown, first: unknown) => Fault | undefined) {
  return v.rawCheck<unknown>(({ dataset, addIssue }) => {
    const items = dataset.value
    if (!Array.isArray(items)) return
    for (let index = 0; index < items.length; index++) {
      const item: unknown = items[index]
      const fault = check(item, items[0])
      if (fault === undefined) continue
      const step = { type: 'array', origin: 'value', input: items, key: index, value: item } as const
      const input = fault.key === undefined ? item : (item as Record<string, unknown>)[fault.key]
      const path: [v.IssuePathItem, ...v.IssuePathItem[]] = [step]
      if (fault.key !== undefined)
        path.push({ type: 'unknown', origin: 'value', input: item, key: fault.key, value: input })
      addIssue({ message: fault.allowed, input, path })
      return
    }
  })
}
