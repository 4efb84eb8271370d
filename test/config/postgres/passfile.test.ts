import { describe, expect, test } from '@jest/globals';
import { passwordFromPassfile, passwordFromText } from '../../../src/config/postgres/passfile.ts';
import { memoryFiles } from '../memory-system.ts';

const key = { host: 'db.example.com', port: 5432, database: 'praefect', user: 'exporter' };
const found = (text: string, other: Partial<typeof key> = {}): string | undefined =>
  passwordFromText(text, { ...key, ...other })?.reveal();

describe('the first matching line gives the password', () => {
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

  test('an escaped star matches a literal star', () => {
    expect(found('\\*:*:*:*:pw', { host: '*' })).toBe('pw');
  });
});

describe('a passfile', () => {
  const path = '/home/exporter/.pgpass';
  const line = '*:*:*:*:SENTINEL';
  const read = (file: Parameters<typeof memoryFiles>[0][string]) =>
    passwordFromPassfile(path, key, memoryFiles({ [path]: file }));

  test.each([0o600, 0o400, 0o100600])('with mode %o is accepted', async (mode) => {
    expect((await read({ text: line, mode }))?.reveal()).toBe('SENTINEL');
  });

  test.each([
    [0o640, '0640'],
    [0o604, '0604'],
    [0o644, '0644'],
    [0o620, '0620'],
    [0o610, '0610'],
  ])('with mode %o is rejected', async (mode, shown) => {
    await expect(read({ text: line, mode })).rejects.toThrow(
      `the passfile ${path} has mode ${shown}, so that other users can read it, and is refused: chmod 0600 ${path} (where the system sets the mode, as Kubernetes does for secrets, use --praefect.database.password-file)`,
    );
  });

  test('that is a directory is rejected', async () => {
    await expect(read({ folder: true })).rejects.toThrow(`the passfile ${path} is not a regular file`);
  });

  test('that does not exist or is not readable is reported', async () => {
    await expect(passwordFromPassfile(path, key, memoryFiles({}))).rejects.toThrow(
      `the passfile ${path} does not exist`,
    );
    await expect(read({ code: 'EACCES' })).rejects.toThrow(
      `the passfile ${path} is not readable by this user`,
    );
  });
});
