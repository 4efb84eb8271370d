/** Why a page could not be read, from what Node, OpenSSL and the server say. */
import type { Failure, FailureReason } from '../../../scheduler/outcome.ts';
import { severalServers } from './resolve.ts';

/** What an error of the connection, of TLS, of HTTP or of gzip means. `message` follows the target's name. */
export function failureOf(error: unknown): Failure {
  const code = codeOf(error);
  const known = code === undefined ? undefined : byCode.get(code);
  if (known !== undefined) return known;
  if (code?.startsWith('HPE_')) return { reason: 'parse', message: 'does not answer in HTTP' };
  if (code?.startsWith('Z_')) return { reason: 'parse', message: 'sent gzip that cannot be unpacked' };
  if (code !== undefined && tlsCode.test(code))
    return { reason: 'tls', message: `TLS failed: ${tlsText(error)}` };
  return { reason: 'refused', message: `cannot be reached (${code ?? 'unknown error'})` };
}

/** Why an answer with this status is no page. */
export function statusFailure(status: number, location: string | undefined): Failure {
  if (status === 401)
    return { reason: 'authentication', message: 'wants credentials, or other ones (HTTP 401)' };
  if (status === 403)
    return { reason: 'permission', message: 'may not be read with these credentials (HTTP 403)' };
  if (status >= 300 && status < 400 && location !== undefined)
    return {
      reason: 'http_status',
      message: `redirects (HTTP ${status}); redirects are not followed: give the address that it should be`,
    };
  return { reason: 'http_status', message: `answered with HTTP ${status} in place of a page` };
}

const cutOff = { reason: 'parse', message: 'ended its answer before it was whole' } as const;

const byCode: ReadonlyMap<string, Failure> = new Map<string, { reason: FailureReason; message: string }>([
  ['ECONNREFUSED', { reason: 'refused', message: 'refuses the connection: nothing listens there' }],
  [
    severalServers,
    {
      reason: 'refused',
      message:
        'has a name with several addresses: write dns+ before it to read each of them, or the address of the one that is meant',
    },
  ],
  ['EHOSTUNREACH', { reason: 'refused', message: 'cannot be reached: no route to the host' }],
  ['ENETUNREACH', { reason: 'refused', message: 'cannot be reached: no route to the network' }],
  ['ENOTFOUND', { reason: 'refused', message: 'has a name that does not resolve' }],
  ['EAI_AGAIN', { reason: 'refused', message: 'has a name that does not resolve now (DNS does not answer)' }],
  ['ETIMEDOUT', { reason: 'timeout', message: 'does not take the connection' }],
  ['ECONNRESET', cutOff],
  ['EPIPE', cutOff],
  ['ERR_STREAM_PREMATURE_CLOSE', cutOff],
  // The end of a gzip stream is missing.
  ['Z_BUF_ERROR', cutOff],
  ['EPROTO', { reason: 'tls', message: 'does not speak TLS: write http:// if that is right' }],
  [
    'ERR_SSL_WRONG_VERSION_NUMBER',
    { reason: 'tls', message: 'does not speak TLS: write http:// if that is right' },
  ],
]);

const tlsCode =
  /^(ERR_(TLS|SSL|OSSL)_|CERT_|UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_|HOSTNAME_MISMATCH|CRL_|INVALID_CA|PATH_LENGTH|ERR_CRYPTO)/;

/** OpenSSL's words for a certificate, which hold no secrets. */
function tlsText(error: unknown): string {
  const code = codeOf(error) ?? '';
  return code === 'ERR_TLS_CERT_ALTNAME_INVALID'
    ? 'its certificate is for another name; gitaly.scrape.tls.server-name can say which'
    : code.toLowerCase().replaceAll('_', ' ');
}

/** `ECONNREFUSED` of an error of Node's; undefined where it has none. */
export function codeOf(error: unknown): string | undefined {
  return typeof error === 'object' && error !== null && 'code' in error && typeof error.code === 'string'
    ? error.code
    : undefined;
}
