/**
 * What an error of the operating system, the resolver or OpenSSL means to us: Node's error code -> failure
 * reason (errno(3), getaddrinfo(3), Node's documentation of tls and errors, OpenSSL's x509_vfy.h).
 */
import type { Finding } from './finding.ts';

const address = 'check the host and the port, and that nothing in between blocks them';
const root =
  "sslrootcert must hold the authority that signed the server's certificate; on RDS that is the region's bundle";
const validity = "look at the certificate's dates and at both clocks";

const byCode: Readonly<Record<string, Finding>> = {
  ECONNREFUSED: { reason: 'refused', found: 'nothing listens there', mend: address },
  ENOTFOUND: { reason: 'refused', found: 'the host name does not resolve', mend: address },
  EAI_AGAIN: { reason: 'refused', found: 'the name server gave no answer', mend: 'check DNS' },
  EAI_FAIL: { reason: 'refused', found: 'the name server failed', mend: 'check DNS' },
  EHOSTUNREACH: { reason: 'refused', found: 'there is no route to the host', mend: address },
  ENETUNREACH: { reason: 'refused', found: 'there is no route to the network', mend: address },
  EHOSTDOWN: { reason: 'refused', found: 'the host is down', mend: address },
  ENETDOWN: { reason: 'refused', found: 'the network is down', mend: address },
  EADDRNOTAVAIL: { reason: 'refused', found: 'the address cannot be reached from here', mend: address },
  ECONNRESET: { reason: 'refused', found: 'the connection was reset' },
  ECONNABORTED: { reason: 'refused', found: 'the connection was aborted' },
  EPIPE: { reason: 'refused', found: 'the connection was closed while it was written to' },
  ETIMEDOUT: { reason: 'timeout', found: 'the network gave up waiting for an answer', mend: address },
  ENOENT: { reason: 'refused', found: 'there is no such socket', mend: "host must be the socket's folder" },
  EACCES: { reason: 'permission', found: 'the socket may not be opened', mend: "look at the socket's mode" },
  EPERM: {
    reason: 'permission',
    found: 'the connection is not permitted',
    mend: 'look at the network policy',
  },
  EMFILE: { reason: 'internal', found: 'this process has no file descriptor left', mend: 'raise ulimit -n' },
  ENFILE: { reason: 'internal', found: 'this machine has no file descriptor left' },

  ERR_TLS_CERT_ALTNAME_INVALID: {
    reason: 'tls',
    found: "the server's certificate is for another host",
    mend: 'connect by a name that the certificate has, or use sslmode=verify-ca if its authority signs nothing else',
  },
  DEPTH_ZERO_SELF_SIGNED_CERT: {
    reason: 'tls',
    found: "the server's certificate is self-signed",
    mend: root,
  },
  SELF_SIGNED_CERT_IN_CHAIN: {
    reason: 'tls',
    found: "the server's certificate is signed by an authority that is not trusted",
    mend: root,
  },
  UNABLE_TO_GET_ISSUER_CERT: { reason: 'tls', found: 'an authority in the chain is missing', mend: root },
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: {
    reason: 'tls',
    found: "the authority that signed the server's certificate is not trusted",
    mend: root,
  },
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: {
    reason: 'tls',
    found: "the server's certificate cannot be verified",
    mend: root,
  },
  CERT_SIGNATURE_FAILURE: {
    reason: 'tls',
    found: "the signature of the server's certificate is wrong",
    mend: root,
  },
  CERT_HAS_EXPIRED: { reason: 'tls', found: "the server's certificate has expired", mend: validity },
  CERT_NOT_YET_VALID: { reason: 'tls', found: "the server's certificate is not valid yet", mend: validity },
  ERR_SSL_TLSV1_ALERT_UNKNOWN_CA: {
    reason: 'tls',
    found: 'the server does not trust our certificate',
    mend: "sslcert must be signed by an authority in the server's ssl_ca_file",
  },
  ERR_SSL_SSL_TLSV1_ALERT_UNKNOWN_CA: {
    reason: 'tls',
    found: 'the server does not trust our certificate',
    mend: "sslcert must be signed by an authority in the server's ssl_ca_file",
  },
};

const ofTls =
  /^(ERR_SSL_|ERR_TLS_|ERR_OSSL_|EPROTO$|CERT_|CRL_|UNABLE_TO_|ERROR_IN_CERT|INVALID_(CA|PURPOSE)|PATH_LENGTH_EXCEEDED|HOSTNAME_MISMATCH|ERR_CRYPTO_)/;

/** What the error says, or undefined when its code is of none of these kinds. */
export function systemFinding(error: unknown): Finding | undefined {
  const code = codeOf(error);
  if (code === undefined) return undefined;
  const known = byCode[code];
  if (known !== undefined) return { ...known, found: `${known.found} (${code})` };
  return ofTls.test(code) ? { reason: 'tls', found: `TLS failed: ${messageOf(error)} (${code})` } : undefined;
}

/**
 * The code; of an attempt at several addresses that of the first. By shape and not by instanceof: Node's own
 * errors come from another realm where a test runner or a vm has globals of its own.
 */
export function codeOf(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null) return undefined;
  if ('code' in error && typeof error.code === 'string') return error.code;
  return 'errors' in error && Array.isArray(error.errors) ? codeOf(error.errors[0]) : undefined;
}

export const messageOf = (error: unknown): string =>
  typeof error === 'object' && error !== null && 'message' in error ? String(error.message) : String(error);
