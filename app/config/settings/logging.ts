import { setting } from '../kinds/setting.ts'
import { oneOf } from '../kinds/text-kinds.ts'

export const logging = {
  logLevel: setting({
    // Python's names are taken too: the Python launcher of the vLLM Router accepted them.
    kind: oneOf(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'], {
      warning: 'warn',
      critical: 'fatal',
    }),
    default: 'info',
    help: 'least severe message that is written',
    common: true,
  }),
  logFormat: setting({
    kind: oneOf(['auto', 'pretty', 'json']),
    default: 'auto',
    help: 'auto: pretty on a terminal, else JSON lines',
    restart: true,
  }),
}
