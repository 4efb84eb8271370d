import { readFileSync } from 'node:fs';
import { describe, expect, test } from '@jest/globals';
import { loadSettings } from '../../src/config/load.ts';
import { configurationReference } from '../../src/config/reference.ts';
import { sections } from '../../src/config/sections/index.ts';
import { namedSettings } from '../../src/config/setting.ts';
import { settingsText } from '../../src/config/settings-text.ts';
import { memorySystem } from './memory-system.ts';

const page = configurationReference();

describe('docs/configuration.md', () => {
  test('is up to date ("npm run generate" writes it)', () => {
    expect(readFileSync(new URL('../../docs/configuration.md', import.meta.url), 'utf8')).toBe(page);
  });

  test('has every setting with its variable', () => {
    for (const { flag, variable } of namedSettings(sections)) {
      expect(page).toContain(`| \`${flag}\`<br>\`${variable}\` |`);
    }
  });

  test('has a complete example file that is valid', async () => {
    const [, yaml = ''] = /```yaml\n(.*?)```/s.exec(page) ?? [];
    const loaded = await loadSettings(['--config.file=/c.yml'], memorySystem({ '/c.yml': yaml }));
    expect(loaded.problems).toEqual([]);
    const fromFile = [...loaded.origins].filter(([, { source }]) => source === 'file').map(([name]) => name);
    expect(fromFile).toEqual(
      namedSettings(sections)
        .filter(({ setting }) => setting.inFile)
        .map(({ name }) => name),
    );
  });
});

test('printed settings are a file that gives the same settings', async () => {
  const args = [
    '--web.listen-address=:1',
    '--web.listen-address=[::1]:2',
    '--web.config.file=/etc/web.yml',
    '--web.enable-reload',
    '--praefect.virtual-storage=default=a,b',
    '--praefect.virtual-storage=yes=no',
    '--praefect.database.user=null',
    '--praefect.database.refresh-interval=1m30s',
    '--praefect.database.max-time-ratio=0.003',
    '--log.format=json',
  ];
  const first = await loadSettings(args, memorySystem());
  const text = settingsText(first.settings, first.origins);
  const second = await loadSettings(['--config.file=/c.yml'], memorySystem({ '/c.yml': text }));
  expect(second.problems).toEqual([]);
  expect({ ...second.settings, config: undefined }).toEqual({ ...first.settings, config: undefined });
});
