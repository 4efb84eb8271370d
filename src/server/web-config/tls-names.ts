/** Go's names of TLS versions, cipher suites and curves, and OpenSSL's names of the same. */

/** https://pkg.go.dev/crypto/tls#pkg-constants, without `Version`. */
export const tlsVersions = {
  TLS10: 'TLSv1',
  TLS11: 'TLSv1.1',
  TLS12: 'TLSv1.2',
  TLS13: 'TLSv1.3',
} as const;
export type TlsVersion = keyof typeof tlsVersions;
/** In ascending order. */
export const tlsVersionNames = Object.keys(tlsVersions) as TlsVersion[];

/** Always enabled with TLS 1.3: Go does not let them be chosen either. */
const tls13Suites = [
  'TLS_AES_128_GCM_SHA256',
  'TLS_AES_256_GCM_SHA384',
  'TLS_CHACHA20_POLY1305_SHA256',
] as const;

/** The suites up to TLS 1.2 that Go considers secure (tls.CipherSuites()). */
const tls12Suites = {
  TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA: 'ECDHE-ECDSA-AES128-SHA',
  TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA: 'ECDHE-ECDSA-AES256-SHA',
  TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA: 'ECDHE-RSA-AES128-SHA',
  TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA: 'ECDHE-RSA-AES256-SHA',
  TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256: 'ECDHE-ECDSA-AES128-GCM-SHA256',
  TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384: 'ECDHE-ECDSA-AES256-GCM-SHA384',
  TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256: 'ECDHE-RSA-AES128-GCM-SHA256',
  TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384: 'ECDHE-RSA-AES256-GCM-SHA384',
  TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256: 'ECDHE-ECDSA-CHACHA20-POLY1305',
  TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256: 'ECDHE-RSA-CHACHA20-POLY1305',
} as const;

export type CipherSuite = keyof typeof tls12Suites | (typeof tls13Suites)[number];
export const cipherSuiteNames = [...Object.keys(tls12Suites), ...tls13Suites] as CipherSuite[];

/** The default: suites with forward secrecy and authenticated encryption, ordered by speed in hardware. */
export const defaultSuites: readonly CipherSuite[] = [
  ...tls13Suites,
  'TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256',
  'TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256',
  'TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384',
  'TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384',
  'TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256',
  'TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256',
];

export const curves = {
  CurveP256: 'P-256',
  CurveP384: 'P-384',
  CurveP521: 'P-521',
  X25519: 'X25519',
} as const;
export type Curve = keyof typeof curves;
export const curveNames = Object.keys(curves) as Curve[];

const isTls13Suite = (name: CipherSuite): boolean => (tls13Suites as readonly string[]).includes(name);

/**
 * OpenSSL's cipher list. It always contains the suites of TLS 1.3, as in Go: without them, a list of TLS 1.2
 * suites would make Node disable TLS 1.3.
 */
export function opensslCiphers(suites: readonly CipherSuite[]): string {
  const older = suites.filter((name) => !isTls13Suite(name)) as (keyof typeof tls12Suites)[];
  return [...tls13Suites, ...older.map((name) => tls12Suites[name])].join(':');
}
