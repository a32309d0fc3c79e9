import assert from 'node:assert/strict'
import { test } from 'node:test'
import { refuseWebSocket } from '../../middleware/refuse-websocket.ts'
import { errorOf, middlewareApp } from '../support/middleware-app.ts'

const { fetch } = middlewareApp([refuseWebSocket()])
const send = (method: string, upgrade?: string) =>
  fetch('/v1/realtime', { method }, { headers: upgrade === undefined ? [] : [['Upgrade', upgrade]] })

test('a WebSocket is refused by name, and the answer says where it would be taken', async () => {
  for (const upgrade of ['websocket', 'WebSocket', 'h2c, websocket']) {
    const error = await errorOf(await send('GET', upgrade), 501, 'websocket_not_supported')
    assert.match(error.message, /connect to a vLLM server itself/)
  }
})

test('another upgrade, none, or another method than GET is an ordinary request', async () => {
  for (const upgrade of ['h2c', 'websocketish', undefined])
    assert.equal((await send('GET', upgrade)).status, 200)
  assert.equal((await send('POST', 'websocket')).status, 200)
})
