/** What a person can do about a worker that does not come up, by what its probe met. */
interface Remedy {
  readonly met: RegExp
  readonly advice: string
}

const remedies: readonly Remedy[] = [
  { met: /ECONNREFUSED/, advice: 'nobody listens there: is vLLM running, and are host and port right?' },
  {
    met: /ENOTFOUND|EAI_AGAIN|EAI_NODATA/,
    advice: 'no such host: is its name spelled right, and does DNS know it here?',
  },
  {
    met: /EHOSTUNREACH|ENETUNREACH|EHOSTDOWN|ENETDOWN/,
    advice: 'no way leads there: is it in a network that is reached from here?',
  },
  { met: /CERT_HAS_EXPIRED|CERT_NOT_YET_VALID/, advice: 'its certificate is out of date' },
  {
    met: /ALTNAME|HOSTNAME_MISMATCH/,
    advice:
      'its certificate is for another name: use the name that it is for, or say it with --worker-server-name',
  },
  {
    met: /ALERT_(?:CERTIFICATE|BAD_CERTIFICATE|UNKNOWN_CA|HANDSHAKE_FAILURE)/,
    advice:
      'it wants a certificate of the router, and another than it gets, if any: --worker-client-cert, --worker-client-key',
  },
  {
    met: /SELF_SIGNED|UNABLE_TO_|CERT|ERR_TLS/,
    advice: 'its certificate comes from nobody known: name its authority with --worker-ca-file',
  },
  {
    met: /WRONG_VERSION|EPROTO|PACKET_LENGTH|ERR_SSL/,
    advice: 'it does not speak TLS: is its URL to begin with http://?',
  },
  {
    met: /BAD_STATUS_LINE|BAD_HEADER/,
    advice: 'it does not speak HTTP: is the port right, or its URL to begin with https://?',
  },
  { met: /status 40[13]/, advice: 'it wants a key: give it with --api-key' },
  {
    met: /status 404/,
    advice: 'it has no such route: is it a vLLM server, and does its URL end before /v1?',
  },
  { met: /status 5\d\d/, advice: 'it is up and not well: its own log says why' },
  {
    met: /no answer|CONNECT_TIMEOUT|ETIMEDOUT/,
    advice: 'nothing answers: is a firewall or a network policy in between?',
  },
  {
    met: /ECONNRESET|EPIPE/,
    advice:
      'it closes the connection: is it vLLM, does it expect https://, or a certificate of the router (--worker-client-cert)?',
  },
]

/** @param error what the probe met, as `lastError` has it */
export function remedyFor(error: string | undefined): string | undefined {
  return remedies.find(({ met }) => met.test(error ?? ''))?.advice
}
