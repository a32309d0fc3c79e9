import { ask, refusalOf } from './admin.js'
import { eventsOf } from './events.js'

/** Milliseconds without an event after which a connection is taken for lost; the router sends one each second. */
const silenceMs = 5000
/** Milliseconds between two attempts. */
const pauseMs = 1000

/**
 * Follows the router, for ever: what it says, and whether it says anything.
 *
 * @param onFrame called with each event, and whether it is the first one of its connection
 * @param onLost called with why there is none, at each attempt that came to nothing
 */
export async function follow({ onFrame, onLost }) {
  for (;;) {
    const lost = await followOnce(onFrame, onLost).catch((error) => wordsFor(error))
    onLost(lost)
    await new Promise((resolve) => setTimeout(resolve, pauseMs))
  }
}

/** Resolves, when it is over, with why. */
async function followOnce(onFrame, onLost) {
  const connection = new AbortController()
  let timer
  const heard = () => {
    clearTimeout(timer)
    timer = setTimeout(() => connection.abort(), silenceMs)
  }
  try {
    // Not limited in time: somebody may have to look up the key.
    const response = await ask('events', { signal: connection.signal })
    if (!response.ok) return await refusalOf(response)
    heard()
    let first = true
    for await (const { type, data } of eventsOf(response)) {
      heard()
      const content = JSON.parse(data)
      if (type === 'trouble') onLost(content)
      else {
        onFrame(content, first)
        first = false
      }
    }
    return 'the router has closed the connection'
  } finally {
    clearTimeout(timer)
    connection.abort()
  }
}

function wordsFor(error) {
  return error.name === 'AbortError' ? 'the router is silent' : 'the router does not answer'
}
