/** Takes over the terminal, and then has an error that nobody catches. */

import { terminalOf } from '../../app/cli/live/terminal.ts'

const screen = terminalOf(process, {})?.open()
screen?.draw(['all is well'])
setTimeout(() => {
  throw new Error('nobody catches this')
}, 50)
