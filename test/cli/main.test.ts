import { describe, expect, test } from '@jest/globals';
import { demoCommands } from '../../demo/commands.ts';
import { packageCommands as commands, readInvocation } from '../../src/cli/commands.ts';
import { commandHelp, programHelp } from '../../src/cli/help.ts';
import { main } from '../../src/cli/main.ts';
import { namedSettings } from '../../src/config/setting.ts';
import { wrap } from '../../src/lib/format.ts';
import { testHost } from './host.ts';

const allCommands = [...commands, ...demoCommands];

describe('a command line', () => {
  test.each<[string[], string, Record<string, string>]>([
    [[], 'serve', {}],
    [['--log.level=debug'], 'serve', { 'log.level': 'debug' }],
    [['serve', '--log.level=debug'], 'serve', { 'log.level': 'debug' }],
    [['--log.level', 'debug', 'serve'], 'serve', { 'log.level': 'debug' }],
    [['config', 'check', '--config.file=x'], 'config check', { 'config.file': 'x' }],
    [['config', '--config.file=x', 'check'], 'config check', { 'config.file': 'x' }],
    [['generate', '--output-dir', '.'], 'generate', { 'output-dir': '.' }],
    [['demo'], 'demo', {}],
    [
      ['demo', 'incident', '--url=http://h', 'storage-dies'],
      'demo incident',
      { url: 'http://h', name: 'storage-dies' },
    ],
    [['demo', 'incident', '--stop', 'storage-dies'], 'demo incident', { stop: 'true', name: 'storage-dies' }],
    [
      ['demo', '--url', 'http://h', 'incident', 'storage-dies'],
      'demo incident',
      { url: 'http://h', name: 'storage-dies' },
    ],
    [['bucket', '17', '-0'], 'bucket', { of: '17', null: 'true' }],
    [['bucket', '-0', '--', '--odd-path'], 'bucket', { of: '--odd-path', null: 'true' }],
    [['--namespace', 'gitlab', 'doctor'], 'doctor', { namespace: 'gitlab' }],
  ])('%j runs %s with %j', (args, name, values) => {
    const invocation = readInvocation(args, allCommands);
    expect(invocation).toMatchObject({ kind: 'run', command: { name }, flags: { problems: [] } });
    if (invocation.kind !== 'run') return;
    const given = [...invocation.flags.values].map(([key, raw]) => [key, raw.form === 'text' && raw.text]);
    expect(Object.fromEntries(given)).toEqual(values);
  });

  test.each([
    [['srve'], 'unknown command; did you mean serve?'],
    [['config'], 'config needs a subcommand: config check'],
    [['config', 'chek'], 'unknown command; did you mean config check?'],
    [['confg', 'check'], 'unknown command; did you mean config check?'],
    [['help', 'bogus'], `unknown command; the commands are ${commands.map(({ name }) => name).join(', ')}`],
    [['serve', 'SENTINEL'], 'unexpected argument at position 2 (see gitaly-exporter serve --help)'],
    [['bucket', '1', 'SENTINEL'], 'unexpected argument at position 3 (see gitaly-exporter bucket --help)'],
    [['bucket', '1', '--of=2'], '--of is given twice: as a flag and as an argument'],
    [
      ['demo'],
      'the demo is part of a checkout, not of this package: clone the project and run npm ci && npm start',
    ],
    [
      ['postgres://u:SENTINEL@h/d'],
      `unknown command; the commands are ${commands.map(({ name }) => name).join(', ')}`,
    ],
  ])('%j is an error, exit code 2', async (args, message) => {
    const host = testHost();
    expect(await main(args, host)).toBe(2);
    expect(host.err()).toBe(`gitaly-exporter: ${message}\n`);
  });

  test('with a flag of another command is rejected and names that command', async () => {
    const host = testHost();
    expect(await main(['serve', '--namespace=gitlab'], host)).toBe(2);
    expect(host.err()).toContain('--namespace: is a flag of "gitaly-exporter doctor", not of this command\n');
  });

  test('is parsed in any order, as each flag name has a value in every command or in none', () => {
    const arity = new Map<string, boolean>();
    for (const { options } of allCommands)
      for (const { name, setting } of namedSettings([options])) {
        const isSwitch = setting.kind.flag === 'switch';
        expect([name, arity.get(name) ?? isSwitch]).toEqual([name, isSwitch]);
        arity.set(name, isSwitch);
      }
  });
});

