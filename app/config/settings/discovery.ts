import { optional } from '../kind.ts'
import { wholeNumber } from '../number-kinds.ts'
import { setting } from '../setting.ts'
import { onOff } from '../switch-kinds.ts'
import { list, text } from '../text-kinds.ts'

export const discovery = {
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
  }),
  serviceDiscoveryPort: setting({
    kind: wholeNumber({ min: 1, max: 65535 }),
    default: 80,
    help: 'port of those pods',
  }),
  serviceDiscoveryNamespace: setting({
    kind: optional(
      text('a namespace', (name) =>
        /^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/.test(name) ? { value: name } : { hint: undefined },
      ),
      'none',
    ),
    default: undefined,
    help: 'namespace to watch; none means all',
    danger: 'all namespaces need rights on the whole cluster',
  }),
}
