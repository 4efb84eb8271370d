/** The findings on their way out: as metrics, through the collector, by the API, on the page, in the docs. */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from '@jest/globals';
import { notApplicable, unknown } from '../../../src/lib/known.ts';
import { lintMetrics } from '../../../src/metrics/lint.ts';
import { lintBlock } from '../../../src/metrics/lint-block.ts';
import { checksRoute } from '../../../src/rules/checks/api.ts';
import { createChecksCollector } from '../../../src/rules/checks/collector.ts';
import { checksReference } from '../../../src/rules/checks/docs.ts';
import { checksOfRole, evaluate } from '../../../src/rules/checks/evaluate.ts';
import { checkIds } from '../../../src/rules/checks/ids.ts';
import { nothingKnown } from '../../../src/rules/checks/inputs.ts';
import { checkBlock, checkMetrics } from '../../../src/rules/checks/metrics.ts';
import { checksPage } from '../../../src/rules/checks/view.ts';
import type { ApiRoute } from '../../../src/server/api.ts';
import { samplesOfBlock } from '../../sources/gitaly/support.ts';
import { inputs, servers } from './change.ts';
import { captured } from './support.ts';

const good = captured('posture-good');
const defaults = captured('posture-chart-defaults');

const series = (evaluation: ReturnType<typeof evaluate>, check: string): readonly string[] => {
  const block = checkBlock(evaluation);
  expect(lintBlock(block, checkMetrics)).toEqual([]);
  return samplesOfBlock(block).filter((line) => line.includes(`check="${check}"`));
};

