/** TLS files and credentials of a target, read for each scrape, so that a rotation needs no restart. */
import { type ReadText, readErrorText } from '../../lib/files.ts';
import type { HttpCredentials } from '../../lib/http/client.ts';
import { Secret } from '../../lib/secret.ts';
import type { Failure } from '../../scheduler/outcome.ts';
import type { TargetAccess } from './target.ts';

type CredentialsResult =
  | { readonly ok: true; readonly value: HttpCredentials }
  | { readonly ok: false; readonly failure: Failure };

export async function readCredentials(
  { tls, credentialsFile }: TargetAccess,
  isTls: boolean,
  readText: ReadText,
): Promise<CredentialsResult> {
  const { caFile, certFile, keyFile, serverName } = isTls ? tls : {};
  const read = (what: string, file: string | undefined): Promise<string> | undefined =>
    file === undefined ? undefined : readFile(what, file, readText);
  try {
    const ca = await read('the CA file', caFile);
    const cert = await read('the certificate file', certFile);
    const key = await read('the key file', keyFile);
    const line = await read('the credentials file', credentialsFile);
    return {
      ok: true,
      value: {
        tls: {
          ...(ca === undefined ? {} : { ca }),
          ...(cert === undefined ? {} : { cert }),
          ...(key === undefined ? {} : { key }),
          ...(serverName === undefined ? {} : { servername: serverName }),
        },
        authorization: line === undefined ? undefined : authorizationOf(line, credentialsFile ?? ''),
      },
    };
  } catch (error) {
    if (!(error instanceof FileError)) throw error;
    return { ok: false, failure: error.failure };
  }
}

/** Messages do not quote the file. */
function authorizationOf(text: string, file: string): Secret {
  const line = text.replace(/\r?\n$/, '');
  // Node's error for an invalid header would quote it.
  const isValid = line.includes(':') ? !/[\r\n]/.test(line) : /^[A-Za-z0-9._~+/-]+=*$/.test(line);
  if (!isValid)
    throw new FileError({
      reason: 'authentication',
      message: `the credentials file ${file} has neither user:password nor a token on one line`,
    });
  return new Secret(line.includes(':') ? `Basic ${Buffer.from(line).toString('base64')}` : `Bearer ${line}`);
}

async function readFile(what: string, file: string, readText: ReadText): Promise<string> {
  try {
    return await readText(file);
  } catch (error) {
    throw new FileError({
      reason: 'permission',
      message: `${what} ${file} cannot be read (${readErrorText(error)})`,
    });
  }
}

class FileError extends Error {
  readonly failure: Failure;
  constructor(failure: Failure) {
    super(failure.message);
    this.failure = failure;
  }
}
