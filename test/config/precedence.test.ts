import { describe, expect, test } from '@jest/globals';
import { loadSettings } from '../../src/config/load.ts';
import { originText } from '../../src/config/problem.ts';
import { sections } from '../../src/config/sections/index.ts';
import { namedSettings } from '../../src/config/setting.ts';
import { Secret } from '../../src/lib/secret.ts';
import { memorySystem } from './memory-system.ts';

const file = '/etc/exporter.yml';
const inFile = 'log:\n  level: error\n';
const inEnvironment = { GITALY_EXPORTER_LOG_LEVEL: 'warn' };
const asFlag = ['--log.level=debug'];

describe('a flag takes precedence over the environment, the environment over the file, the file over the default', () => {
  test.each([
    // flag, environment, file: value and its origin
    [true, true, true, 'debug', '--log.level'],
    [true, true, false, 'debug', '--log.level'],
    [true, false, true, 'debug', '--log.level'],
    [true, false, false, 'debug', '--log.level'],
    [false, true, true, 'warn', 'GITALY_EXPORTER_LOG_LEVEL'],
    [false, true, false, 'warn', 'GITALY_EXPORTER_LOG_LEVEL'],
    [false, false, true, 'error', `${file}:2`],
    [false, false, false, 'info', 'default'],
  ])('flag %s, environment %s, file %s: %s from %s', async (flag, environment, yaml, value, from) => {
    const system = memorySystem({ [file]: yaml ? inFile : '' }, environment ? inEnvironment : {});
    const loaded = await loadSettings([`--config.file=${file}`, ...(flag ? asFlag : [])], system);
    expect(loaded.problems).toEqual([]);
    expect(loaded.settings.log.level).toBe(value);
    expect(originText(loaded.origins.get('log.level')!)).toBe(from);
  });

  test('the environment can name the file', async () => {
    const system = memorySystem({ [file]: inFile }, { GITALY_EXPORTER_CONFIG_FILE: file });
    expect((await loadSettings([], system)).settings.log.level).toBe('error');
  });

  test('a list replaces the whole list of a source with lower precedence', async () => {
    const system = memorySystem({ [file]: 'web: {listen-address: [":1", ":2"]}' });
    const args = [`--config.file=${file}`, '--web.listen-address=:3'];
    expect((await loadSettings(args, system)).settings.web.listenAddress).toMatchObject([{ port: 3 }]);
  });
});

describe('the names of settings', () => {
  const all = namedSettings(sections);

  test('are unique, as flags and as variables', () => {
    expect(new Set(all.map(({ flag }) => flag)).size).toBe(all.length);
    expect(new Set(all.map(({ variable }) => variable)).size).toBe(all.length);
  });

  test('do not change', () => {
    expect(all.map(({ flag }) => flag)).toEqual(
      expect.arrayContaining([
        '--web.listen-address',
        '--web.config.file',
        '--web.telemetry-path',
        '--praefect.database.url',
        '--praefect.config-file',
        '--log.level',
        '--log.format',
        '--config.file',
      ]),
    );
  });

  test.each(all.filter(({ setting }) => setting.inFile).map((named) => [named.name, named] as const))(
    'allow %s as a flag, as a variable and in the file',
    async (_name, named) => {
      const { kind, example, default: value } = named.setting;
      const written = example ?? String(kind.print(value as NonNullable<unknown>));
      const keys = named.name.split('.');
      const yaml = keys.reduceRight((inner, key) => `{${key}: ${inner}}`, JSON.stringify(written));
      const read = async (args: string[], env: Record<string, string>) => {
        const loaded = await loadSettings(args, memorySystem({ [file]: yaml }, env));
        const found = named.path.reduce<unknown>(
          (node, key) => (node as Record<string, unknown>)[key],
          loaded.settings,
        );
        return {
          problems: loaded.problems,
          value: found instanceof Secret ? found.reveal() : found,
          from: loaded.origins.get(named.name)!.source,
        };
      };
      const flag = await read([`${named.flag}=${written}`], {});
      expect(flag.problems).toEqual([]);
      expect(await read([], { [named.variable]: written })).toEqual({ ...flag, from: 'environment' });
      expect(await read([`--config.file=${file}`], {})).toEqual({ ...flag, from: 'file' });
    },
  );
});

