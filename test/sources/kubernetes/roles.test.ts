/** An agent on each node and an exporter of the cluster: no series is told by both. docs/kubernetes-roles.md. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { cgroupSection } from '../../../src/config/sections/cgroup.ts';
import { kubernetesRule, kubernetesSection } from '../../../src/config/sections/kubernetes.ts';
import { namedSettings, printedDefault } from '../../../src/config/setting.ts';
import type { Metric } from '../../../src/metrics/metric.ts';
import { checks } from '../../../src/rules/checks/definitions/index.ts';
import { checksOfRole } from '../../../src/rules/checks/evaluate.ts';
import { createEventLog } from '../../../src/scheduler/event-log.ts';
import { bucketMetrics, cgroupSelfMetrics, levelsMetrics } from '../../../src/sources/cgroup/metrics.ts';
import { gitalyMetrics } from '../../../src/sources/gitaly/metrics.ts';
import { kubernetesMetrics } from '../../../src/sources/kubernetes/metrics.ts';
import { createKubernetesRoom } from '../../../src/sources/kubernetes/source.ts';
import { maintenanceMetrics } from '../../../src/sources/maintenance/source.ts';
import { mirrorMetrics } from '../../../src/sources/praefect/mirror/metrics.ts';
import { verificationMetrics } from '../../../src/sources/praefect/mirror/verification.ts';
import { praefectQueryMetrics } from '../../../src/sources/praefect/queries/index.ts';
import { createManualClock } from '../../support/manual-clock.ts';
import { createFakeStores, isGitaly } from './support.ts';

/** Of the Kubernetes room, as it is made for the role. */
const roomMetrics = (role: 'cluster' | 'agent'): readonly Metric[] => {
  const clock = createManualClock();
  const room = createKubernetesRoom({
    ...{ stores: createFakeStores(), role, isGitaly, clock, events: createEventLog(clock) },
  });
  return room.collectors.flatMap(({ metrics }) => metrics);
};

const agent: readonly Metric[] = [...levelsMetrics, ...bucketMetrics, ...roomMetrics('agent')];
const cluster: readonly Metric[] = [
  ...roomMetrics('cluster'),
  ...gitalyMetrics,
  ...maintenanceMetrics,
  ...mirrorMetrics,
  ...verificationMetrics,
  ...praefectQueryMetrics,
];
const names = (metrics: readonly Metric[]): readonly string[] => metrics.map(({ name }) => name);

describe('agent and cluster', () => {
  test('tell no metric both, of those that are about Gitaly', () => {
    const ofAgent = new Set(names(agent));
    expect(names(cluster).filter((name) => ofAgent.has(name))).toEqual([]);
    expect(ofAgent.size).toBeGreaterThan(50);
    expect(names(cluster)).toEqual(expect.arrayContaining([...names(kubernetesMetrics)]));
  });

  test('share one metric, of the recommendations, and of it no check', () => {
    const of = (role: 'cluster' | 'agent') => checks.filter(checksOfRole[role]).map(({ id }) => id);
    expect(of('agent').filter((id) => of('cluster').includes(id))).toEqual([]);
    expect([...of('agent'), ...of('cluster')].sort()).toEqual(checks.map(({ id }) => id).sort());
    expect(of('agent').length).toBeGreaterThan(0);
  });

  test('beside that only of themselves: each exporter is an instance of its own', () => {
    for (const { name } of cgroupSelfMetrics) expect(name).toMatch(/^gitaly_exporter_/);
  });

  const defaults = Object.fromEntries(
    namedSettings([kubernetesSection, cgroupSection]).map((named) => [named.name, printedDefault(named)]),
  );
  const ruled = (role: 'all' | 'cluster' | 'agent', cgroup: boolean) =>
    kubernetesRule({
      kubernetes: { enabled: true, role, node: 'n1' },
      cgroup: { enabled: cgroup },
    } as Parameters<typeof kubernetesRule>[0]);

  test('cannot be mixed by their settings', () => {
    expect(defaults['kubernetes.role']).toBe('all');
    expect(ruled('cluster', true)).toContain('cgroups are what agents tell');
    expect(ruled('agent', false)).toContain("an agent tells of its node's cgroups");
    expect([ruled('cluster', false), ruled('agent', true), ruled('all', true)]).toEqual([
      ...[undefined, undefined, undefined],
    ]);
  });
});

test('docs/kubernetes-roles.md names every metric family by who tells it', () => {
  const text = readFileSync(join(import.meta.dirname, '../../../docs/kubernetes-roles.md'), 'utf8');
  const [, agentCell = '', clusterCell = ''] = /\| `gitaly_server_\*` \|([^|]*)\|([^|]*)\|/.exec(text) ?? [];
  const told = (cell: string): readonly RegExp[] =>
    [...cell.matchAll(/`([^`]+)`/g)].map(
      ([, glob = '']) => new RegExp(`^gitaly_server_${glob.replaceAll('*', '.*')}$`),
    );
  const server = (metrics: readonly Metric[]) =>
    names(metrics).filter((name) => name.startsWith('gitaly_server_'));
  const untold = (metrics: readonly Metric[], globs: readonly RegExp[]) =>
    server(metrics).filter((name) => !globs.some((glob) => glob.test(name)));
  expect(untold(agent, told(agentCell))).toEqual([]);
  expect(untold(cluster, told(clusterCell))).toEqual([]);
  expect(server(cluster).filter((name) => told(agentCell).some((glob) => glob.test(name)))).toEqual([]);
});
