/** Arbitrary input gives settings or problems, and nothing is thrown. */
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { loadSettings } from '../../src/config/load.ts';
import { resolvePraefect } from '../../src/config/praefect/resolve.ts';
import { sections } from '../../src/config/sections/index.ts';
import { namedSettings } from '../../src/config/setting.ts';
import { settingsText } from '../../src/config/settings-text.ts';
import { anyText } from '../support/any-text.ts';
import { memorySystem } from './memory-system.ts';

const all = namedSettings(sections);
const values = fc.oneof(
  fc.string(),
  fc.constantFrom(
    'info',
    '15s',
    '1%',
    ':9656',
    'true',
    '0',
    '-1',
    '/a',
    'a=b,c',
    '',
    'postgres://u:p@h/d',
    '~',
  ),
);
const flags = fc.constantFrom(
  ...all.map(({ flag }) => flag),
  '--no-web.enable-reload',
  '--unknown',
  '--',
  '-',
);
const args = fc.array(
  fc.oneof(
    fc.string(),
    flags,
    fc.tuple(flags, values).map(([flag, value]) => `${flag}=${value}`),
  ),
  { maxLength: 6 },
);
const env = fc.dictionary(
  fc.oneof(
    fc.constantFrom(
      ...all.map(({ variable }) => variable),
      'GITALY_EXPORTER_X',
      'PGHOST',
      'PGPORT',
      'PGSSLMODE',
      'PGSERVICE',
    ),
    fc.string(),
  ),
  values,
  { maxKeys: 5 },
);
const keys = [...new Set(all.flatMap(({ name }) => name.split('.')))];
const tree = fc.letrec((tie) => ({
  node: fc.oneof({ maxDepth: 4 }, values, fc.array(values, { maxLength: 3 }), tie('map')),
  map: fc.dictionary(fc.oneof(fc.constantFrom(...keys), fc.string()), tie('node'), { maxKeys: 4 }),
})).map;
const yaml = fc.oneof(
  anyText({ maxLength: 200 }),
  fc
    .array(
      fc.constantFrom(
        'log:',
        '  level: ',
        'praefect:\n',
        ' - ',
        '[',
        '{',
        '}',
        ']',
        '"',
        "'",
        '&a ',
        '*a',
        '!t ',
        '---\n',
        '|\n',
        '? ',
        ': ',
        '\t',
        '#',
        '\n',
        '<<: ',
      ),
      { maxLength: 15 },
    )
    .map((parts) => parts.join('')),
  tree.map((value) => JSON.stringify(value)),
);

async function load(
  flags: readonly string[],
  files: Record<string, string>,
  variables: Record<string, string>,
): Promise<void> {
  const system = memorySystem(files, variables);
  const loaded = await loadSettings(flags, system);
  for (const { where, message } of loaded.problems) {
    expect(message).not.toBe('');
    expect(where).not.toBe('');
  }
  settingsText(loaded.settings, loaded.origins);
  if (loaded.problems.length === 0) await resolvePraefect(loaded.settings, loaded.origins, system);
}

test('arbitrary flags and variables give settings or problems', async () => {
  await fc.assert(
    fc.asyncProperty(args, env, (flags, variables) => load(flags, {}, variables)),
    { numRuns: 400 },
  );
});

test('an arbitrary file gives settings or problems', async () => {
  await fc.assert(
    fc.asyncProperty(yaml, (text) => load(['--config.file=/c.yml'], { '/c.yml': text }, {})),
    { numRuns: 600 },
  );
});
