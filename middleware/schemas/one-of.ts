import * as v from 'valibot'

/** Requires one of two fields, and names the first when both are absent or null. */
export function oneOf<Body extends object>(
  field: keyof Body & string,
  alternative: keyof Body & string,
  allowed: string,
) {
  return v.rawCheck<Body>(({ dataset, addIssue }) => {
    if (!dataset.typed) return
    const { [field]: value, [alternative]: other } = dataset.value
    if (value != null || other != null) return
    const input = dataset.value as Record<string, unknown>
    addIssue({
      message: `${allowed}, unless \`${alternative}\` is given`,
      input: value,
      path: [{ type: 'object', origin: 'value', input, key: field, value }],
    })
  })
}