describe('help', () => {
  test.each([[['--help']], [['-h']], [['help']]])('%j lists the commands and every section', async (args) => {
    const host = testHost();
    expect(await main(args, host)).toBe(0);
    expect(host.out()).toBe(programHelp(commands, 80));
    for (const { name } of commands) expect(host.out()).toContain(`\n  ${name} `);
    for (const title of ['Web', 'Log', 'Praefect', 'Metrics']) expect(host.out()).toContain(`\n${title}\n`);
  });

  test.each([
    [['config', 'check', '--nonsense', '--help'], 'Usage: gitaly-exporter config check [flags]\n'],
    [['help', 'config', 'check'], 'Usage: gitaly-exporter config check [flags]\n'],
    [['help', 'bucket'], 'Usage: gitaly-exporter bucket [flags] [<path or number>]\n'],
    [['config', '--help'], 'Usage: gitaly-exporter config <command> [flags]\n'],
    [['help', 'config'], 'Usage: gitaly-exporter config <command> [flags]\n'],
    [['serve', '-h'], 'Usage: gitaly-exporter serve [flags]\n'],
  ])('%j is the help of that command, even if other arguments are invalid', async (args, usage) => {
    const host = testHost();
    expect(await main(args, host)).toBe(0);
    expect(host.out()).toContain(usage);
    expect(host.err()).toBe('');
  });

  test.each([40, 60, 80, 110])('fits a terminal of %i columns, except for words that are longer', (width) => {
    const texts = [
      programHelp(commands, width),
      ...allCommands.map((command) => commandHelp(command, width)),
    ];
    for (const line of texts.flatMap((text) => text.split('\n'))) {
      const words = line.trim().split(' ').length;
      expect(
        line.length <= width ||
          words === 1 ||
          line.startsWith('gitaly-exporter:') ||
          line.startsWith('Usage:'),
      ).toBe(true);
    }
  });

  test('wraps with a hanging indent', () => {
    expect(wrap('one two three four', 12, 0, 4)).toEqual(['one two', '    three', '    four']);
    expect(wrap('a-word-longer-than-the-line b', 5)).toEqual(['a-word-longer-than-the-line', 'b']);
  });
});

