/** The example for Alertmanager in a real Alertmanager: routes and inhibitions. */
import { spawnSync } from 'node:child_process';
import { expect, test } from '@jest/globals';
import { alertGroups } from '../../alerts/index.ts';
import { inhibitions } from '../../alerts/inhibitions.ts';
import { alertmanagerProgram, exampleConfiguration, startAlertmanager } from '../../replay/alertmanager.ts';
import { defaultMonitoringSettings } from '../../src/monitoring/settings.ts';
import { testWith } from '../support/tools.ts';

testWith('amtool')('amtool accepts it', () => {
  const { status, stdout } = spawnSync('amtool', ['check-config', exampleConfiguration], {
    encoding: 'utf8',
  });
  expect({ status, stdout }).toEqual({ status: 0, stdout: expect.stringContaining('SUCCESS') });
});

const receivers = [
  ['critical', 'on-call'],
  ['warning', 'tickets'],
  ['info', 'none'],
] as const;
for (const [severity, receiver] of receivers) {
  testWith('amtool')(`${severity} is routed to ${receiver}`, () => {
    const args = [
      'config',
      'routes',
      'test',
      `--config.file=${exampleConfiguration}`,
      `severity=${severity}`,
    ];
    const { status, stdout } = spawnSync('amtool', args, { encoding: 'utf8' });
    expect({ status, receiver: stdout.trim() }).toEqual({ status: 0, receiver });
  });
}

test('inhibitions name existing alerts, with labels that both sides have', () => {
  const alerts = alertGroups(defaultMonitoringSettings).flatMap((group) => group.alerts);
  const labelsOf = (name: string): readonly string[] =>
    alerts
      .filter((alert) => alert.name === name)
      .flatMap(({ expression, labels }) => [...expression.labels, ...Object.keys(labels)]);
  for (const { equal, source, target } of inhibitions)
    for (const name of [...source.names, ...target.names])
      expect({ name, missing: equal.filter((label) => !labelsOf(name).includes(label)) }).toEqual({
        name,
        missing: [],
      });
});

test('no alert inhibits itself, and no two inhibit each other', () => {
  const pairs = inhibitions.flatMap(({ source, target }) =>
    source.names.flatMap((from) => target.names.map((to) => [from, to] as const)),
  );
  const mutual = pairs.filter(
    ([from, to]) => from !== to && pairs.some(([other, another]) => other === to && another === from),
  );
  expect(mutual).toEqual([]);
});

type Labels = Readonly<Record<string, string>>;

