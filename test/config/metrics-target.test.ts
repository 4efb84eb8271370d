/** The values of gitaly.target, praefect.target and gitaly.config-file, and their meaning. */
import { expect, test } from '@jest/globals';
import { loadSettings } from '../../src/config/load.ts';
import { problemText } from '../../src/config/problem.ts';
import { memorySystem } from './memory-system.ts';

async function load(...args: string[]) {
  const { settings, problems } = await loadSettings(args, memorySystem({}));
  return { settings, problems: problems.map(problemText) };
}

test.each([
  ['gitaly-1', undefined, 'http://gitaly-1:9236/metrics'],
  ['gitaly-1:80', undefined, 'http://gitaly-1/metrics'],
  ['a=gitaly-1.example.com:1234', 'a', 'http://gitaly-1.example.com:1234/metrics'],
  ['a-1.b_c=https://10.0.0.7/x?y=z', 'a-1.b_c', 'https://10.0.0.7:9236/x?y=z'],
  ['https://g:443', undefined, 'https://g/metrics'],
  ['[::1]:9236', undefined, 'http://[::1]:9236/metrics'],
  ['[::1]', undefined, 'http://[::1]:9236/metrics'],
])('%s is accepted as a target', async (written, name, url) => {
  const { settings, problems } = await load(`--gitaly.target=${written}`);
  expect(problems).toEqual([]);
  expect(settings.gitaly.target).toEqual([{ name, url, everyAddress: false }]);
});

test('dns+ resolves every address, and Praefect has a default port of its own', async () => {
  const { settings } = await load('--gitaly.target=dns+gitaly.svc', '--praefect.target=dns+https://p.svc');
  expect(settings.gitaly.target).toEqual([
    { name: undefined, url: 'http://gitaly.svc:9236/metrics', everyAddress: true },
  ]);
  expect(settings.praefect.target).toEqual([
    { name: undefined, url: 'https://p.svc:9652/metrics', everyAddress: true },
  ]);
});

test.each([
  ['http://user:SENTINEL@g', 'remove user and password'],
  ['ftp://g', 'the scheme must be http or https'],
  ['a=dns+g', 'targets of dns+ are named after their addresses'],
  ['http://', 'expected an address such as'],
  ['g:99999', 'expected an address such as'],
  ['http://g/#x', 'a part after # is not allowed'],
])('%s is rejected', async (written, why) => {
  const { problems } = await load(`--gitaly.target=${written}`);
  expect(problems).toEqual([expect.stringContaining(why)]);
  expect(problems.join()).not.toContain('SENTINEL');
});

test.each<[string[], string]>([
  [['--gitaly.target=g', '--gitaly.target=g:1'], 'gitaly.target is set twice for g,'],
  [['--gitaly.target=localhost', '--gitaly.target=127.0.0.1:1'], 'gitaly.target is set twice for this host,'],
  [['--gitaly.target=a=g', '--gitaly.target=a=h'], 'gitaly.target is set twice for a,'],
  [['--praefect.target=g', '--praefect.target=g:1'], 'praefect.target is set twice for g,'],
  [['--gitaly.config-file=/a', '--gitaly.config-file=/b'], 'gitaly.config-file is set twice for this host,'],
  [
    ['--gitaly.target=g', '--gitaly.scrape.tls.cert-file=/c'],
    'cert-file and gitaly.scrape.tls.key-file go together',
  ],
  [
    ['--gitaly.scrape.timeout=20s'],
    'gitaly.scrape.timeout (20s) is longer than gitaly.scrape.interval (15s)',
  ],
])('%j are rejected', async (args, why) => {
  const { problems } = await load(...args);
  expect(problems).toEqual([expect.stringContaining(why)]);
});

test.each<string[]>([
  ['--gitaly.target=g', '--praefect.target=g'],
  ['--gitaly.target=a=g', '--gitaly.target=b=g:1'],
  ['--gitaly.target=dns+g', '--gitaly.target=g'],
  ['--gitaly.config-file=a=/a', '--gitaly.config-file=/b'],
])('%s and %s are accepted together', async (...args) => {
  expect((await load(...args)).problems).toEqual([]);
});

test('a named file in the configuration file is relative to its directory', async () => {
  const system = memorySystem({
    '/etc/e/config.yml': 'gitaly: {config-file: [gitaly-1=one.toml, /two.toml]}',
  });
  const { settings } = await loadSettings(['--config.file=/etc/e/config.yml'], system);
  expect(settings.gitaly.configFile).toEqual([
    { name: 'gitaly-1', file: '/etc/e/one.toml' },
    { name: undefined, file: '/two.toml' },
  ]);
});
