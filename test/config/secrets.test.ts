/** A known password appears in no output of the configuration: problems, printed settings, JSON, util.inspect. */
import { inspect } from 'node:util';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { loadSettings } from '../../src/config/load.ts';
import { resolvePraefect } from '../../src/config/praefect/resolve.ts';
import { problemText } from '../../src/config/problem.ts';
import { settingsText } from '../../src/config/settings-text.ts';
import type { System } from '../../src/config/system.ts';
import { type MemoryFiles, memorySystem } from './memory-system.ts';

const sentinel = 'SENTINEL';
const file = '/etc/exporter.yml';

/** Every form in which people or other programs can see the configuration. */
async function everything(args: readonly string[], system: System): Promise<string> {
  const loaded = await loadSettings(args, system);
  const sources = await resolvePraefect(loaded.settings, loaded.origins, system);
  const problems = [...loaded.problems, ...(sources.ok ? [] : sources.problems)];
  return [
    ...problems.map(problemText),
    settingsText(loaded.settings, loaded.origins),
    JSON.stringify(loaded),
    inspect(loaded, { depth: 20, showHidden: true }),
    String(loaded.settings.praefect.database.url),
    JSON.stringify(sources),
    inspect(sources, { depth: 20, showHidden: true }),
  ].join('\n');
}

const shown = (
  args: readonly string[],
  files: MemoryFiles = {},
  env: Record<string, string> = {},
): Promise<string> => everything(args, memorySystem(files, env));

describe('a password is never shown', () => {
  test.each<[string, string[], MemoryFiles, Record<string, string>]>([
    ['in the URL', [`--praefect.database.url=postgres://u:${sentinel}@h/d`], {}, {}],
    ['as a keyword', [`--praefect.database.url=host=h password=${sentinel}`], {}, {}],
    ['in a variable', [], {}, { GITALY_EXPORTER_PRAEFECT_DATABASE_URL: `postgres://u:${sentinel}@h/d` }],
    [
      'in the file',
      [`--config.file=${file}`],
      { [file]: `praefect:\n  database:\n    url: postgres://u:${sentinel}@h/d\n` },
      {},
    ],
    ['in PGPASSWORD', [], {}, { PGHOST: 'h', PGPASSWORD: sentinel }],
    [
      'in a password file',
      ['--praefect.database.url=postgres://u@h/d', '--praefect.database.password-file=/p'],
      { '/p': sentinel },
      {},
    ],
    [
      'in a passfile',
      ['--praefect.database.url=postgres://u@h/d'],
      { '/home/exporter/.pgpass': { text: `*:*:*:*:${sentinel}`, mode: 0o600 } },
      {},
    ],
    [
      'in a passfile that is rejected',
      ['--praefect.database.url=postgres://u@h/d'],
      { '/home/exporter/.pgpass': `*:*:*:*:${sentinel}` },
      {},
    ],
    [
      "in Praefect's config.toml",
      ['--praefect.config-file=/c'],
      { '/c': `[database]\nhost = "h"\npassword = "${sentinel}"\n` },
      {},
    ],
  ])('%s', async (_name, args, files, env) => {
    expect(await shown(args, files, env)).not.toContain(sentinel);
  });

  test.each<[string, string[], MemoryFiles]>([
    ['a misspelled flag', [`--praefect.database.ulr=postgres://u:${sentinel}@h/d`], {}],
    [
      'a misspelled flag with its value as the next argument',
      ['--praefect.database.ulr', `postgres://u:${sentinel}@h/d`],
      {},
    ],
    ['a value without a flag', [`postgres://u:${sentinel}@h/d`, sentinel], {}],
    ['a value that begins with a dash', [`-${sentinel}!`, `--=${sentinel}`, `--a b${sentinel}`], {}],
    [
      'a misspelled key',
      [`--config.file=${file}`],
      { [file]: `praefect: {database: {pasword: ${sentinel}}}` },
    ],
    [
      'a list where text is expected',
      [`--config.file=${file}`],
      { [file]: `praefect: {database: {url: [${sentinel}]}}` },
    ],
    [
      'a map where text is expected',
      [`--config.file=${file}`],
      { [file]: `praefect: {database: {url: {password: ${sentinel}}}}` },
    ],
    ['an alias', [`--config.file=${file}`], { [file]: `praefect: {database: {url: *${sentinel}}}` }],
    ['a tag', [`--config.file=${file}`], { [file]: `praefect: {database: {url: !${sentinel} x}}` }],
    [
      'an unclosed quote',
      [`--config.file=${file}`],
      { [file]: `praefect:\n  database:\n    url: "postgres://u:${sentinel}@h/d\n` },
    ],
    ['TOML without quotes', ['--praefect.config-file=/c'], { '/c': `[database]\npassword = ${sentinel}\n` }],
    [
      'TOML of another type',
      ['--praefect.config-file=/c'],
      { '/c': `[database]\npassword = ["${sentinel}"]\n` },
    ],
    ['a template', ['--praefect.config-file=/c'], { '/c': `[database]\npassword = {% "${sentinel}" %}\n` }],
  ])('%s is not quoted in a problem', async (_name, args, files) => {
    const text = await shown(args, files);
    expect(text).not.toContain(sentinel);
    expect(
      (await loadSettings(args, memorySystem(files))).problems.length + Number(text.includes('/c:')),
    ).toBeGreaterThan(0);
  });

  test('in an address with arbitrary text around the password', async () => {
    const surrounding = fc.string({ unit: fc.constantFrom(...':/?#@%=&, \'"\\[]ab1'), maxLength: 6 });
    const shapes = fc.constantFrom(
      'postgres://u:{}@h/d',
      'postgres://u:{}',
      'postgres://h/d?password={}',
      'host=h password={}',
      "host=h password='{}'",
      '{}',
    );
    await fc.assert(
      fc.asyncProperty(shapes, surrounding, surrounding, async (shape, before, after) => {
        // A sentinel in a host name may be shown: check only where it is the password, or the address is rejected.
        const address = shape.replace('{}', `${before}${sentinel}${after}`);
        const loaded = await loadSettings([`--praefect.database.url=${address}`], memorySystem());
        expect(loaded.problems.map(problemText).join('\n')).not.toContain(sentinel);
        expect(inspect(loaded, { depth: 20 })).not.toContain(sentinel);
      }),
      { numRuns: 500 },
    );
  });
});
