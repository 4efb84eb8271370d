/** The findings as metrics, from the collector, in the API, on the page and in the docs. */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from '@jest/globals';
import { notApplicable, unknown } from '../../../src/lib/known.ts';
import { checkIds } from '../../../src/rules/checks/check.ts';
import { checkBlock, checkMetrics, createChecksCollector } from '../../../src/rules/checks/collector.ts';
import { checksOfRole, evaluate } from '../../../src/rules/checks/evaluate.ts';
import { nothingKnown } from '../../../src/rules/checks/inputs.ts';
import { checksReference } from '../../../src/rules/checks/reference.ts';
import { checksView } from '../../../src/rules/checks/view.ts';
import type { ApiRoute } from '../../../src/server/api.ts';
import { checksRoute } from '../../../src/server/checks-route.ts';
import { samplesOfBlock } from '../../sources/gitaly/support.ts';
import { lintBlock } from '../../support/lint-block.ts';
import { lintMetrics } from '../../support/lint-metrics.ts';
import { inputs, servers } from './change.ts';
import { captured } from './support.ts';

const good = captured('posture-good');
const defaults = captured('posture-chart-defaults');

const series = (evaluation: ReturnType<typeof evaluate>, check: string): readonly string[] => {
  const block = checkBlock(evaluation);
  expect(lintBlock(block, checkMetrics)).toEqual([]);
  return samplesOfBlock(block).filter((line) => line.includes(`check="${check}"`));
};

describe('the metrics of checks', () => {
  test('pass the lint of declarations', () => {
    expect(lintMetrics(checkMetrics)).toEqual([]);
  });

  test('are 1 for a pass and 0 for a failure, with the subject as labels', () => {
    expect(series(evaluate(good), 'qos_guaranteed')).toEqual([
      'gitaly_server_check_passed{check="qos_guaranteed",namespace="gitlab",pod="gl-gitaly-default-0",node="lab-node-4",workload="gl-gitaly-default"} 1',
      'gitaly_server_check_passed{check="qos_guaranteed",namespace="gitlab",pod="gl-gitaly-default-1",node="lab-node-2",workload="gl-gitaly-default"} 1',
      'gitaly_server_check_passed{check="qos_guaranteed",namespace="gitlab",pod="gl-gitaly-default-2",node="lab-node-3",workload="gl-gitaly-default"} 1',
      'gitaly_server_checks_unknown{check="qos_guaranteed"} 0',
    ]);
    expect(series(evaluate(defaults), 'three_praefects')).toEqual([
      'gitaly_server_check_passed{check="three_praefects",namespace="gitlab",pod="",node="",workload="gl-praefect"} 0',
      'gitaly_server_checks_unknown{check="three_praefects"} 0',
    ]);
  });

  test('are absent for an unknown result, which is counted, and for a check that does not apply', () => {
    expect(series(evaluate(defaults), 'runc_version')).toEqual([
      'gitaly_server_checks_unknown{check="runc_version"} 3',
    ]);
    expect(series(evaluate(defaults), 'git_limit_as_configured')).toEqual([
      'gitaly_server_checks_unknown{check="git_limit_as_configured"} 0',
    ]);
    const samples = samplesOfBlock(checkBlock(evaluate(nothingKnown(0, notApplicable('no Kubernetes')))));
    expect(samples).toEqual(checkIds.map((id) => `gitaly_server_checks_unknown{check="${id}"} 0`));
  });

  test('have one series per virtual machine', () => {
    const machines = servers((_, i) => ({
      identity: { namespace: '', pod: '', node: `gitaly-${i + 1}` },
    }))(inputs(() => ({ gitalyPods: notApplicable('no Kubernetes') }))(good));
    expect(series(evaluate(machines), 'volume_free_space').slice(0, 2)).toEqual([
      'gitaly_server_check_passed{check="volume_free_space",namespace="",pod="",node="gitaly-1",workload=""} 1',
      'gitaly_server_check_passed{check="volume_free_space",namespace="",pod="",node="gitaly-2",workload=""} 1',
    ]);
  });

  test('of agents and of the cluster exporter cover disjoint checks, and together all', () => {
    const idsOf = (role: 'cluster' | 'agent') =>
      evaluate(good, checksOfRole[role]).checks.map(({ id }) => id);
    expect(idsOf('agent').filter((id) => idsOf('cluster').includes(id))).toEqual([]);
    expect([...idsOf('agent'), ...idsOf('cluster')].toSorted()).toEqual(checkIds.toSorted());
    const names = samplesOfBlock(checkBlock(evaluate(good, checksOfRole.agent))).join('\n');
    expect(names).not.toContain('qos_guaranteed');
  });
});

