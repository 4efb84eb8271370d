/** Certificate authorities and certificates for the tests, created with openssl, valid for a day. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface Certificates {
  readonly folder: string;
  /** Path of a file: `ca.crt`, `reader.key`. */
  path(name: string): string;
  text(name: string): string;
  remove(): void;
}

/**
 * `ca` signed `server` (localhost), `elsewhere` (db.example) and `reader` (client, CN=reader);
 * `other-ca` signed `stranger` (client, CN=reader).
 */
export function makeCertificates(): Certificates {
  const folder = mkdtempSync(join(tmpdir(), 'gitaly-exporter-tls-'));
  const path = (name: string): string => join(folder, name);
  const openssl = (...args: readonly string[]): void => {
    execFileSync('openssl', args, { cwd: folder, stdio: 'pipe' });
  };
  const newKey = (name: string, subject: string): readonly string[] => [
    ...['req', '-new', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'],
    ...['-keyout', `${name}.key`, '-subj', subject],
  ];
  const authority = (name: string): void =>
    openssl(...newKey(name, `/CN=${name}`), '-x509', '-days', '1', '-out', `${name}.crt`);
  const signed = (name: string, by: string, subject: string, names?: string): void => {
    openssl(...newKey(name, subject), '-out', `${name}.csr`);
    writeFileSync(path(`${name}.ext`), names === undefined ? '' : `subjectAltName=${names}\n`);
    openssl(
      ...['x509', '-req', '-in', `${name}.csr`, '-CA', `${by}.crt`, '-CAkey', `${by}.key`, '-CAcreateserial'],
      ...['-days', '1', '-extfile', `${name}.ext`, '-out', `${name}.crt`],
    );
  };
  authority('ca');
  authority('other-ca');
  signed('server', 'ca', '/CN=localhost', 'DNS:localhost');
  signed('elsewhere', 'ca', '/CN=db.example', 'DNS:db.example');
  signed('reader', 'ca', '/CN=reader');
  signed('stranger', 'other-ca', '/CN=reader');
  return {
    folder,
    path,
    text: (name) => readFileSync(path(name), 'utf8'),
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}
