/** Why an HTTP request failed: what Node, OpenSSL, zlib and the status code mean, in one table. */
import { codeOf } from '../errors.ts';

/** Kind -> the reason that counts it. */
const reasonOfKind = {
  unreachable: 'refused',
  /** The resolver has no usable response, or this host no way to the network. */
  local: 'refused',
  timeout: 'timeout',
  canceled: 'timeout',
  tls: 'tls',
  /** The certificate is for another name. */
  certificate_name: 'tls',
  /** The server does not speak TLS. */
  plain_text: 'tls',
  not_http: 'parse',
  /** The connection ended before the response did. */
  truncated: 'refused',
  encoding: 'parse',
  too_large: 'too_large',
  /** HTTP 101, which was not requested. */
  upgrade: 'http_status',
  redirect: 'http_status',
  status: 'http_status',
  unauthenticated: 'authentication',
  forbidden: 'permission',
} as const;

type HttpFailureKind = keyof typeof reasonOfKind;

export interface HttpFailure {
  readonly kind: HttpFailureKind;
  readonly reason: (typeof reasonOfKind)[HttpFailureKind];
  /** Follows the server's name: `refused the connection: nothing listens there (ECONNREFUSED)`. No secrets. */
  readonly message: string;
  /** Whether the server runs is unknown: the cause is on this side and nothing was sent, or the read was canceled. */
  readonly isInconclusive?: true;
}

/** How to fix a kind of failure, such as the setting to change; appended to its message. */
export type HttpHints = Readonly<Partial<Record<HttpFailureKind, string>>>;

export function httpFailure(kind: HttpFailureKind, what: string, hints: HttpHints = {}): HttpFailure {
  const hint = hints[kind];
  return { kind, reason: reasonOfKind[kind], message: hint === undefined ? what : `${what}: ${hint}` };
}

/** Thrown by the body of a response, and by a look-up of names that has its own explanation. */
export class HttpError extends Error {
  readonly failure: HttpFailure;
  constructor(failure: HttpFailure) {
    super(failure.message);
    this.failure = failure;
  }
}

/** What an error of DNS, the connection, TLS, HTTP or gzip means. Error texts are not quoted: they may hold secrets. */
export function connectionFailure(error: unknown, hints: HttpHints = {}): HttpFailure {
  if (error instanceof HttpError) return error.failure;
  const code = codeOf(error);
  const [kind, what] = meaningOf(code);
  return httpFailure(kind, `${what} (${code ?? 'unknown error'})`, hints);
}

type Meaning = readonly [HttpFailureKind, string];

function meaningOf(code: string | undefined): Meaning {
  const known = code === undefined ? undefined : meanings.get(code);
  if (known !== undefined) return known;
  if (code?.startsWith('HPE_')) return ['not_http', 'does not speak HTTP'];
  if (code?.startsWith('Z_')) return ['encoding', 'sent invalid gzip'];
  if (code !== undefined && tlsCode.test(code))
    return ['tls', `failed the TLS handshake: ${code.toLowerCase().replaceAll('_', ' ')}`];
  return ['unreachable', 'cannot be reached'];
}

const truncated: Meaning = ['truncated', 'closed the connection before its response was complete'];
const plainText: Meaning = ['plain_text', 'does not speak TLS'];

const meanings: ReadonlyMap<string, Meaning> = new Map<string, Meaning>([
  ['ECONNREFUSED', ['unreachable', 'refused the connection: nothing listens there, or it is starting']],
  ['EHOSTUNREACH', ['unreachable', 'cannot be reached: no route to the host']],
  ['ENETUNREACH', ['local', 'cannot be reached: no route to the network']],
  ['EADDRNOTAVAIL', ['local', 'cannot be reached: this host has no free port or no such address']],
  ['EMFILE', ['local', 'cannot be reached: this process has no free file descriptor']],
  ['ENFILE', ['local', 'cannot be reached: this host has no free file descriptor']],
  ['ENOBUFS', ['local', 'cannot be reached: this host has no free buffer']],
  ['EACCES', ['local', 'cannot be reached: this host does not permit it']],
  ['EPERM', ['local', 'cannot be reached: this host does not permit it']],
  // Also where service discovery removed a server that is down.
  ['ENOTFOUND', ['unreachable', 'has a name that does not resolve']],
  ['EAI_AGAIN', ['local', 'has a name that does not resolve at the moment: DNS does not respond']],
  ['ETIMEDOUT', ['timeout', 'does not respond: the connection is dead, or a firewall drops packets']],
  ['ERR_INVALID_CHAR', ['unauthenticated', 'was sent nothing: the credentials have invalid characters']],
  ['ECONNRESET', truncated],
  ['ECONNABORTED', truncated],
  ['EPIPE', truncated],
  ['ERR_STREAM_PREMATURE_CLOSE', truncated],
  // The end of a gzip stream is missing.
  ['Z_BUF_ERROR', truncated],
  ['EPROTO', plainText],
  ['ERR_SSL_WRONG_VERSION_NUMBER', plainText],
  [
    'ERR_TLS_CERT_ALTNAME_INVALID',
    ['certificate_name', 'failed the TLS handshake: its certificate is for another name'],
  ],
]);

const tlsCode =
  /^(ERR_(TLS|SSL|OSSL)_|CERT_|UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_|HOSTNAME_MISMATCH|CRL_|INVALID_CA|PATH_LENGTH|ERR_CRYPTO)/;

/** Why a response with this status is not the page that was requested. */
export function statusFailure(
  status: number,
  location: string | undefined,
  hints: HttpHints = {},
): HttpFailure {
  if (status === 401) return httpFailure('unauthenticated', 'requires other credentials (HTTP 401)', hints);
  if (status === 403)
    return httpFailure('forbidden', 'does not permit reading with these credentials (HTTP 403)', hints);
  if (status >= 300 && status < 400 && location !== undefined)
    return httpFailure('redirect', `redirects (HTTP ${status}), and redirects are not followed`, hints);
  return httpFailure('status', `responded with HTTP ${status}`, hints);
}
