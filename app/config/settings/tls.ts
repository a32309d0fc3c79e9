import { optional } from '../kinds/kind.ts'
import { setting } from '../kinds/setting.ts'
import { text } from '../kinds/text-kinds.ts'

const file = optional(text('the path of a file', undefined, '<file>'), 'none')

/** The paths stay as they are; what is in the files is read anew when it changes. */
export const tls = {
  tlsCertFile: setting({
    kind: file,
    default: undefined,
    help: 'certificate (PEM) of the API, its chain behind it; with it the API speaks https only; read anew when it changes',
    restart: true,
  }),
  tlsKeyFile: setting({
    kind: file,
    default: undefined,
    help: 'private key (PEM) of that certificate; read anew when it changes',
    danger: 'whoever can read it can pass for the router: let nobody but the router read it',
    restart: true,
  }),
  tlsClientCaFile: setting({
    kind: file,
    default: undefined,
    help: 'authorities (PEM), one of which must have signed a certificate that each client of the API shows; read anew when it changes',
    danger: 'probes of the API need a certificate too: let Kubernetes ask the operations listener',
    restart: true,
  }),
  prometheusTlsCertFile: setting({
    kind: file,
    default: undefined,
    help: 'certificate (PEM) of the operations listener; with it that speaks https only; may be the file of the API',
    restart: true,
  }),
  prometheusTlsKeyFile: setting({
    kind: file,
    default: undefined,
    help: 'private key (PEM) of that certificate',
    danger: 'whoever can read it can pass for the router: let nobody but the router read it',
    restart: true,
  }),
  prometheusTlsClientCaFile: setting({
    kind: file,
    default: undefined,
    help: 'authorities (PEM), one of which must have signed a certificate that Prometheus, probes and operators show',
    danger: "Kubernetes' probes cannot show one",
    restart: true,
  }),
}