describe('the collector of checks', () => {
  const run = { cause: 'due', signal: new AbortController().signal } as const;

  test('returns the findings with the time of the snapshots', async () => {
    const { collector, latest } = createChecksCollector({ inputs: async () => good });
    expect(latest()).toBeUndefined();
    const outcome = await collector.collect(run);
    expect(outcome).toMatchObject({ kind: 'data', readAt: good.now });
    expect(latest()?.at).toBe(good.now);
  });

  test('reports a missing permission as unknown results, not as its own failure, and no check passes', async () => {
    const { collector } = createChecksCollector({
      inputs: async () => nothingKnown(1, unknown('pods may not be listed: grant list on pods')),
    });
    const outcome = await collector.collect(run);
    const lines = 'block' in outcome && outcome.block ? samplesOfBlock(outcome.block) : [];
    expect(lines).toEqual(checkIds.map((id) => `gitaly_server_checks_unknown{check="${id}"} 1`));
  });
});

describe('the API of checks', () => {
  let at = good.now;
  const route: ApiRoute = checksRoute({
    checks: () => ({ latest: () => evaluate(defaults) }),
    now: () => at,
  });
  const request = (query: Record<string, string>, of = route) => of.handle({ params: {}, query });

  test('returns all findings with a summary', async () => {
    at = defaults.now + 2000;
    const { status, json } = await request({});
    expect(status).toBeUndefined();
    expect(json).toMatchObject({
      time: '2026-11-23T00:40:00.000Z',
      ageSeconds: 2,
      summary: { pass: 27, fail: 47, unknown: 3, notApplicable: 3 },
    });
  });

  test('filters by namespace, check and result', async () => {
    at = defaults.now;
    const { json } = await request({ check: 'priority_class', result: 'fail', namespace: 'gitlab' });
    expect(json).toMatchObject({
      summary: { pass: 0, fail: 3, unknown: 0, notApplicable: 0 },
      checks: [{ id: 'priority_class', runbook: 'docs/checks.md#priority_class' }],
      findings: [
        {
          check: 'priority_class',
          subject: 'gitlab/gl-gitaly-default-0',
          result: 'fail',
          detail: 'no priorityClassName',
          fixes: [
            { kind: 'helm', text: 'gitlab:\n  gitaly:\n    priorityClassName: gitlab-gitaly' },
            { kind: 'kubectl' },
            { kind: 'text' },
          ],
        },
        { subject: 'gitlab/gl-gitaly-default-1' },
        { subject: 'gitlab/gl-gitaly-default-2' },
      ],
    });
    const elsewhere = await request({ namespace: 'other', check: 'priority_class' });
    expect(elsewhere.json).toMatchObject({ findings: [] });
  });

  test.each([
    [{ check: 'qos' }, 'unknown check "qos"; expected one of kubernetes_version, '],
    [{ result: 'failed' }, 'unknown result "failed"; expected one of pass, fail, unknown'],
    [{ ns: 'gitlab' }, 'unknown filter "ns"; expected namespace, check or result'],
  ])('rejects %j, and lists what is valid', async (query, message) => {
    const { status, json } = await request(query as unknown as Record<string, string>);
    expect(status).toBe(400);
    expect((json as { error: string }).error).toContain(message);
  });

  test('responds with an error before the first run, and when the last one is stale', async () => {
    const none: ApiRoute = checksRoute({
      checks: () => ({ latest: () => undefined }),
      now: () => 0,
    });
    expect(await request({}, none)).toMatchObject({ status: 503 });
    const unconfigured: ApiRoute = checksRoute({ checks: () => undefined, now: () => 0 });
    expect(await request({}, unconfigured)).toMatchObject({
      status: 404,
      json: { error: expect.stringContaining('kubernetes.enabled') },
    });
    at = defaults.now + 180_001;
    expect(await request({})).toMatchObject({
      status: 503,
      json: { error: expect.stringContaining('last ran 180 s ago') },
    });
  });
});

test('the page lists warnings first, and a check as passing only if all subjects pass', () => {
  const page = checksView(evaluate(defaults), defaults.now);
  const severities = page.failing.map(({ severity }) => severity);
  expect(severities).toEqual(severities.toSorted((a, b) => (a === b ? 0 : a === 'warning' ? -1 : 1)));
  expect(page.passing).toContain('Each replica runs on a node of its own');
  expect(page.passing).not.toContain("GOMEMLIMIT leaves room for Git's memory");
  expect(page.unknown.map(({ check }) => check)).toEqual(['runc_version']);
});

describe('docs/checks.md', () => {
  const text = checksReference();

  test('has a section for each check, with its id as the anchor and with a fix', () => {
    expect([...text.matchAll(/^## (\w+)$/gm)].map(([, id]) => id)).toEqual([...checkIds]);
    const sections = text.split(/^## /m).slice(1, checkIds.length + 1);
    expect(sections.filter((section) => !/Fix:\n\n\S/.test(section))).toEqual([]);
  });

  test('has no placeholder that a browser would parse as a tag', () => {
    const prose = text.replaceAll(/```.*?```|`[^`]*`|<!--.*?-->/gs, '').replaceAll('\\<', '');
    expect(prose).not.toContain('<');
  });

  test('states that GitLab calls Gitaly Cluster unsuited to Kubernetes', () => {
    expect(text).toContain('calls Gitaly Cluster (Praefect) unsuited to Kubernetes');
    expect(readFileSync(new URL('../../../docs/checks.md', import.meta.url), 'utf8')).toBe(text);
  });
});
