/** Sources of the password. It is read at each new connection, so that a rotated password needs no restart. */
import { join } from 'node:path';
import { whyUnreadable } from '../../lib/files.ts';
import { Secret } from '../../lib/secret.ts';
import type { Files } from '../system.ts';
import { type PassfileKey, passwordFromPassfile } from './passfile.ts';

/** One source of a password; its description names files, never the password. */
export interface PasswordSource {
  /** For the page and `config check`: `the file /etc/exporter/password`. */
  readonly description: string;
  /** Rejects with an Error for people that holds no secret. */
  readonly read: () => Promise<Secret | undefined>;
}

export const noPassword: PasswordSource = { description: 'none', read: async () => undefined };

export const givenPassword = (password: Secret, description: string): PasswordSource => ({
  description,
  read: async () => password,
});

/** A file with the password and an optional line end. */
export const passwordFile = (path: string, files: Files): PasswordSource => ({
  description: `the file ${path}`,
  async read() {
    const text = await files.readText(path).catch((error: unknown) => {
      throw new Error(`praefect.database.password-file ${path} ${whyUnreadable(error)}`, { cause: error });
    });
    const password = text.replace(/[\r\n]+$/, '');
    if (password === '') throw new Error(`praefect.database.password-file ${path} is empty`);
    return new Secret(password);
  },
});

/** A configured passfile, which must have a line for the connection. */
export const chosenPassfile = (path: string, key: PassfileKey, files: Files): PasswordSource => ({
  description: `the passfile ${path}`,
  async read() {
    const password = await passwordFromPassfile(path, key, files);
    if (password !== undefined) return password;
    throw new Error(
      `the passfile ${path} has no line that matches ${key.host}:${key.port}:${key.database}:${key.user}`,
    );
  },
});

/** libpq's default passfile, which need not exist. */
export const usualPassfile = (home: string, key: PassfileKey, files: Files): PasswordSource => {
  const path = join(home, '.pgpass');
  return {
    description: `${path}, if it exists`,
    async read() {
      if ((await files.stat(path)) === undefined) return undefined;
      return passwordFromPassfile(path, key, files);
    },
  };
};
