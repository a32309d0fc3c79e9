import { byId, setText } from './dom.js'

/** Only here, for as long as the page is open: nothing that outlives it ever holds the key. */
let key = ''
/** @type {Promise<void> | undefined} */
let asking

/**
 * Asks the router, with the admin key where one is known. Where the key is missing or refused, it is asked for, and the
 * request sent again.
 *
 * @param {string} path
 * @param {RequestInit & { headers?: Record<string, string>, refusalIsAnswer?: (response: Response) => boolean }} [given]
 */
export async function ask(path, given = {}) {
  const { headers = {}, refusalIsAnswer, ...options } = given
  for (;;) {
    const sent = key
    const authorization = sent === '' ? {} : { authorization: `Bearer ${sent}` }
    const response = await fetch(path, { ...options, headers: { ...headers, ...authorization } })
    // The API may refuse a client's key: that is another one.
    if (response.status !== 401 || refusalIsAnswer?.(response)) return response
    await response.body?.cancel()
    if (key === sent) await askForKey(sent !== '')
  }
}

/** Several parts of the page may need it at the same time: it is asked for once. */
function askForKey(refused) {
  asking ??= new Promise((resolve) => {
    const dialog = byId('key-dialog')
    setText(
      byId('key-why'),
      refused ? 'The router refuses this key.' : 'This router shows itself to those who have the admin key.',
    )
    dialog.addEventListener(
      'close',
      () => {
        const input = byId('key-input')
        key = input.value.trim()
        input.value = ''
        asking = undefined
        resolve()
      },
      { once: true },
    )
    dialog.showModal()
  })
  return asking
}

/** What an answer that is no success says. */
export async function refusalOf(response) {
  const text = await response.text()
  try {
    return JSON.parse(text).error.message
  } catch {
    return `status ${response.status}`
  }
}
