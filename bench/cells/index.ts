import { burst, model } from '../workers/answers.ts'
import { startStreamWorkers } from '../workers/stream-workers.ts'
import type { Cell } from './cell.ts'
import { fleetSize } from './fleet-size.ts'
import { openStreams } from './open-streams.ts'
import { paced } from './paced.ts'
import { prompt } from './prompt.ts'
import { rate } from './rate.ts'
import { saturation } from './saturation.ts'

const shortRequest = JSON.stringify({ model, prompt: 'Test', max_tokens: 10 })

const json = (connections: number): Cell =>
  saturation({
    name: `json-${connections}`,
    about: `answers of 300 bytes, ${connections} connections`,
    connections,
    body: shortRequest,
  })

const burstTokens = 256

const sseBurst = saturation({
  name: 'sse-burst',
  about: `streams of ${burstTokens} tokens that come at once, 32 connections`,
  connections: 32,
  path: '/v1/chat/completions',
  body: JSON.stringify({ model, stream: true, messages: [{ role: 'user', content: 'Test' }] }),
  expected: burst(burstTokens),
  tokens: burstTokens,
  startWorkers: (directory) => startStreamWorkers({ count: 7, tokens: burstTokens, pace: 0, directory }),
})

const rate1000 = rate({
  name: 'rate-1000',
  about: '1,000 requests a second at a constant rate, answers of 300 bytes, kept connections',
  requestsPerSecond: 1000,
  freshConnections: false,
})

const guide200 = rate({
  name: 'guide-200',
  about: '200 requests of the deployment guide, 50 a second, each on a connection of its own as curl does it',
  requestsPerSecond: 50,
  requests: 200,
  freshConnections: true,
})

export const cells: readonly Cell[] = [
  json(1),
  json(32),
  json(256),
  prompt('prompt-2k', 2, 32),
  prompt('prompt-16k', 16, 32),
  prompt('prompt-220k', 220, 32),
  prompt('prompt-1m', 1000, 16),
  sseBurst,
  paced(200),
  paced(1000),
  openStreams(1000),
  openStreams(5000),
  openStreams(9500),
  fleetSize(7),
  fleetSize(100),
  fleetSize(1000),
  rate1000,
  guide200,
]

export const quickCells = ['json-32', 'sse-paced-200', 'prompt-220k']
