/**
 * TLS as libpq means it (PostgreSQL documentation, 34.19; initialize_SSL in fe-secure-openssl.c), decided once
 * from sslmode, sslrootcert, sslcert and sslkey. Stricter than libpq: a configured certificate that does not exist
 * stops the start. Looser than libpq: `allow` and `prefer` never verify, since a failed verification would make them
 * fall back to plain text.
 */
import { join } from 'node:path';
import { whyUnreadable } from '../../lib/files.ts';
import { type DatabaseConnection, type SslMode, sslModes } from '../database-connection.ts';
import {
  bad,
  type Checked,
  good,
  originText,
  problemAt,
  quotedValue,
  type SettingProblem,
} from '../problem.ts';
import { closest } from '../suggest.ts';
import type { System } from '../system.ts';
import type { Parameter, Parameters } from './keywords.ts';

type Tls = DatabaseConnection['ssl'];

/** `system`: the certificate authorities that the system trusts. */
const systemRoots = 'system';

/** The TLS part of a connection to `host`. A Unix socket has none, whatever sslmode says. */
export async function resolveTls(
  parameters: Parameters,
  host: string,
  system: System,
): Promise<Checked<Tls>> {
  if (host.startsWith('/')) return good({ mode: 'disable' });
  const { sslmode, sslrootcert } = parameters;
  const mode = sslModes.find((known) => known === sslmode?.value);
  if (sslmode !== undefined && mode === undefined) {
    const near = closest(sslmode.value, sslModes);
    const hint = near === undefined ? '' : `: did you mean ${near}?`;
    return bad(
      problemAt(
        sslmode.origin,
        `sslmode: found ${quotedValue(sslmode.value)}, expected one of ${sslModes.join(', ')}${hint}`,
      ),
    );
  }
  if (sslrootcert?.value === systemRoots && mode !== undefined && mode !== 'verify-full') {
    const message = `sslrootcert=system needs sslmode=verify-full, found ${quotedValue(mode)}: anyone can get a certificate that the system trusts`;
    return bad(problemAt(sslrootcert.origin, message));
  }
  const wanted = mode ?? (sslrootcert?.value === systemRoots ? 'verify-full' : 'prefer');
  if (wanted === 'disable') return good({ mode: 'disable' });

  const problems: SettingProblem[] = [];
  const root = await rootCertificate(parameters, wanted, system, problems);
  const client = await clientCertificate(parameters, system, problems);
  if (problems.length > 0) return bad(...problems);
  // For backwards compatibility, a root certificate makes `require` verify the chain (documentation, 34.19.1).
  const effective = wanted === 'require' && root !== undefined ? 'verify-ca' : wanted;
  return good({ mode: effective, ...(root === undefined ? {} : { rootCert: root }), ...client });
}

async function rootCertificate(
  { sslmode, sslrootcert }: Parameters,
  mode: SslMode,
  system: System,
  problems: SettingProblem[],
): Promise<string | undefined> {
  if (mode === 'allow' || mode === 'prefer') return undefined;
  if (sslrootcert !== undefined) {
    if (sslrootcert.value !== systemRoots) await checkReadable('sslrootcert', sslrootcert, system, problems);
    return sslrootcert.value;
  }
  const usual = join(system.home, '.postgresql', 'root.crt');
  if (await isFile(usual, system)) return usual;
  if (mode === 'require') return undefined;
  problems.push({
    where: sslmode === undefined ? undefined : originText(sslmode.origin),
    message: `sslmode=${mode} needs a root certificate, and none exists at ${usual}: set sslrootcert, or sslrootcert=system for the authorities that the system trusts (for a cloud database, the certificate bundle of the cloud provider)`,
  });
  return undefined;
}

async function clientCertificate(
  { sslcert, sslkey }: Parameters,
  system: System,
  problems: SettingProblem[],
): Promise<{ readonly cert?: string; readonly key?: string }> {
  const usualCert = join(system.home, '.postgresql', 'postgresql.crt');
  const usualKey = join(system.home, '.postgresql', 'postgresql.key');
  if (sslcert !== undefined) await checkReadable('sslcert', sslcert, system, problems);
  else if (!(await isFile(usualCert, system))) return {};
  if (sslkey !== undefined) await checkReadable('sslkey', sslkey, system, problems);
  else if (!(await isFile(usualKey, system))) {
    const message = `the client certificate has no key: set sslkey, or put the key at ${usualKey}`;
    problems.push(
      problemAt(sslcert?.origin ?? { source: 'file', file: usualCert, line: undefined }, message),
    );
    return {};
  }
  return { cert: sslcert?.value ?? usualCert, key: sslkey?.value ?? usualKey };
}

async function checkReadable(
  keyword: string,
  { value, origin }: Parameter,
  system: System,
  problems: SettingProblem[],
): Promise<void> {
  try {
    await system.files.readText(value);
  } catch (error) {
    problems.push(problemAt(origin, `${keyword}: the file ${value} ${whyUnreadable(error)}`));
  }
}

const isFile = async (path: string, system: System): Promise<boolean> =>
  (await system.files.stat(path).catch(() => undefined))?.isFile ?? false;
