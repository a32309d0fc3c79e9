/** Longest value that is looked at; a model's name is far shorter. */
const maxValueBytes = 512

/**
 * The text of one field of a `multipart/form-data` body, found without parsing the files in it: routing needs the
 * model's name, and what is sent on are the client's own bytes. Undefined when it is not there.
 */
export function formField(
  body: Uint8Array | undefined,
  contentType: string | undefined,
  name: string,
): string | undefined {
  if (body === undefined || !contentType?.toLowerCase().startsWith('multipart/form-data')) return undefined
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.byteLength)
  const at = bytes.indexOf(`name="${name}"`)
  if (at === -1) return undefined
  const start = bytes.indexOf('\r\n\r\n', at)
  const end = start === -1 ? -1 : bytes.indexOf('\r\n', start + 4)
  if (end === -1 || end - start > maxValueBytes) return undefined
  return bytes.toString('utf8', start + 4, end)
}
