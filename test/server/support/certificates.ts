/** CAs, server and client certificates, made by openssl in a temporary folder. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface Pair {
  readonly certFile: string;
  readonly keyFile: string;
  readonly cert: string;
  readonly key: string;
}

export interface Certificates {
  readonly folder: string;
  readonly ca: Pair;
  readonly otherCa: Pair;
  /** For localhost and 127.0.0.1, issued by `ca`. */
  readonly server: Pair;
  /** As `server`, with another key. */
  readonly renewedServer: Pair;
  /** Issued by `ca`, for prometheus.example and spiffe://example/prometheus. */
  readonly client: Pair;
  /** Issued by `ca`, for intruder.example. */
  readonly otherClient: Pair;
  /** Issued by `otherCa`, for prometheus.example. */
  readonly foreignClient: Pair;
  remove(): void;
}

export function makeCertificates(): Certificates {
  const folder = mkdtempSync(join(tmpdir(), 'gitaly-exporter-certificates-'));
  const openssl = (...args: string[]) => execFileSync('openssl', args, { cwd: folder, stdio: 'pipe' });
  const read = (name: string): Pair => {
    const certFile = join(folder, `${name}.crt`);
    const keyFile = join(folder, `${name}.key`);
    return { certFile, keyFile, cert: readFileSync(certFile, 'utf8'), key: readFileSync(keyFile, 'utf8') };
  };
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  const selfSigned = (name: string): Pair => {
    openssl(
      'req',
      '-x509',
      ...key,
      '-days',
      '2',
      '-subj',
      `/CN=${name}`,
      '-keyout',
      `${name}.key`,
      '-out',
      `${name}.crt`,
    );
    return read(name);
  };
  const issued = (name: string, by: string, sans: string, usage: 'serverAuth' | 'clientAuth'): Pair => {
    openssl('req', ...key, '-subj', `/CN=${name}`, '-keyout', `${name}.key`, '-out', `${name}.csr`);
    writeFileSync(join(folder, `${name}.ext`), `subjectAltName=${sans}\nextendedKeyUsage=${usage}\n`);
    openssl(
      ...['x509', '-req', '-days', '2', '-in', `${name}.csr`, '-CA', `${by}.crt`, '-CAkey', `${by}.key`],
      ...['-CAcreateserial', '-extfile', `${name}.ext`, '-out', `${name}.crt`],
    );
    return read(name);
  };
  return {
    folder,
    ca: selfSigned('ca'),
    otherCa: selfSigned('other-ca'),
    server: issued('server', 'ca', 'DNS:localhost,IP:127.0.0.1', 'serverAuth'),
    renewedServer: issued('renewed', 'ca', 'DNS:localhost,IP:127.0.0.1', 'serverAuth'),
    client: issued(
      'client',
      'ca',
      'DNS:prometheus.example,URI:spiffe://example/prometheus,IP:2001:db8::1',
      'clientAuth',
    ),
    otherClient: issued('other-client', 'ca', 'DNS:intruder.example', 'clientAuth'),
    foreignClient: issued('foreign-client', 'other-ca', 'DNS:prometheus.example', 'clientAuth'),
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}