test.each([[['--version']], [['-v']], [['version']], [['serve', '-v']]])(
  '%j prints the version of the package',
  async (args) => {
    const host = testHost();
    expect(await main(args, host)).toBe(0);
    expect(host.out()).toMatch(/^gitaly-exporter \d+\.\d+\.\d+ \(node v\d+/);
  },
);

describe('serve', () => {
  test('with invalid settings does not start, and reports all problems, those in referenced files too', async () => {
    const host = testHost({}, { GITALY_EXPORTER_X: '1', PGPORT: 'x' });
    expect(await main(['--log.level=loud', '--praefect.database.url=postgres://h/d?sslmode=on'], host)).toBe(
      2,
    );
    expect(host.err()).toBe(
      [
        'gitaly-exporter: 4 problems with the configuration',
        '  GITALY_EXPORTER_X: there is no such setting. --help lists them; unset it.',
        '  --log.level: found "loud", expected one of debug, info, warn, error',
        '  PGPORT: port: found "x", expected a number from 1 to 65535',
        '  --praefect.database.url: sslmode: found "on", expected one of disable, allow, prefer, require, verify-ca, verify-full',
        '',
      ].join('\n'),
    );
    expect(host.out()).toBe('');
  });
});

describe('config check', () => {
  test('prints the settings with their origins, and their effect', async () => {
    const yaml = 'log:\n  level: warn\npraefect:\n  virtual-storage: {default: [a, b]}\n';
    const host = testHost({ '/c.yml': yaml }, { GITALY_EXPORTER_WEB_MAX_REQUESTS: '5' });
    const url = '--praefect.database.url=postgres://reader:SENTINEL@db/praefect?sslmode=require';
    const threshold = '--alerts.threshold.gitaly-down=7m';
    expect(await main(['config', 'check', '--config.file=/c.yml', url, threshold], host)).toBe(0);
    expect(host.out()).toBe(`config:
  # file: /c.yml  # --config.file
web:
  listen-address:  # default
    - :9656
  config:
    # file: not set (none: plain HTTP without authentication)
  telemetry-path: /metrics  # default
  max-requests: 5  # GITALY_EXPORTER_WEB_MAX_REQUESTS
  enable-reload: false  # default
log:
  level: warn  # /c.yml:2
  # format: not set (pretty on a terminal, else logfmt)
praefect:
  # config-file: not set (none)
  virtual-storage:  # /c.yml:4
    default:
      - a
      - b
  # storage-server: not set (from the addresses in Praefect's config.toml)
  # target: not set (none)
  stuck-threshold: 15m  # default
  database:
    # url: <secret>  # --praefect.database.url
    # user: not set (the user of the address)
    # password-file: not set (none)
    # passfile: not set (PGPASSFILE, else ~/.pgpass)
    # connect-timeout: not set (connect_timeout of the address, PGCONNECT_TIMEOUT, else 10s)
    statement-timeout: 30s  # default
    max-time-ratio: 1%  # default
    refresh-interval: 15s  # default
    max-staleness: 5m  # default
    health-interval: 1s  # default
gitaly:
  # target: not set (none)
  # config-file: not set (none)
  scrape:
    interval: 15s  # default
    timeout: 5s  # default
    max-bytes: 32MiB  # default
    max-series: 20000  # default
    # credentials-file: not set (none)
    tls:
      # ca-file: not set (the system's authorities)
      # cert-file: not set (none)
      # key-file: not set (none)
      # server-name: not set (each target's host)
cgroup:
  enabled: false  # default
  root: /sys/fs/cgroup  # default
  buckets: top  # default
  top-buckets: 20  # default
  # pods-file: not set (pods from the Kubernetes API; without it, pods are named by their UID)
  poll-interval: 500ms  # default
kubernetes:
  enabled: false  # default
  role: all  # default
  # kubeconfig: not set (the pod's own service account, else KUBECONFIG, else ~/.kube/config)
  # context: not set (the current context of the kubeconfig)
  # node: not set (the host name; required for an agent)
  # namespace: not set (all namespaces)
  gitaly-selector: app=gitaly  # default
  praefect-selector: app=praefect  # default
  scrape: true  # default
  volume-stats: false  # default
  stale-after: 5m  # default
maintenance:
  # window: not set (none, except those from Kubernetes)
checks:
  # client-retry-window: not set (not known, and then not checked)
metrics:
  max-series: 100000  # default
alerts:
  exporter-job: .*gitaly-exporter.*  # default
  volume-claim: .*gitaly.*  # default
  volume-mountpoint: /var/opt/gitlab.*  # default
  # grafana-url: not set (none: alerts have no link to a panel)
  # runbook-url: not set (none: alerts have no link to a runbook)
  # severity: not set (the severities in docs/alerts.md)
  # label: not set (none)
  threshold:
    gitaly-down: 7m  # --alerts.threshold.gitaly-down
dashboards:
  folder: Gitaly  # default
  # tag: not set (none)
  # datasource: not set (Grafana's default Prometheus)

# database praefect at db:5432 as reader, sslmode require, address from praefect.database.url, password from --praefect.database.url
# configured storages: default on a, b
`);
  });

  test.each<[string[], string]>([
    [['--log.level=loud'], '--log.level: found "loud", expected one of debug, info, warn, error'],
    [
      ['--praefect.config-file=/gone'],
      "--praefect.config-file: Praefect's configuration /gone does not exist",
    ],
  ])('exits with code 2 for the invalid setting %j, as every command does', async (args, message) => {
    const host = testHost();
    expect(await main(['config', 'check', ...args], host)).toBe(2);
    expect(host.err()).toBe(`gitaly-exporter: one problem with the configuration\n  ${message}\n`);
    expect(host.out()).toBe('');
  });
});
