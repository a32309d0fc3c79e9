import * as v from 'valibot'
import { isObject } from '../../http/json/json.ts'
import { each, type Fault } from './each.ts'

const notAnObject: Fault = { allowed: 'an object with a role' }
const noRole: Fault = { key: 'role', allowed: 'a string' }
const notAConversation: Fault = { allowed: 'an array of messages, as the first element is' }

const list = v.custom<unknown>(Array.isArray, 'an array of messages')

function checkMessage(isContent: (content: unknown) => boolean, allowed: string) {
  const badContent: Fault = { key: 'content', allowed }
  return (message: unknown): Fault | undefined => {
    if (!isObject(message)) return notAnObject
    // Any role: chat templates and clients have roles of their own.
    if (typeof message.role !== 'string') return noRole
    return isContent(message.content) ? undefined : badContent
  }
}

/** An assistant's message that only calls tools has no content, or null. */
export const chatMessage = checkMessage(
  (content) => typeof content === 'string' || typeof content === 'object' || content === undefined,
  'a string, an array of parts, or null',
)

export const chatMessages = v.pipe(list, each(chatMessage))

const conversation = v.custom<unknown>(Array.isArray, 'an array of messages, or of conversations')

/** One conversation, or several: each an array of messages. The first element tells which. */
export const chatBatch = v.pipe(conversation, each(chatOrConversation))

/** An element of what may be one conversation or several. */
export function chatOrConversation(item: unknown, first: unknown): Fault | undefined {
  if (!Array.isArray(first)) return chatMessage(item)
  const isConversation = Array.isArray(item) && item.every((message) => chatMessage(message) === undefined)
  return isConversation ? undefined : notAConversation
}

export const anthropicMessages = v.pipe(
  list,
  each(
    checkMessage(
      (content) => typeof content === 'string' || Array.isArray(content),
      'a string or an array of blocks',
    ),
  ),
)