testWith(alertmanagerProgram)(
  'one incident is one page: consequences are inhibited while their cause fires, in its own scope only',
  async () => {
    const cluster = (name: string): Labels => ({ cluster: name, namespace: 'monitoring' });
    const inDefault = (name: string): Labels => ({ ...cluster(name), virtual_storage: 'default' });
    const pod = (name: string): Labels => ({ namespace: 'gitlab', pod: name, node: 'worker-1' });
    const served = (name: string, storage: string): Labels => ({
      namespace: 'gitlab',
      pod: name,
      virtual_storage: 'default',
      storage,
    });
    const critical = (alertname: string, labels: Labels): Labels => ({
      alertname,
      severity: 'critical',
      ...labels,
    });
    const warning = (alertname: string, labels: Labels): Labels => ({
      alertname,
      severity: 'warning',
      ...labels,
    });
    const notified: readonly Labels[] = [
      critical('PraefectDatabaseUnreachable', cluster('blue')),
      warning('GitalyExporterCollectorFailing', { ...cluster('green'), job: 'e', instance: 'b' }),
      critical('PraefectQuorumLost', cluster('green')),
      warning('PraefectReplicaStuck', { ...inDefault('red'), virtual_storage: 'other', storage: 'x' }),
      // A dead Gitaly behind Praefect, and one without Praefect in the same cluster.
      critical('PraefectStorageUnhealthy', { ...inDefault('red'), storage: 'gitaly-1' }),
      critical('GitalyDown', { cluster: 'red', node: 'standalone', storage: 'standalone' }),
      // Its storage is healthy: Praefect can connect to a Gitaly whose pod is not Ready.
      critical('GitalyDown', { cluster: 'red', ...served('gl-gitaly-8', 'gitaly-3') }),
      critical('PraefectReplicationStalled', { ...inDefault('red'), storage: 'gitaly-2' }),
      critical('GitalyOOMKilledRepeatedly', pod('gitaly-0')),
      warning('GitalyMemoryNearLimit', { ...pod('gitaly-1'), level: 'pod' }),
      warning('GitalyGitOOMKilled', { ...pod('gitaly-1'), level: 'git' }),
    ];
    const inhibited: readonly Labels[] = [
      warning('GitalyExporterCollectorFailing', { ...cluster('blue'), job: 'e', instance: 'a' }),
      critical('PraefectRepositoriesUnavailable', inDefault('blue')),
      critical('PraefectQuorumLost', cluster('blue')),
      warning('PraefectReplicaStuck', { ...inDefault('green'), storage: 'gitaly-1' }),
      critical('PraefectRepositoriesUnavailable', inDefault('red')),
      critical('PraefectSingleCopy', inDefault('red')),
      critical('PraefectReplicationStalled', { ...inDefault('red'), storage: 'gitaly-1' }),
      critical('GitalyDown', { cluster: 'red', node: 'gitaly-1', storage: 'gitaly-1' }),
      critical('GitalyDown', { cluster: 'red', namespace: 'gitlab', pod: 'gitaly-1', storage: 'gitaly-1' }),
      // Pod and storage have different names, which gitaly_storage_info maps.
      critical('GitalyDown', { cluster: 'red', ...served('gl-gitaly-7', 'gitaly-1') }),
      { ...inDefault('red'), alertname: 'PraefectFailover', severity: 'info', storage: 'gitaly-1' },
      warning('PraefectReplicaStuck', { ...inDefault('red'), storage: 'gitaly-2' }),
      warning('GitalyOOMKilled', { ...pod('gitaly-0'), level: 'pod' }),
      warning('GitalyMemoryNearLimit', { ...pod('gitaly-0'), level: 'git' }),
      warning('GitalyMemoryNearLimit', { ...pod('gitaly-1'), level: 'git' }),
    ];
    const alerts = [...notified, ...inhibited];
    const alertmanager = await startAlertmanager(exampleConfiguration);
    try {
      await alertmanager.send(alerts.map((labels) => ({ labels })));
      // Alertmanager decides on inhibition when it creates the groups, a moment after the alerts arrive.
      const found = await until(async () => {
        const processed = (await alertmanager.list()).filter(({ status }) => status.state !== 'unprocessed');
        return processed.length === alerts.length
          ? processed.filter(({ status }) => status.inhibitedBy.length > 0).map(({ labels }) => labels)
          : undefined;
      });
      const key = (labels: Labels) => JSON.stringify(Object.entries(labels).sort());
      expect(found.map(key).sort()).toEqual(inhibited.map(key).sort());
    } finally {
      await alertmanager.stop();
    }
  },
  90_000,
);

testWith(alertmanagerProgram)(
  'drops of the Gitalys of a namespace are one page, those of another namespace and an OOM loop are others',
  async () => {
    const of = (alertname: string, namespace: string, pod: string): Labels => ({
      ...{ alertname, severity: 'critical', cluster: 'red', namespace, pod, node: 'worker-1' },
    });
    const drops = (namespace: string, pod: string): Labels =>
      of('GitalyRequestsDroppedQueueFull', namespace, pod);
    const sent = [
      ...['gitaly-0', 'gitaly-1', 'gitaly-2'].map((pod) => drops('gitlab', pod)),
      drops('other', 'gitaly-0'),
      of('GitalyOOMKilledRepeatedly', 'gitlab', 'gitaly-3'),
    ];
    const alertmanager = await startAlertmanager(exampleConfiguration);
    try {
      await alertmanager.send(sent.map((labels) => ({ labels })));
      const groups = await until(async () => {
        const found = await alertmanager.groups();
        return found.flatMap(({ alerts }) => alerts).length === sent.length ? found : undefined;
      });
      const pods = groups.map(({ alerts, labels, receiver }) => ({
        scope: labels,
        receiver: receiver.name,
        pods: alerts.map((alert) => alert.labels['pod']).sort(),
      }));
      const page = (scope: Labels, ...names: readonly string[]) => ({
        ...{ scope: { cluster: 'red', ...scope }, receiver: 'on-call', pods: names },
      });
      expect(pods).toHaveLength(3);
      expect(pods).toEqual(
        expect.arrayContaining([
          page({ namespace: 'gitlab' }, 'gitaly-0', 'gitaly-1', 'gitaly-2'),
          page({ namespace: 'other' }, 'gitaly-0'),
          page({ namespace: 'gitlab', pod: 'gitaly-3' }, 'gitaly-3'),
        ]),
      );
    } finally {
      await alertmanager.stop();
    }
  },
  90_000,
);

/** Polls until there is a result, for a minute at most. */
async function until<T>(poll: () => Promise<T | undefined>): Promise<T> {
  const deadline = performance.now() + 60_000;
  for (;;) {
    const result = await poll();
    if (result !== undefined) return result;
    if (performance.now() > deadline) throw new Error('no result within a minute');
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
