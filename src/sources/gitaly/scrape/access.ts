/** What a read shows for itself: TLS files and credentials, read anew each time, so that a rotation needs no restart. */
import type { SecureContextOptions } from 'node:tls';
import type { Secret } from '../../../lib/secret.ts';
import type { Failure } from '../../../scheduler/outcome.ts';
import { codeOf } from './failures.ts';

export interface Access {
  readonly tls: TlsFiles;
  /** A file of one line: `user:password`, or a bearer token, which by RFC 6750 has no colon. */
  readonly credentialsFile: string | undefined;
}

export interface TlsFiles {
  /** Trusted in place of the system's authorities. */
  readonly caFile?: string | undefined;
  readonly certFile?: string | undefined;
  readonly keyFile?: string | undefined;
  /** Expected in the server's certificate in place of the URL's host. */
  readonly serverName?: string | undefined;
}

/** Plain: the system's authorities, no certificate, no credentials. */
export const openAccess: Access = Object.freeze({ tls: Object.freeze({}), credentialsFile: undefined });

/** The text of a file; rejects as node:fs does. */
export type ReadText = (path: string) => Promise<string>;

export interface ReadAccess {
  readonly tls: Pick<SecureContextOptions, 'ca' | 'cert' | 'key'> & { readonly servername?: string };
  /** Of the header Authorization. */
  readonly authorization: Secret | undefined;
}

export type AccessResult =
  | { readonly ok: true; readonly access: ReadAccess }
  | { readonly ok: false; readonly failure: Failure };

/** @param secret wraps what must not be shown: `(value) => new Secret(value)` */
export async function readAccess(
  { tls, credentialsFile }: Access,
  isTls: boolean,
  readText: ReadText,
  secret: (value: string) => Secret,
): Promise<AccessResult> {
  try {
    const { caFile, certFile, keyFile, serverName } = isTls ? tls : {};
    const read = async (what: string, file: string | undefined) =>
      file === undefined ? undefined : await readFile(what, file, readText);
    const ca = await read('the CA file', caFile);
    const cert = await read('the certificate file', certFile);
    const key = await read('the key file', keyFile);
    return {
      ok: true,
      access: {
        tls: {
          ...(ca === undefined ? {} : { ca }),
          ...(cert === undefined ? {} : { cert }),
          ...(key === undefined ? {} : { key }),
          ...(serverName === undefined ? {} : { servername: serverName }),
        },
        authorization:
          credentialsFile === undefined
            ? undefined
            : secret(await authorizationOf(credentialsFile, readText)),
      },
    };
  } catch (error) {
    if (!(error instanceof Unreadable)) throw error;
    return { ok: false, failure: { reason: error.reason, message: error.message } };
  }
}

async function authorizationOf(file: string, readText: ReadText): Promise<string> {
  const what = 'the credentials file';
  const line = (await readFile(what, file, readText)).replace(/\r?\n$/, '');
  // What no header may hold, Node would quote in its error.
  const isUsable = line.includes(':') ? !/[\r\n]/.test(line) : /^[A-Za-z0-9._~+/-]+=*$/.test(line);
  if (!isUsable)
    throw new Unreadable(
      'authentication',
      `${what} ${file} holds neither user:password nor a token on one line`,
    );
  return line.includes(':') ? `Basic ${Buffer.from(line).toString('base64')}` : `Bearer ${line}`;
}

async function readFile(what: string, file: string, readText: ReadText): Promise<string> {
  try {
    return await readText(file);
  } catch (error) {
    throw new Unreadable(
      'permission',
      `${what} ${file} cannot be read (${codeOf(error) ?? 'unknown error'})`,
    );
  }
}

class Unreadable extends Error {
  readonly reason: Failure['reason'];
  constructor(reason: Failure['reason'], message: string) {
    super(message);
    this.reason = reason;
  }
}