describe('metrics', () => {
  test('are well declared', () => {
    expect(lintMetrics(checkMetrics)).toEqual([]);
  });

  test('1 passes, 0 fails, with whom it is about', () => {
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

  test('what is not known is absent, and counted; what does not apply is only absent', () => {
    expect(series(evaluate(defaults), 'runc_version')).toEqual([
      'gitaly_server_checks_unknown{check="runc_version"} 3',
    ]);
    expect(series(evaluate(defaults), 'git_limit_as_configured')).toEqual([
      'gitaly_server_checks_unknown{check="git_limit_as_configured"} 0',
    ]);
    const nobody = samplesOfBlock(checkBlock(evaluate(nothingKnown(0, notApplicable('no Kubernetes')))));
    expect(nobody).toEqual(checkIds.map((id) => `gitaly_server_checks_unknown{check="${id}"} 0`));
  });

  test('virtual machines have a series each', () => {
    const machines = servers((_, i) => ({
      identity: { namespace: '', pod: '', node: `gitaly-${i + 1}` },
    }))(inputs(() => ({ gitalyPods: notApplicable('no Kubernetes') }))(good));
    expect(series(evaluate(machines), 'volume_room').slice(0, 2)).toEqual([
      'gitaly_server_check_passed{check="volume_room",namespace="",pod="",node="gitaly-1",workload=""} 1',
      'gitaly_server_check_passed{check="volume_room",namespace="",pod="",node="gitaly-2",workload=""} 1',
    ]);
  });

  test('agents and the exporter of the cluster tell of different checks, and together of all', () => {
    const told = (role: 'cluster' | 'agent') => evaluate(good, checksOfRole[role]).checks.map(({ id }) => id);
    expect(told('agent').filter((id) => told('cluster').includes(id))).toEqual([]);
    expect([...told('agent'), ...told('cluster')].toSorted()).toEqual(checkIds.toSorted());
    const names = samplesOfBlock(checkBlock(evaluate(good, checksOfRole.agent))).join('\n');
    expect(names).not.toContain('qos_guaranteed');
  });
});

describe('the collector', () => {
  const run = { cause: 'due', signal: new AbortController().signal } as const;

  test('gives what the checks found, as of when the snapshots were taken', async () => {
    const { collector, latest } = createChecksCollector({ inputs: async () => good });
    expect(latest()).toBeUndefined();
    const outcome = await collector.collect(run);
    expect(outcome).toMatchObject({ kind: 'data', readAt: good.now });
    expect(latest()?.at).toBe(good.now);
  });

  test('a right that is missing is unknown, not a failure of the collector, and nothing passes by it', async () => {
    const { collector } = createChecksCollector({
      inputs: async () => nothingKnown(1, unknown('pods may not be listed: grant list on pods')),
    });
    const outcome = await collector.collect(run);
    const lines = 'block' in outcome && outcome.block ? samplesOfBlock(outcome.block) : [];
    expect(lines).toEqual(checkIds.map((id) => `gitaly_server_checks_unknown{check="${id}"} 1`));
  });
});

describe('the API', () => {
  let at = good.now;
  const route: ApiRoute = checksRoute({
    checks: () => ({ latest: () => evaluate(defaults) }),
    now: () => at,
  });
  const ask = (query: Record<string, string>, of = route) =>
    of.handle({ params: {}, query, signal: new AbortController().signal });

  test('tells all of it, with the mend', async () => {
    at = defaults.now + 2000;
    const { status, json } = await ask({});
    expect(status).toBeUndefined();
    expect(json).toMatchObject({
      time: '2026-11-23T00:40:00.000Z',
      ageSeconds: 2,
      summary: { pass: 27, fail: 47, unknown: 3, notApplicable: 3 },
    });
  });

  test('filters by namespace, check and result', async () => {
    at = defaults.now;
    const { json } = await ask({ check: 'priority_class', result: 'fail', namespace: 'gitlab' });
    expect(json).toMatchObject({
      summary: { pass: 0, fail: 3, unknown: 0, notApplicable: 0 },
      checks: [{ id: 'priority_class', runbook: 'docs/checks.md#priority_class' }],
      findings: [
        {
          check: 'priority_class',
          name: 'gitlab/gl-gitaly-default-0',
          result: 'fail',
          found: 'no priorityClassName',
          mend: { helm: 'gitlab:\n  gitaly:\n    priorityClassName: gitlab-gitaly' },
        },
        { name: 'gitlab/gl-gitaly-default-1' },
        { name: 'gitlab/gl-gitaly-default-2' },
      ],
    });
    const elsewhere = await ask({ namespace: 'other', check: 'priority_class' });
    expect(elsewhere.json).toMatchObject({ findings: [] });
  });

  test.each([
    [{ check: 'qos' }, 'there is no check "qos"; there are kubernetes_version, '],
    [{ result: 'failed' }, 'there is no result "failed"; there are pass, fail, unknown'],
    [{ ns: 'gitlab' }, 'there is no filter "ns"; there are namespace, check, result'],
  ])('refuses %j, with what there is', async (query, message) => {
    const { status, json } = await ask(query as unknown as Record<string, string>);
    expect(status).toBe(400);
    expect((json as { error: string }).error).toContain(message);
  });

  test('has no answer before the first run, nor from one that is too old', async () => {
    const none: ApiRoute = checksRoute({
      checks: () => ({ latest: () => undefined }),
      now: () => 0,
    });
    expect(await ask({}, none)).toMatchObject({ status: 503 });
    const nobody: ApiRoute = checksRoute({ checks: () => undefined, now: () => 0 });
    expect(await ask({}, nobody)).toMatchObject({
      status: 404,
      json: { error: expect.stringContaining('kubernetes.enabled') },
    });
    at = defaults.now + 180_001;
    expect(await ask({})).toMatchObject({
      status: 503,
      json: { error: expect.stringContaining('last run 180 s ago') },
    });
  });
});

test('the page has warnings before advice, and passes only what all subjects follow', () => {
  const page = checksPage(evaluate(defaults), defaults.now);
  const severities = page.failing.map(({ severity }) => severity);
  expect(severities).toEqual(severities.toSorted((a, b) => (a === b ? 0 : a === 'warning' ? -1 : 1)));
  expect(page.passing).toContain('Each replica is on a node of its own');
  expect(page.passing).not.toContain('GOMEMLIMIT leaves Git its share');
  expect(page.unknown.map(({ check }) => check)).toEqual(['runc_version']);
});

describe('the docs', () => {
  const text = checksReference();

  test('have a section for each check, whose anchor is its name, with a way to mend it', () => {
    expect([...text.matchAll(/^## (\w+)$/gm)].map(([, id]) => id)).toEqual([...checkIds]);
    const sections = text.split(/^## /m).slice(1, checkIds.length + 1);
    expect(sections.filter((section) => !/To mend it:\n\n\S/.test(section))).toEqual([]);
  });

  test('have no placeholder that a browser takes for a tag', () => {
    const prose = text.replaceAll(/```.*?```|`[^`]*`|<!--.*?-->/gs, '').replaceAll('\\<', '');
    expect(prose).not.toContain('<');
  });

  test('say that GitLab calls its cluster unsuited to Kubernetes', () => {
    expect(text).toContain('calls Gitaly Cluster (Praefect) unsuited to Kubernetes');
    expect(readFileSync(new URL('../../../docs/checks.md', import.meta.url), 'utf8')).toBe(text);
  });
});
