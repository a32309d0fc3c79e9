import * as v from 'valibot'
import { each, type Fault } from './each.ts'
import { isObject } from './fields.ts'

const notAnObject: Fault = { allowed: 'an object with a role' }
const noRole: Fault = { key: 'role', allowed: 'a string' }

const list = v.custom<unknown>(
  (value) => Array.isArray(value) && value.length > 0,
  'a non-empty array of messages',
)

function messages(isContent: (content: unknown) => boolean, allowed: string) {
  const badContent: Fault = { key: 'content', allowed }
  return v.pipe(
    list,
    each((message) => {
      if (!isObject(message)) return notAnObject
      // Any role: chat templates and clients have roles of their own.
      if (typeof message.role !== 'string') return noRole
      return isContent(message.content) ? undefined : badContent
    }),
  )
}

/** An assistant's message that only calls tools has no content, or null. */
export const chatMessages = messages(
  (content) => typeof content === 'string' || Array.isArray(content) || content == null,
  'a string, an array of parts, or null',
)

export const anthropicMessages = messages(
  (content) => typeof content === 'string' || Array.isArray(content),
  'a string or an array of blocks',
)
