import * as v from 'valibot'
import { parseDnsName } from '../kinds/dns-name.ts'
import { checked, type Kind, optional, type Parsed } from '../kinds/kind.ts'
import { seconds } from '../kinds/number-kinds.ts'
import { setting } from '../kinds/setting.ts'
import { onOff } from '../kinds/switch-kinds.ts'
import { list, text } from '../kinds/text-kinds.ts'

// RFC 1123 as Kubernetes uses it for the names of namespaces and Services.
function parseLabel(name: string): Parsed<string> {
  return /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(name) ? { value: name } : { hint: undefined }
}

/** A port by number, or by the name (RFC 6335) that a pod or a Service gives to it. */
const port: Kind<string, string | number> = {
  schema: v.pipe(v.union([v.string(), v.number()]), v.transform(String), v.trim(), checked(parsePort)),
  allowed: 'a port from 1 to 65535, or the name of one',
  argument: '<port>',
  takes: 'value',
  show: (value) => value,
}

function parsePort(written: string): Parsed<string> {
  if (/^\d+$/.test(written)) {
    const number = Number(written)
    return number >= 1 && number <= 65_535 ? { value: String(number) } : { hint: undefined }
  }
  const named = /^(?=.*[a-z])[a-z0-9](-?[a-z0-9]){0,14}$/.test(written) && written.length <= 15
  return named ? { value: written } : { hint: undefined }
}

function parseServer(written: string): Parsed<string> {
  if (!/^https?:\/\//i.test(written) || !URL.canParse(written)) return { hint: undefined }
  const { origin, href } = new URL(written)
  return href === `${origin}/` ? { value: origin } : { hint: `did you mean "${origin}"?` }
}

export const discovery = {
  workerUrlsFile: setting({
    kind: optional(text('the path of a file', undefined, '<file>'), 'none'),
    default: undefined,
    help: 'a YAML or JSON list of worker URLs, or of { url, draining, weight, ca_file, client_cert, client_key }; changes are taken over while running',
  }),
  workerDns: setting({
    kind: list('names such as dns://vllm:8000, or dns+srv://_http._tcp.vllm.ml.svc', parseDnsName),
    default: [],
    help: 'each address behind these names is a worker',
  }),
  workerDnsIntervalSecs: setting({
    kind: seconds({ min: 0.1 }),
    default: 5,
    unit: 's',
    help: 'pause between two looks at those names; jittered',
  }),
  serviceDiscovery: setting({
    kind: onOff(),
    default: false,
    help: 'find workers among the pods of a Kubernetes cluster',
  }),
  selector: setting({
    kind: list('labels such as app=vllm', (item) =>
      /^[\w./-]+=[\w.-]*$/.test(item) ? { value: item } : { hint: undefined },
    ),
    default: [],
    help: 'labels that a pod must carry to be a worker',
    danger: 'needs the right to list and watch pods',
  }),
  serviceDiscoveryService: setting({
    kind: list('names of Services', parseLabel),
    default: [],
    help: 'instead of labels: the endpoints of these Services are the workers',
    danger: 'needs the right to list and watch endpointslices',
  }),
  serviceDiscoveryPort: setting({
    kind: port,
    default: '80',
    help: 'port of those pods, or the name of one',
  }),
  serviceDiscoveryNamespace: setting({
    kind: optional(text('a namespace', parseLabel), 'none'),
    default: undefined,
    help: 'namespace to watch; none means all',
    danger: 'all namespaces need rights on the whole cluster',
  }),
  serviceDiscoveryRelistSecs: setting({
    kind: seconds({ min: 0.1 }),
    default: 30,
    unit: 's',
    help: 'pause between full lists beside the watch; jittered',
    danger: 'what the watch has missed is found only then',
  }),
  serviceDiscoveryApiServer: setting({
    kind: optional(text('an address such as https://10.0.0.1:6443', parseServer), 'none'),
    default: undefined,
    help: 'the Kubernetes API; none means the one that Kubernetes tells every pod',
    danger: 'over http no token is sent: for kubectl proxy',
  }),
  serviceDiscoveryCredentials: setting({
    kind: text('the path of a directory', undefined, '<dir>'),
    default: '/var/run/secrets/kubernetes.io/serviceaccount',
    help: 'where token and ca.crt are; read anew each time, since they change',
  }),
}
