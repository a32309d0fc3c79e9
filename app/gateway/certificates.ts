import { type ListenerName, readListenerTls } from '../config/listener-tls.ts'
import type { Config, SettingKey } from '../config/settings.ts'
import type { Listener } from '../runtime/runtime.ts'
import { isSameTls, type ServerTls } from '../runtime/server-tls.ts'

export interface CertificatesOptions {
  readonly config: Config
  /** Told of each certificate that comes into use. */
  readonly onShown: (listener: ListenerName, tls: ServerTls) => void
}

const settingOfListener = {
  api: 'tlsCertFile',
  operations: 'prometheusTlsCertFile',
} as const satisfies Record<ListenerName, SettingKey>

/** The certificates of the listeners: what they show now, and what they show when the files have changed. */
export class Certificates {
  readonly #onShown: CertificatesOptions['onShown']
  readonly #shown = new Map<ListenerName, ServerTls>()
  readonly #listeners = new Map<ListenerName, Listener>()

  /** @throws ConfigError when a file is not what it should be */
  constructor({ config, onShown }: CertificatesOptions) {
    this.#onShown = onShown
    for (const name of Object.keys(settingOfListener) as ListenerName[]) {
      const tls = readListenerTls(config, name)
      if (tls !== undefined) this.#show(name, tls)
    }
  }

  /** Undefined where the listener speaks plain HTTP. */
  of(name: ListenerName): ServerTls | undefined {
    return this.#shown.get(name)
  }

  /** From now on the listener gets each new certificate. */
  serve(name: ListenerName, listener: Listener): void {
    this.#listeners.set(name, listener)
  }

  /**
   * Reads the files anew; the function that is returned has the listeners show what was read, and says which settings
   * name other certificates than before.
   *
   * @throws ConfigError when a file is not what it should be
   */
  prepare(config: Config): () => SettingKey[] {
    const renewed = [...this.#shown].flatMap(([name, before]) => {
      const tls = readListenerTls(config, name)
      return tls === undefined || isSameTls(before, tls) ? [] : [{ name, tls }]
    })
    return () =>
      renewed.map(({ name, tls }) => {
        this.#listeners.get(name)?.renew(tls)
        this.#show(name, tls)
        return settingOfListener[name]
      })
  }

  #show(name: ListenerName, tls: ServerTls): void {
    this.#shown.set(name, tls)
    this.#onShown(name, tls)
  }
}
