/** What each key of the web configuration file may say for itself, but not together with the others. */
import type { ClientAuthType, TlsInput, WebConfigInput } from './schema.ts';
import { http2Suites, tls13Suites, tlsVersionNames } from './tls-names.ts';

/** Keys and indices from the top of the file. */
export type Path = readonly (string | number)[];

export interface Problem {
  readonly path: Path;
  /** What is wrong with it, and the mend. */
  readonly message: string;
}

/** All that no single key is to blame for, in the order of the file's sections. */
export function contradictions(input: WebConfigInput): Problem[] {
  const problems: Problem[] = [];
  const limit = input.rate_limit;
  if (limit !== undefined && limit.interval > 0 && limit.burst === 0) {
    problems.push({ path: ['rate_limit', 'burst'], message: 'must be 1 or more: 0 would let nobody in' });
  }
  const tls = input.tls_server_config;
  if (tls === undefined) return problems;
  const complain = (key: string, message: string) =>
    problems.push({ path: ['tls_server_config', key], message });

  for (const name of ['cert', 'key', 'client_ca'] as const) {
    const file = `${name}_file` as const;
    if (tls[name] !== undefined && tls[file] !== undefined) {
      complain(file, `stands beside ${name}: remove one of them`);
    }
    if (name !== 'client_ca' && tls[name] === undefined && tls[file] === undefined) {
      complain(file, `is missing: TLS needs it (or ${name}, with the PEM text itself)`);
    }
  }
  const type = clientAuthType(tls);
  const hasCa = tls.client_ca !== undefined || tls.client_ca_file !== undefined;
  const caKey = tls.client_ca === undefined ? 'client_ca_file' : 'client_ca';
  if (hasCa && type === 'NoClientCert') {
    complain(caKey, 'has no effect without client_auth_type: set RequireAndVerifyClientCert, or remove it');
  }
  if (!hasCa && type === 'RequireAndVerifyClientCert') {
    const message = `is missing: without it ${type} would let in whoever holds a certificate of any public authority`;
    complain('client_ca_file', message);
  }
  if (tls.client_allowed_sans !== undefined && !type.includes('Verify')) {
    const message = `needs client_auth_type: RequireAndVerifyClientCert; with ${type} a client may write any name into its own certificate`;
    complain('client_allowed_sans', message);
  }
  if (tls.client_allowed_sans?.length === 0)
    complain('client_allowed_sans', 'is empty: name one, or remove it');
  if (tlsVersionNames.indexOf(tls.min_version) > tlsVersionNames.indexOf(tls.max_version)) {
    complain('min_version', `is ${tls.min_version}, above max_version, which is ${tls.max_version}`);
  }
  if (tls.cipher_suites?.length === 0) complain('cipher_suites', 'is empty: name one, or remove it');
  if (tls.curve_preferences?.length === 0) complain('curve_preferences', 'is empty: name one, or remove it');
  if ((input.http_server_config?.http2 ?? true) && lacksHttp2Suite(tls)) {
    const message = `lacks ${http2Suites.join(' and ')}, one of which HTTP/2 needs: add the one of your key's kind, or set http_server_config.http2 to false`;
    complain('cipher_suites', message);
  }
  return problems;
}

function lacksHttp2Suite(tls: TlsInput): boolean {
  const suites: readonly string[] | undefined = tls.cipher_suites;
  if (suites === undefined || tls.min_version === 'TLS13' || tls.max_version < 'TLS12') return false;
  const onlyTls13 = suites.every((name) => (tls13Suites as readonly string[]).includes(name));
  return !onlyTls13 && !http2Suites.some((name) => suites.includes(name));
}

export function clientAuthType(tls: TlsInput): ClientAuthType {
  const given = tls.client_auth_type;
  if (given === undefined || given === '') return 'NoClientCert';
  return given === 'RequireClientCert' ? 'RequireAnyClientCert' : given;
}
