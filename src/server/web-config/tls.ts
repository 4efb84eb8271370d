/** Certificates: the server's pair and the client CA as Node's TLS needs them, and the check of a client's. */
import { constants, createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { isIP, SocketAddress } from 'node:net';
import { createSecureContext, type SecureContextOptions, type TLSSocket } from 'node:tls';
import { codeOf } from '../../lib/errors.ts';
import { readErrorText, readTextFileSync } from '../../lib/files.ts';
import type { PemSource, TlsConfig } from './parse.ts';
import { curves, defaultSuites, opensslCiphers, tlsVersions } from './tls-names.ts';

/** As text, so that it can be compared with what was read before. */
export interface TlsMaterial {
  readonly cert: string;
  readonly key: string;
  readonly clientCa: string | undefined;
}

export type ReadResult<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly problem: string };

/**
 * The server's certificate and key, checked against each other.
 *
 * @param known read and valid before; only other bytes are checked again
 */
export function readPair(
  config: TlsConfig,
  known: TlsMaterial | undefined,
): ReadResult<{ readonly cert: string; readonly key: string }> {
  const cert = readPem(config.cert);
  if (!cert.ok) return cert;
  const key = readPem(config.key);
  if (!key.ok) return key;
  const pair = { cert: cert.value, key: key.value };
  if (pair.cert === known?.cert && pair.key === known.key) return { ok: true, value: pair };
  try {
    const certificate = new X509Certificate(cert.value);
    const privateKey = parseKey(key.value);
    if (privateKey === undefined) {
      return problem(
        `${name(config.key)} contains no PEM private key without a passphrase: replace it by one`,
      );
    }
    if (!certificate.checkPrivateKey(privateKey)) {
      return problem(`${name(config.key)} is not the key of ${name(config.cert)}: configure a matching pair`);
    }
    return { ok: true, value: pair };
  } catch {
    return problem(
      `${name(config.cert)} contains no PEM certificate: it must hold the server's, followed by its chain`,
    );
  }
}

/** The CA of the clients' certificates; undefined when none is configured. */
export function readClientCa(
  config: TlsConfig,
  known: TlsMaterial | undefined,
): ReadResult<string | undefined> {
  if (config.clientCa === undefined) return { ok: true, value: undefined };
  const read = readPem(config.clientCa);
  if (!read.ok || read.value === known?.clientCa) return read;
  const blocks = read.value.match(/-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g) ?? [];
  try {
    for (const block of blocks) new X509Certificate(block);
    if (blocks.length > 0) return read;
  } catch {
    // Node's TLS would skip a certificate that it cannot parse, and accept fewer clients than the file lists.
  }
  return problem(
    `${name(config.clientCa)} does not consist of PEM certificates: it must hold those of the clients' CA`,
  );
}

/** Options for tls.createSecureContext, of material that the functions above have read. */
export function secureContextOptions(config: TlsConfig, material: TlsMaterial): SecureContextOptions {
  const suites = config.cipherSuites.length > 0 ? config.cipherSuites : defaultSuites;
  // OpenSSL 3 rejects TLS below 1.2 at its default security level, even if minVersion allows it.
  const legacy = config.minVersion < 'TLS12' ? ':@SECLEVEL=0' : '';
  const legacySuites = legacy === '' || config.cipherSuites.length > 0 ? '' : ':ECDHE+AES+SHA1';
  // With tickets, a client could resume a session that was verified by a CA since removed from the file.
  const tickets = config.clientAuthType === 'NoClientCert' ? 0 : constants.SSL_OP_NO_TICKET;
  return {
    cert: material.cert,
    key: material.key,
    ...(material.clientCa === undefined ? {} : { ca: material.clientCa }),
    minVersion: tlsVersions[config.minVersion],
    maxVersion: tlsVersions[config.maxVersion],
    ciphers: `${opensslCiphers(suites)}${legacySuites}${legacy}`,
    honorCipherOrder: config.preferServerCipherSuites,
    ...(config.curves.length > 0 ? { ecdhCurve: config.curves.map((curve) => curves[curve]).join(':') } : {}),
    secureOptions: constants.SSL_OP_NO_RENEGOTIATION | tickets,
  };
}

