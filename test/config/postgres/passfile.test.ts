import { describe, expect, test } from '@jest/globals';
import { passwordFromPassfile, passwordFromText } from '../../../src/config/postgres/passfile.ts';
import { memoryFiles } from '../memory-system.ts';

const key = { host: 'db.example.com', port: 5432, database: 'praefect', user: 'exporter' };
const found = (text: string, other: Partial<typeof key> = {}): string | undefined =>
  passwordFromText(text, { ...key, ...other })?.reveal();

describe('the first line that matches gives the password', () => {
  test.each<[string, string | undefined]>([
    ['db.example.com:5432:praefect:exporter:pw', 'pw'],
    ['*:*:*:*:pw', 'pw'],
    ['*:*:praefect:*:pw', 'pw'],
    ['db.example.com:5433:praefect:exporter:pw', undefined],
    ['other:5432:praefect:exporter:pw', undefined],
    ['DB.example.com:5432:praefect:exporter:pw', undefined],
    ['db.*:*:*:*:pw', undefined],
    ['*:*:*:*:first\n*:*:*:*:second', 'first'],
    ['x:*:*:*:first\n*:*:*:*:second', 'second'],
    ['# *:*:*:*:comment\n*:*:*:*:pw', 'pw'],
    ['\n\nrubbish\n:::\n*:*:*:*:pw\n', 'pw'],
    ['*:*:*:*:pw\r\n', 'pw'],
    ['*:*:*:*:', undefined],
    ['*:*:*:*:\n*:*:*:*:later', undefined],
    ['*:*:*:*', undefined],
    ['*:*:*:*:p\\:w', 'p:w'],
    ['*:*:*:*:p\\\\w', 'p\\w'],
    ['*:*:*:*:pw:ignored', 'pw'],
    ['*:*:*:*: p w ', ' p w '],
    ['\\*:*:*:*:pw', undefined],
    ['', undefined],
  ])('%j: %j', (text, password) => {
    expect(found(text)).toBe(password);
  });

  test('colons and backslashes are escaped in every field', () => {
    expect(found('\\:\\:1:5432:a\\\\b:u\\:v:pw', { host: '::1', database: 'a\\b', user: 'u:v' })).toBe('pw');
  });

  test('a star that is meant is escaped', () => {
    expect(found('\\*:*:*:*:pw', { host: '*' })).toBe('pw');
  });
});

describe('the file', () => {
  const path = '/home/exporter/.pgpass';
  const line = '*:*:*:*:SENTINEL';
  const read = (file: Parameters<typeof memoryFiles>[0][string]) =>
    passwordFromPassfile(path, key, memoryFiles({ [path]: file }));

  test.each([0o600, 0o400, 0o100600])('mode %o is private', async (mode) => {
    expect((await read({ text: line, mode }))?.reveal()).toBe('SENTINEL');
  });

  test.each([
    [0o640, '0640'],
    [0o604, '0604'],
    [0o644, '0644'],
    [0o620, '0620'],
    [0o610, '0610'],
  ])('mode %o is refused', async (mode, shown) => {
    await expect(read({ text: line, mode })).rejects.toThrow(
      `the passfile ${path} has mode ${shown}, so that other users can read it, and is refused: chmod 0600 ${path} (where the system sets the mode, as Kubernetes does for secrets, use --praefect.database.password-file)`,
    );
  });

  test('a directory is not a passfile', async () => {
    await expect(read({ folder: true })).rejects.toThrow(`the passfile ${path} is not a regular file`);
  });

  test('a file that is not there or not ours is said to be so', async () => {
    await expect(passwordFromPassfile(path, key, memoryFiles({}))).rejects.toThrow(
      `the passfile ${path} does not exist`,
    );
    await expect(read({ code: 'EACCES' })).rejects.toThrow(
      `the passfile ${path} is not readable by this user`,
    );
  });
});
