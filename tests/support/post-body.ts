import { readBody } from '../../middleware/read-body.ts'
import { bodySchemas } from '../../middleware/schemas/index.ts'
import { validate } from '../../middleware/validate.ts'
import { middlewareApp } from './middleware-app.ts'

export type Path = keyof typeof bodySchemas

/** Sends a body, an object as JSON, through reading and validation; the content type `null` means none. */
export async function post(
  path: Path,
  body: unknown,
  contentType: string | null = 'application/json',
): Promise<Response> {
  const { fetch } = middlewareApp([readBody(), validate({ schema: bodySchemas[path] })])
  const bytes = typeof body === 'string' ? body : JSON.stringify(body)
  const headers = {
    headers: contentType === null ? [] : [['Content-Type', contentType] as const],
  }
  return fetch(path, { method: 'POST', body: new TextEncoder().encode(bytes) }, headers)
}
