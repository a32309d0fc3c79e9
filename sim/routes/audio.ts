/** `/v1/audio/transcriptions` and `/translations`: multipart in, a text and the number of received bytes out. */
import { type Answer, pooled } from '../answer.ts'
import { badRequest } from '../api-error.ts'
import { type Call, type SimContext, servedModel } from '../call.ts'
import { promptOf } from '../prompt.ts'
import { textOf, textSeed } from '../text.ts'

export function audio(sim: SimContext, { headers, body }: Call): Answer {
  const type = headers['content-type'] ?? ''
  if (!/^multipart\/form-data\s*;.*boundary=/i.test(type)) {
    throw badRequest('the request must be multipart/form-data with a boundary', 'file')
  }
  const form = body.toString('latin1')
  if (!/name="?file"?/i.test(form)) throw badRequest('Field required: file', 'file')
  const model = servedModel(sim, fieldOf(form, 'model'))
  const text = textOf(textSeed(form, sim.settings.seed), 16)
  return pooled(model, promptOf(''), () => ({ text, bytes: body.length }))
}

/** The value of a text field of the form. */
function fieldOf(form: string, name: string): string | undefined {
  const found = new RegExp(`name="${name}"\\r\\n(?:[^\\r\\n]+\\r\\n)*\\r\\n([^\\r\\n]*)\\r\\n`).exec(form)
  return found?.[1]
}