/** Whether OpenSSL accepts the combination. */
export function checkSecureContext(options: SecureContextOptions): ReadResult<SecureContextOptions> {
  try {
    createSecureContext(options);
    return { ok: true, value: options };
  } catch (error) {
    const code = codeOf(error) ?? 'unknown';
    return problem(
      `tls_server_config: OpenSSL rejects it (${code}): check the kind and size of the key, and the cipher suites`,
    );
  }
}

// Far above any key or certificate: a wrong path to a large file must not fill the memory.
const maxPemBytes = 1024 * 1024;

function readPem(source: PemSource): ReadResult<string> {
  if (source.kind === 'inline') return { ok: true, value: source.pem.reveal() };
  try {
    return { ok: true, value: readTextFileSync(source.path, { maxBytes: maxPemBytes }) };
  } catch (error) {
    return problem(`${name(source)} cannot be read (${readErrorText(error)})`);
  }
}

function parseKey(pem: string): KeyObject | undefined {
  try {
    return createPrivateKey(pem);
  } catch {
    return undefined;
  }
}

const name = (source: PemSource): string =>
  `tls_server_config.${source.setting}${source.kind === 'file' ? ` (${source.path})` : ''}`;

const problem = (text: string): { readonly ok: false; readonly problem: string } => ({
  ok: false,
  problem: text,
});

/**
 * Why a client's certificate does not give access, for the client to read; undefined if it does. Checked at each
 * request: a connection from before a reload is subject to the new file. The handshake rejects most others.
 */
export function clientCertificateProblem(config: TlsConfig, socket: TLSSocket): string | undefined {
  const type = config.clientAuthType;
  if (type === 'NoClientCert' || type === 'RequestClientCert') return undefined;
  const certificate = socket.getPeerX509Certificate();
  if (certificate === undefined) {
    return type === 'VerifyClientCertIfGiven' ? undefined : 'a client certificate is required';
  }
  if (type === 'RequireAnyClientCert') return undefined;
  if (!socket.authorized) return 'the client certificate is not from the configured CA, or is not valid now';
  const allowed = config.clientAllowedSans;
  if (allowed.length === 0) return undefined;
  const names = new Set(subjectAlternativeNames(certificate.subjectAltName ?? ''));
  return allowed.some((name) => names.has(canonicalName(name)))
    ? undefined
    : 'the client certificate has none of the allowed subject alternative names';
}

/**
 * The values in `DNS:a.example, IP Address:192.0.2.1, URI:spiffe://a/b, email:c@d`. Node writes a value that
 * contains a comma or a quote as a JSON string (CVE-2021-44532), so that no value can look like two.
 */
export function subjectAlternativeNames(text: string): string[] {
  const entry = /(DNS|IP Address|URI|email):("(?:[^"\\]|\\.)*"|[^,"]*)(?:, |$)|[^,]*(?:, |$)/gy;
  const names: string[] = [];
  for (const [whole, kind, value] of text.matchAll(entry)) {
    if (whole === '') break;
    if (kind === undefined || value === undefined) continue;
    const name = value.startsWith('"') ? unquote(value) : value;
    if (name !== undefined) names.push(kind === 'IP Address' ? canonicalName(name) : name);
  }
  return names;
}

function unquote(json: string): string | undefined {
  try {
    return String(JSON.parse(json));
  } catch {
    return undefined;
  }
}

/** One spelling of each IP address; other text as it is. */
function canonicalName(name: string): string {
  const family = isIP(name);
  if (family === 0) return name;
  return new SocketAddress({ address: name, family: family === 6 ? 'ipv6' : 'ipv4' }).address;
}
