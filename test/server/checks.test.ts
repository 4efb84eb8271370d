/** The page's part on recommendations, from real findings to its text. */
import { expect, test } from '@jest/globals';
import { evaluate } from '../../src/rules/checks/evaluate.ts';
import { checksPage } from '../../src/rules/checks/view.ts';
import { assess } from '../../src/server/assessment.ts';
import { renderPage } from '../../src/server/page/page.ts';
import type { ChecksView } from '../../src/server/status-view.ts';
import { captured } from '../rules/checks/support.ts';
import { healthy } from './support/status-fixtures.ts';

const evaluation = evaluate(captured('posture-chart-defaults'));
const now = evaluation.at + 12_000;

const html = (posture: ChecksView | undefined, at = now): string => {
  const status = { ...healthy, checks: posture };
  return renderPage({ status, assessment: assess(status, at), telemetryPath: '/metrics', now: at });
};
const text = (posture: ChecksView | undefined, at = now): string =>
  (/<section class="posture".*?<\/section>/s.exec(html(posture, at))?.[0] ?? '')
    .replace(/<[^>]*>/g, ' ')
    .replaceAll('&#39;', "'")
    .replaceAll('&quot;', '"')
    .replace(/\s+/g, ' ');

test('without checks the page says nothing of them', () => {
  expect(text(undefined)).toBe('');
});

test('what fails stands on top, with what was found of whom and how to mend it', () => {
  const said = text(checksPage(evaluation, now));
  expect(said).toContain('Recommendations 47 fail, 3 are not known, 27 pass; looked at 12 s ago.');
  expect(said).toContain(
    '✕ not followed containerd is 2.1.0 or later 3 times cgroup_writable, by which an unprivileged Gitaly may write its own cgroups, came with containerd 2.1.0. gitlab/gl-gitaly-default-0 : containerd://1.7.27',
  );
  expect(said).toContain(
    `Expected: securityContext.fsGroupChangePolicy: OnRootMismatch. Values of the GitLab chart: gitlab: gitaly: securityContext: fsGroupChangePolicy: OnRootMismatch In a shell: kubectl -n gitlab patch statefulset gl-gitaly-default -p '{"spec":{"template":{"spec":{"securityContext":{"fsGroupChangePolicy":"OnRootMismatch"}}}}}' More: docs/checks.md#fs_group_change_policy`,
  );
  const order = ['✕ not followed', '✕ advice not followed', '? not known', '✓ pass'].map((tag) =>
    said.indexOf(tag),
  );
  expect(order).toEqual(order.toSorted((a, b) => a - b));
  expect(order).not.toContain(-1);
});

test('what is not known says why', () => {
  expect(text(checksPage(evaluation, now))).toContain(
    '? not known runc is 1.1.9 or later gitlab/gl-gitaly-default-0, gitlab/gl-gitaly-default-1, gitlab/gl-gitaly-default-2 : nobody told',
  );
});

test('findings that are too old are withdrawn, and none yet are none', () => {
  const later = evaluation.at + 180_001;
  const old = text(checksPage(evaluation, later), later);
  expect(old).toContain('too old, withdrawn The checks were last run 3 min ago');
  expect(old).not.toMatch(/pass|fail/);
  expect(text(checksPage(undefined, now))).toContain('The checks have not been run yet.');
});

test('every id on the page is there once', () => {
  const ids = [...html(checksPage(evaluation, now)).matchAll(/ id="([^"]*)"/g)].map(([, id]) => id);
  expect(new Set(ids).size).toBe(ids.length);
});
