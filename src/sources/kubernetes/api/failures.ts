/** Why the API server could not be asked, from what Node and OpenSSL say. */
import type { Failure } from '../../../scheduler/outcome.ts';

/** `who`: the API server, with its address. */
export function connectionFailure(error: unknown, who: string): Failure {
  const code = codeOf(error) ?? 'unknown error';
  const known = sentences[code];
  if (known !== undefined) return { reason: known[0], message: `${who} ${known[1]} (${code})` };
  if (tlsCode.test(code))
    return {
      reason: 'tls',
      message: `TLS with ${who} failed (${code.toLowerCase().replaceAll('_', ' ')}): check the certificate authority, the certificates and the server's name in the kubeconfig`,
    };
  if (code.startsWith('HPE_'))
    return { reason: 'parse', message: `${who} does not answer in HTTP (${code})` };
  return { reason: 'refused', message: `${who} cannot be reached (${code})` };
}

const cutOff = ['refused', 'ended the connection in the middle of an answer'] as const;

const sentences: Readonly<Record<string, readonly [Failure['reason'], string]>> = {
  ECONNREFUSED: ['refused', 'refuses the connection: nothing listens there, or it is starting'],
  EHOSTUNREACH: ['refused', 'cannot be reached: no route to the host'],
  ENETUNREACH: ['refused', 'cannot be reached: no route to the network'],
  ENOTFOUND: ['refused', 'has a name that does not resolve'],
  EAI_AGAIN: ['refused', 'has a name that does not resolve now: DNS does not answer'],
  ETIMEDOUT: ['timeout', 'does not answer: the connection is dead, or a firewall drops packets'],
  ECONNRESET: cutOff,
  EPIPE: cutOff,
  ECONNABORTED: cutOff,
  ERR_STREAM_PREMATURE_CLOSE: cutOff,
  EPROTO: ['tls', 'does not speak TLS as it should: check the address in the kubeconfig'],
  ERR_SSL_WRONG_VERSION_NUMBER: ['tls', 'does not speak TLS: check the address in the kubeconfig'],
};

const tlsCode =
  /^(ERR_(TLS|SSL|OSSL)_|CERT_|UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_|HOSTNAME_MISMATCH|CRL_|INVALID_CA|PATH_LENGTH|ERR_CRYPTO)/;

/** `ECONNREFUSED` of an error of Node's; undefined where it has none. */
export const codeOf = (error: unknown): string | undefined =>
  typeof error === 'object' && error !== null && 'code' in error && typeof error.code === 'string'
    ? error.code
    : undefined;
