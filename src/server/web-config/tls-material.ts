/** Certificate, key and client CA: read, checked against each other, and put as Node's TLS wants them. */
import { constants, createPrivateKey, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createSecureContext, type SecureContextOptions } from 'node:tls';
import type { PemSource, TlsConfig } from './parse.ts';
import { curves, defaultSuites, opensslCiphers, tlsVersions } from './tls-names.ts';

/** As text, so that it can be compared with what was read before. */
export interface TlsMaterial {
  readonly cert: string;
  readonly key: string;
  readonly clientCa: string | undefined;
}

export type Read<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly problem: string };

/**
 * The server's own pair. It says who we are, not who is let in. `known`: read and found good before; only other
 * bytes are looked at again.
 */
export function readPair(
  config: TlsConfig,
  known: TlsMaterial | undefined,
): Read<{ readonly cert: string; readonly key: string }> {
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
      return problem(`${name(config.key)} holds no PEM private key without a passphrase: give it one`);
    }
    if (!certificate.checkPrivateKey(privateKey)) {
      return problem(`${name(config.key)} is not the key of ${name(config.cert)}: give the pair`);
    }
    return { ok: true, value: pair };
  } catch {
    return problem(`${name(config.cert)} holds no PEM certificate: give the server's, followed by its chain`);
  }
}

/** The authority whose certificates let clients in; undefined when none is configured. */
export function readClientCa(config: TlsConfig, known: TlsMaterial | undefined): Read<string | undefined> {
  if (config.clientCa === undefined) return { ok: true, value: undefined };
  const read = readPem(config.clientCa);
  if (!read.ok || read.value === known?.clientCa) return read;
  const blocks = read.value.match(/-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g) ?? [];
  try {
    for (const block of blocks) new X509Certificate(block);
    if (blocks.length > 0) return read;
  } catch {
    // Node's TLS would leave out what it cannot read, and let in fewer than the file names.
  }
  return problem(
    `${name(config.clientCa)} does not hold PEM certificates: give those of the clients' authority`,
  );
}

/** What tls.createSecureContext takes; the caller has read the material with the functions above. */
export function secureContextOptions(config: TlsConfig, material: TlsMaterial): SecureContextOptions {
  const suites = config.cipherSuites.length > 0 ? config.cipherSuites : defaultSuites;
  // OpenSSL 3 forbids TLS below 1.2 at its default security level, whatever the versions say.
  const legacy = config.minVersion < 'TLS12' ? ':@SECLEVEL=0' : '';
  const legacySuites = legacy === '' || config.cipherSuites.length > 0 ? '' : ':ECDHE+AES+SHA1';
  // Tickets would let a client resume a session that an authority since removed from the file had vouched for.
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

/** OpenSSL's own word on whether all of it fits together. */
export function checkSecureContext(options: SecureContextOptions): Read<SecureContextOptions> {
  try {
    createSecureContext(options);
    return { ok: true, value: options };
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'unknown';
    return problem(
      `tls_server_config: OpenSSL refuses it (${code}): look at the key's kind and size, and the cipher suites`,
    );
  }
}

// No key or certificate comes near this; a mistaken path to something large must not fill the memory.
const maxPemBytes = 1024 * 1024;

function readPem(source: PemSource): Read<string> {
  if (source.kind === 'inline') return { ok: true, value: source.pem.reveal() };
  try {
    const text = readFileSync(source.path, 'utf8');
    if (text.length > maxPemBytes)
      return problem(`${name(source)} is larger than 1 MiB: is that the right file?`);
    return { ok: true, value: text };
  } catch (error) {
    return problem(`${name(source)} cannot be read (${(error as NodeJS.ErrnoException).code ?? 'unknown'})`);
  }
}

function parseKey(pem: string) {
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
