/** An agent on each node and the cluster's exporter have no series in common; see docs/kubernetes-roles.md. */
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
import { chartComponentOf } from '../../../src/sources/kubernetes/gitaly-objects.ts';
import { kubernetesMetrics } from '../../../src/sources/kubernetes/metrics.ts';
import { createKubernetesSource } from '../../../src/sources/kubernetes/source.ts';
import { maintenanceMetrics } from '../../../src/sources/maintenance/source.ts';
import { mirrorMetrics } from '../../../src/sources/praefect/mirror/metrics.ts';
import { verificationMetrics } from '../../../src/sources/praefect/mirror/verification.ts';
import { praefectQueryMetrics } from '../../../src/sources/praefect/source.ts';
import { createManualClock } from '../../support/manual-clock.ts';
import { createFakeStores } from './support.ts';

const kubernetesMetricsOf = (role: 'cluster' | 'agent'): readonly Metric[] => {
  const clock = createManualClock();
  const source = createKubernetesSource({
    ...{
      stores: createFakeStores(),
      role,
      componentOf: chartComponentOf,
      clock,
      events: createEventLog(clock),
    },
    reportsServerInfo: false,
  });
  return source.collectors.flatMap(({ metrics }) => metrics);
};

const agent: readonly Metric[] = [...levelsMetrics, ...bucketMetrics, ...kubernetesMetricsOf('agent')];
const cluster: readonly Metric[] = [
  ...kubernetesMetricsOf('cluster'),
  ...gitalyMetrics,
  ...maintenanceMetrics,
  ...mirrorMetrics,
  ...verificationMetrics,
  ...praefectQueryMetrics,
];
const names = (metrics: readonly Metric[]): readonly string[] => metrics.map(({ name }) => name);

describe('the roles agent and cluster', () => {
  test('have no metric about Gitaly in common', () => {
    const ofAgent = new Set(names(agent));
    expect(names(cluster).filter((name) => ofAgent.has(name))).toEqual([]);
    expect(ofAgent.size).toBeGreaterThan(50);
    expect(names(cluster)).toEqual(expect.arrayContaining([...names(kubernetesMetrics)]));
  });

  test('share the metric of the checks, but no check', () => {
    const of = (role: 'cluster' | 'agent') => checks.filter(checksOfRole[role]).map(({ id }) => id);
    expect(of('agent').filter((id) => of('cluster').includes(id))).toEqual([]);
    expect([...of('agent'), ...of('cluster')].sort()).toEqual(checks.map(({ id }) => id).sort());
    expect(of('agent').length).toBeGreaterThan(0);
  });

  test('both expose metrics about themselves, as separate instances', () => {
    for (const { name } of cgroupSelfMetrics) expect(name).toMatch(/^gitaly_exporter_/);
  });

  const defaults = Object.fromEntries(
    namedSettings([kubernetesSection, cgroupSection]).map((named) => [named.name, printedDefault(named)]),
  );
  const ruleFor = (role: 'all' | 'cluster' | 'agent', cgroup: boolean) =>
    kubernetesRule({
      kubernetes: { enabled: true, role, node: 'n1' },
      cgroup: { enabled: cgroup },
    } as Parameters<typeof kubernetesRule>[0]);

  test('cannot be combined by settings', () => {
    expect(defaults['kubernetes.role']).toBe('all');
    expect(ruleFor('cluster', true)).toContain('agents report cgroups');
    expect(ruleFor('agent', false)).toContain("an agent reports its node's cgroups");
    expect([ruleFor('cluster', false), ruleFor('agent', true), ruleFor('all', true)]).toEqual([
      ...[undefined, undefined, undefined],
    ]);
  });
});

test('docs/kubernetes-roles.md lists every metric family under the role that reports it', () => {
  const text = readFileSync(join(import.meta.dirname, '../../../docs/kubernetes-roles.md'), 'utf8');
  const [, agentCell = '', clusterCell = ''] = /\| `gitaly_server_\*` \|([^|]*)\|([^|]*)\|/.exec(text) ?? [];
  const globsIn = (cell: string): readonly RegExp[] =>
    [...cell.matchAll(/`([^`]+)`/g)].map(
      ([, glob = '']) => new RegExp(`^gitaly_server_${glob.replaceAll('*', '.*')}$`),
    );
  const server = (metrics: readonly Metric[]) =>
    names(metrics).filter((name) => name.startsWith('gitaly_server_'));
  const missing = (metrics: readonly Metric[], globs: readonly RegExp[]) =>
    server(metrics).filter((name) => !globs.some((glob) => glob.test(name)));
  expect(missing(agent, globsIn(agentCell))).toEqual([]);
  expect(missing(cluster, globsIn(clusterCell))).toEqual([]);
  expect(server(cluster).filter((name) => globsIn(agentCell).some((glob) => glob.test(name)))).toEqual([]);
});
