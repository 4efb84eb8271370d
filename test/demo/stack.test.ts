/** `demo stack`: the installed programs, the files that they share with deploy/compose, and a clean end. */
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { parse } from 'yaml';
import { writeConfiguration } from '../../demo/stack/configuration.ts';
import { stackPrograms } from '../../demo/stack/programs.ts';
import { startStack } from '../../demo/stack/stack.ts';
import { testWith } from '../support/tools.ts';

jest.setTimeout(60_000);

const compose = resolve(import.meta.dirname, '../../deploy/compose');
let scratch: string;

beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'gitaly-exporter-test-'));
});
afterAll(() => rm(scratch, { recursive: true, force: true }));

const addresses = {
  exporter: '127.0.0.1:19656',
  prometheus: '127.0.0.1:19090',
  alertmanager: '127.0.0.1:19093',
  grafana: '127.0.0.1:13000',
};

describe('the configuration of the stack', () => {
  testWith('promtool')('is valid for Prometheus and Alertmanager, with every rule', async () => {
    const folder = await mkdtemp(join(scratch, 'configuration-'));
    await writeConfiguration(folder, addresses);
    const checked = spawnSync('promtool', ['check', 'config', join(folder, 'prometheus.yml')], {
      encoding: 'utf8',
    });
    expect([checked.status, checked.stderr]).toEqual([0, '']);
    expect(checked.stdout).toContain('3 rule files found');
    const amtool = spawnSync('amtool', ['check-config', join(folder, 'alertmanager.yml')], {
      encoding: 'utf8',
    });
    expect(amtool.status).toBe(0);
  });

  test('has the addresses and folders of this host in place of those of the containers', async () => {
    const folder = await mkdtemp(join(scratch, 'configuration-'));
    const environment = await writeConfiguration(folder, addresses);
    const files = [
      'prometheus.yml',
      'provisioning/datasources/gitaly-exporter.yaml',
      'provisioning/dashboards/gitaly-exporter.yaml',
    ];
    const texts = await Promise.all(files.map((file) => readFile(join(folder, file), 'utf8')));
    for (const text of [...texts, ...Object.values(environment)]) {
      expect(text).not.toMatch(/\b(exporter|prometheus|alertmanager|grafana):\d|\/etc\//);
      for (const [path] of text.matchAll(/\/[\w./-]+\/(alerts|dashboards)\b/g))
        expect(existsSync(path)).toBe(true);
    }
    expect(existsSync(environment['GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH'] ?? '')).toBe(true);
  });
});

interface Service {
  readonly build?: { readonly context: string; readonly dockerfile: string };
  readonly ports: readonly string[];
  readonly volumes?: readonly string[];
}

test('compose: every file that a container mounts exists, every port is on the loopback, every address is a service', () => {
  const { services } = parse(readFileSync(join(compose, 'compose.yaml'), 'utf8')) as {
    services: Record<string, Service>;
  };
  const names = Object.keys(services);
  expect(names).toEqual(
    ['exporter', ...stackPrograms.map(({ name }) => name)].sort(
      (a, b) => names.indexOf(a) - names.indexOf(b),
    ),
  );
  for (const { ports, volumes = [], build } of Object.values(services)) {
    for (const port of ports) expect(port).toMatch(/^127\.0\.0\.1:(\d+):\1$/);
    for (const volume of volumes.filter((each) => each.startsWith('.')))
      expect(existsSync(join(compose, volume.split(':')[0] ?? ''))).toBe(true);
    if (build !== undefined) expect(existsSync(join(compose, build.context, build.dockerfile))).toBe(true);
  }
  const prometheus = readFileSync(join(compose, 'prometheus.yml'), 'utf8');
  for (const [, name = '', port = ''] of prometheus.matchAll(/'([a-z]+):(\d+)'/g))
    expect(services[name]?.ports).toContain(`127.0.0.1:${port}:${port}`);
});

/** A program that serves HTTP 200 on the port in its arguments or variables. */
async function fake(name: string, script: string): Promise<string> {
  const folder = await mkdtemp(join(scratch, 'path-'));
  await writeFile(join(folder, name), `#!/bin/sh\n${script}\n`);
  await chmod(join(folder, name), 0o755);
  return `${folder}:${process.env['PATH'] ?? ''}`;
}

const stackFolders = (): readonly string[] =>
  readdirSync(tmpdir()).filter((name) => name.startsWith('gitaly-exporter-stack-'));
const start = (PATH: string) =>
  startStack({
    url: 'http://127.0.0.1:9656',
    env: { PATH },
    log: () => undefined,
    signal: AbortSignal.timeout(50_000),
  });

test('a program that is not installed is named, with the way to install it', async () => {
  const before = stackFolders();
  const stack = await start('/nowhere');
  expect(stack.lines).toEqual([
    ['Alertmanager', expect.stringMatching(/^not installed: .*prometheus\.io/)],
    ['Prometheus', expect.stringMatching(/^not installed: .*2\.42/)],
    ['Grafana', expect.stringMatching(/^not installed: .*grafana\.com/)],
  ]);
  await stack.stop();
  expect(stackFolders()).toEqual(before);
});

test('Grafana gets its folders and the provisioned files, and ends with the stack, whose folder is removed', async () => {
  const before = stackFolders();
  const server = join(scratch, 'server.js');
  await writeFile(
    server,
    `require('node:http')
      .createServer((_, response) => response.end(JSON.stringify(process.env)))
      .listen(process.env.GF_SERVER_HTTP_PORT, '127.0.0.1');`,
  );
  const only = await fake('grafana', `exec ${process.execPath} ${server}`);
  const stack = await start(only.split(':')[0] ?? '');
  const [, url = ''] = stack.lines.find(([title]) => title === 'Grafana') ?? [];
  const seen = (await (await fetch(`${url}api/health`)).json()) as Record<string, string>;
  expect(seen).toMatchObject({ GF_AUTH_ANONYMOUS_ENABLED: 'true', GF_SERVER_HTTP_ADDR: '127.0.0.1' });
  expect(existsSync(join(seen['GF_PATHS_PROVISIONING'] ?? '', 'datasources/gitaly-exporter.yaml'))).toBe(
    true,
  );
  await stack.stop();
  await expect(fetch(url)).rejects.toThrow();
  expect(stackFolders()).toEqual(before);
});

test('a program that does not start fails with the end of its log, and the folder is removed', async () => {
  const before = stackFolders();
  const broken = await fake('grafana', 'echo "no license for this" >&2; exit 3');
  await expect(start(broken.split(':')[0] ?? '')).rejects.toThrow(
    /Grafana did not start:\nno license for this/,
  );
  expect(stackFolders()).toEqual(before);
});
