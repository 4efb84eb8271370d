/**
 * libpq's password file (PostgreSQL documentation, 34.16): lines of host:port:database:user:password, the first
 * match counts. The rules are libpq's own (passwordFromFile in fe-connect.c), including its refusal of a file that
 * others can read; pgpass from npm reads the process's environment and only warns.
 */

import { whyUnreadable } from '../../lib/files.ts';
import { Secret } from '../../lib/secret.ts';
import type { Files } from '../system.ts';

/** What a line is compared with. A Unix socket in libpq's default directory counts as `localhost`. */
export interface PassfileKey {
  readonly host: string;
  readonly port: number;
  readonly database: string;
  readonly user: string;
}

const groupAndOthers = 0o077;

/**
 * The password that a passfile has for a connection; undefined when no line matches. Rejects with an Error for
 * people when the file cannot be read or others may read it.
 */
export async function passwordFromPassfile(
  path: string,
  key: PassfileKey,
  files: Files,
): Promise<Secret | undefined> {
  const found = await files.stat(path).catch((error: unknown) => {
    throw new Error(`the passfile ${path} ${whyUnreadable(error)}`, { cause: error });
  });
  if (found === undefined) throw new Error(`the passfile ${path} does not exist`);
  if (!found.isFile) throw new Error(`the passfile ${path} is not a regular file`);
  if ((found.mode & groupAndOthers) !== 0) {
    const mode = (found.mode & 0o777).toString(8).padStart(4, '0');
    throw new Error(
      `the passfile ${path} has mode ${mode}, so that other users can read it, and is refused: chmod 0600 ${path} (where the system sets the mode, as Kubernetes does for secrets, use --praefect.database.password-file)`,
    );
  }
  const text = await files.readText(path).catch((error: unknown) => {
    throw new Error(`the passfile ${path} ${whyUnreadable(error)}`, { cause: error });
  });
  return passwordFromText(text, key);
}

/** The password in the text of a passfile. */
export function passwordFromText(text: string, key: PassfileKey): Secret | undefined {
  for (const line of text.split('\n')) {
    const password = passwordFromLine(line.replace(/\r$/, ''), key);
    // An empty password ends the search without a password.
    if (password !== undefined) return password === '' ? undefined : new Secret(password);
  }
  return undefined;
}

function passwordFromLine(line: string, { host, port, database, user }: PassfileKey): string | undefined {
  if (line.startsWith('#')) return undefined;
  const fields = splitFields(line);
  const wanted = [host, String(port), database, user];
  const password = fields[wanted.length];
  if (password === undefined) return undefined;
  return wanted.every((value, index) => fields[index]?.source === '*' || fields[index]?.text === value)
    ? password.text
    : undefined;
}

/** Fields separated by colons; a backslash escapes the next character, so that \* is a star, not a wildcard. */
function splitFields(line: string): readonly { readonly source: string; readonly text: string }[] {
  let current = { source: '', text: '' };
  const fields = [current];
  for (let index = 0; index < line.length; index += 1) {
    const character = line.charAt(index);
    const escaped = character === '\\' ? line.charAt(index + 1) : '';
    if (character === ':') {
      current = { source: '', text: '' };
      fields.push(current);
    } else {
      current.source += character + escaped;
      current.text += escaped === '' ? character : escaped;
      index += escaped.length;
    }
  }
  return fields;
}
