/** The example for Alertmanager, in a real one: what is routed where, and what silences what. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { alertGroups } from '../../alerts/index.ts';
import { defaultMonitoringSettings } from '../../src/monitoring/settings.ts';
import { hasTool, testWith } from '../support/tools.ts';

const configuration = join(import.meta.dirname, '../../alerts/alertmanager.example.yaml');
const daemon = ['prometheus-alertmanager', 'alertmanager'].find(hasTool) ?? 'prometheus-alertmanager';

testWith('amtool')('amtool finds nothing wrong with it', () => {
  const { status, stdout } = spawnSync('amtool', ['check-config', configuration], { encoding: 'utf8' });
  expect({ status, stdout }).toEqual({ status: 0, stdout: expect.stringContaining('SUCCESS') });
});

const receivers = [
  ['critical', 'on-call'],
  ['warning', 'tickets'],
  ['info', 'nobody'],
] as const;
for (const [severity, receiver] of receivers) {
  testWith('amtool')(`${severity} goes to ${receiver}`, () => {
    const args = ['config', 'routes', 'test', `--config.file=${configuration}`, `severity=${severity}`];
    const { status, stdout } = spawnSync('amtool', args, { encoding: 'utf8' });
    expect({ status, receiver: stdout.trim() }).toEqual({ status: 0, receiver });
  });
}

test('what it silences are alerts that exist', () => {
  const groups = alertGroups(defaultMonitoringSettings);
  const names = new Set(groups.flatMap(({ alerts }) => alerts.map(({ name }) => name)));
  const mentioned = groups.flatMap(({ inhibitions }) =>
    inhibitions.flatMap(({ source, target }) => [...source.names, ...target.names]),
  );
  expect(mentioned.filter((name) => !names.has(name))).toEqual([]);
});

type Labels = Readonly<Record<string, string>>;

testWith(daemon)(
  'one incident is one alert: the others are silenced while its cause fires, in its own cluster alone',
  async () => {
    const cluster = (name: string): Labels => ({ cluster: name, job: 'gitaly-exporter' });
    const inDefault = (name: string): Labels => ({ ...cluster(name), virtual_storage: 'default' });
    const pod = (name: string): Labels => ({ namespace: 'gitlab', pod: name, node: 'worker-1' });
    const alerts: readonly Labels[] = [
      { alertname: 'PraefectDatabaseUnreachable', severity: 'critical', ...cluster('blue') },
      { alertname: 'GitalyExporterCollectorFailing', severity: 'warning', ...cluster('blue'), instance: 'a' },
      { alertname: 'PraefectRepositoriesUnavailable', severity: 'critical', ...inDefault('blue') },
      {
        alertname: 'GitalyExporterCollectorFailing',
        severity: 'warning',
        ...cluster('green'),
        instance: 'b',
      },
      { alertname: 'PraefectQuorumLost', severity: 'critical', ...inDefault('green') },
      { alertname: 'PraefectReplicaStuck', severity: 'warning', ...inDefault('green'), storage: 'gitaly-1' },
      {
        alertname: 'PraefectReplicaStuck',
        severity: 'warning',
        ...inDefault('green'),
        virtual_storage: 'other',
        storage: 'x',
      },
      { alertname: 'PraefectFailover', severity: 'critical', ...inDefault('red'), storage: 'gitaly-1' },
      { alertname: 'PraefectFailover', severity: 'info', ...inDefault('red'), storage: 'gitaly-1' },
      { alertname: 'PraefectFailover', severity: 'info', ...inDefault('red'), storage: 'gitaly-2' },
      {
        alertname: 'PraefectReplicationStalled',
        severity: 'critical',
        ...inDefault('red'),
        storage: 'gitaly-1',
      },
      {
        alertname: 'PraefectReplicationStalled',
        severity: 'critical',
        ...inDefault('red'),
        storage: 'gitaly-2',
      },
      { alertname: 'PraefectReplicaStuck', severity: 'warning', ...inDefault('red'), storage: 'gitaly-2' },
      { alertname: 'PraefectReplicaStuck', severity: 'warning', ...inDefault('red'), storage: 'gitaly-3' },
      // Of a Gitaly that is killed again and again, and of another one on the same node.
      { alertname: 'GitalyOOMKilled', severity: 'critical', ...pod('gitaly-0') },
      { alertname: 'GitalyOOMKilled', severity: 'warning', ...pod('gitaly-0'), level: 'pod' },
      { alertname: 'GitalyMemoryNearLimit', severity: 'warning', ...pod('gitaly-0'), level: 'git' },
      { alertname: 'GitalyMemoryNearLimit', severity: 'warning', ...pod('gitaly-1'), level: 'git' },
      { alertname: 'GitalyMemoryNearLimit', severity: 'warning', ...pod('gitaly-1'), level: 'pod' },
      { alertname: 'GitalyGitOOMKilled', severity: 'warning', ...pod('gitaly-1'), level: 'git' },
    ];
    const silenced = await withAlertmanager(async (url) => {
      await fetch(`${url}/api/v2/alerts`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(alerts.map((labels) => ({ labels }))),
      });
      // Its groups are formed a moment after the alerts arrive, and inhibition is decided then.
      return until(async () => {
        const found = (await (await fetch(`${url}/api/v2/alerts`)).json()) as {
          labels: Labels;
          status: { state: string; inhibitedBy: string[] };
        }[];
        const judged = found.filter(({ status }) => status.state !== 'unprocessed');
        return judged.length === alerts.length
          ? judged.filter(({ status }) => status.inhibitedBy.length > 0).map(({ labels }) => labels)
          : undefined;
      });
    });
    const key = (labels: Labels) => JSON.stringify(Object.entries(labels).sort());
    expect(silenced.map(key).sort()).toEqual(
      [1, 2, 5, 8, 10, 12, 15, 16, 17].map((index) => key(alerts[index]!)).sort(),
    );
  },
  90_000,
);

async function withAlertmanager<T>(body: (url: string) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), 'alertmanager-'));
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const process: ChildProcess = spawn(
    daemon,
    [
      `--config.file=${configuration}`,
      `--storage.path=${folder}`,
      `--web.listen-address=127.0.0.1:${port}`,
      '--cluster.listen-address=',
    ],
    { stdio: 'ignore' },
  );
  const ended = once(process, 'close');
  try {
    await until(async () => {
      const answer = await fetch(`${url}/-/ready`).catch(() => undefined);
      return answer?.ok ? true : undefined;
    });
    return await body(url);
  } finally {
    process.kill();
    await ended;
    rmSync(folder, { recursive: true });
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}

/** Asks again until there is an answer, for a minute at most. */
async function until<T>(ask: () => Promise<T | undefined>): Promise<T> {
  const deadline = performance.now() + 60_000;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined) return answer;
    if (performance.now() > deadline) throw new Error('no answer within a minute');
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
