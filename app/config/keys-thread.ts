/** The thread of `readKeysFile`: gets the text of a file, and says what stands in it. */

import { parentPort, workerData } from 'node:worker_threads'
import { type KeysText, readKeysText } from './keys-text.ts'

parentPort?.postMessage(await readKeysText(workerData as KeysText))