describe('a switch', () => {
  test.each([
    [['--web.enable-reload'], true],
    [['--no-web.enable-reload'], false],
    [['--web.enable-reload=true'], true],
    [['--web.enable-reload=false'], false],
  ])('given as %j is %s', async (args, value) => {
    const loaded = await loadSettings(
      args,
      memorySystem({}, { GITALY_EXPORTER_WEB_ENABLE_RELOAD: String(!value) }),
    );
    expect(loaded.problems).toEqual([]);
    expect(loaded.settings.web.enableReload).toBe(value);
  });

  test('does not take the next argument as its value', async () => {
    const loaded = await loadSettings(['--web.enable-reload', 'false'], memorySystem());
    expect(loaded.problems).toEqual([
      { where: undefined, message: 'unexpected argument at position 2; write values as --flag=value' },
    ]);
  });
});

describe('the environment', () => {
  test('may have the variables that Kubernetes sets for a Service named gitaly-exporter', async () => {
    const loaded = await loadSettings(
      [],
      memorySystem(
        {},
        {
          GITALY_EXPORTER_SERVICE_HOST: '10.0.0.7',
          GITALY_EXPORTER_SERVICE_PORT: '9656',
          GITALY_EXPORTER_SERVICE_PORT_METRICS: '9656',
          GITALY_EXPORTER_PORT: 'tcp://10.0.0.7:9656',
          GITALY_EXPORTER_PORT_9656_TCP: 'tcp://10.0.0.7:9656',
          GITALY_EXPORTER_PORT_9656_TCP_PROTO: 'tcp',
          GITALY_EXPORTER_PORT_9656_TCP_PORT: '9656',
          GITALY_EXPORTER_PORT_9656_TCP_ADDR: '10.0.0.7',
          GITALY_EXPORTER_AGENT_SERVICE_HOST: '10.0.0.8',
        },
      ),
    );
    expect(loaded.problems).toEqual([]);
  });

  test('is rejected when the operator sets a port in such a variable', async () => {
    const loaded = await loadSettings([], memorySystem({}, { GITALY_EXPORTER_PORT: '9656' }));
    expect(loaded.problems.map(({ where }) => where)).toEqual(['GITALY_EXPORTER_PORT']);
  });
});

describe('the settings', () => {
  test('are deeply frozen', async () => {
    const { settings } = await loadSettings(['--praefect.virtual-storage=default=a,b'], memorySystem());
    const unfrozen = (value: unknown, path: string): string[] =>
      typeof value !== 'object' || value === null || value instanceof Secret
        ? []
        : [
            ...(Object.isFrozen(value) ? [] : [path]),
            ...Object.entries(value).flatMap(([key, inner]) => unfrozen(inner, `${path}.${key}`)),
          ];
    expect(unfrozen(settings, 'settings')).toEqual([]);
  });

  test('keep YAML values as written: no octal numbers, no booleans from yes and no', async () => {
    const yaml = 'praefect:\n  virtual-storage:\n    yes: [0123, no, "quoted, once"]\n    1.10: [1e3]\n';
    const loaded = await loadSettings([`--config.file=${file}`], memorySystem({ [file]: yaml }));
    expect(loaded.settings.praefect.virtualStorage).toEqual([
      { name: 'yes', storages: ['0123', 'no', 'quoted, once'] },
      { name: '1.10', storages: ['1e3'] },
    ]);
  });

  test('accept a group without any setting', async () => {
    const loaded = await loadSettings(
      [`--config.file=${file}`],
      memorySystem({ [file]: 'web:\n#  telemetry-path: /x\nlog:\n' }),
    );
    expect(loaded.problems).toEqual([]);
  });
});
