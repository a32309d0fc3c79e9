/**
 * Server-sent events of an answer to `fetch`, which, unlike EventSource, can send a key. Comments are left out.
 *
 * @param {Response} response
 * @returns {AsyncGenerator<{ type: string, data: string }>}
 */
export async function* eventsOf(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader()
  let rest = ''
  try {
    for (;;) {
      const { done, value } = await reader.read()
      if (done) return
      const blocks = (rest + value).split(/\r?\n\r?\n/)
      rest = blocks.pop()
      for (const block of blocks) {
        const event = parse(block)
        if (event.data !== '') yield event
      }
    }
  } finally {
    reader.cancel().catch(() => {})
  }
}

function parse(block) {
  const event = { type: 'message', data: '' }
  for (const line of block.split(/\r?\n/)) {
    if (line.startsWith('data:')) event.data += line.slice(5).trimStart()
    else if (line.startsWith('event:')) event.type = line.slice(6).trim()
  }
  return event
}
