/** The recommendations on the page, from real findings to its text. */
import { expect, test } from '@jest/globals';
import { evaluate } from '../../src/rules/checks/evaluate.ts';
import { type ChecksView, checksView } from '../../src/rules/checks/view.ts';
import { renderPage } from '../../src/server/page/page.ts';
import { captured } from '../rules/checks/support.ts';
import { healthy } from './support/status-fixtures.ts';

const evaluation = evaluate(captured('posture-chart-defaults'));
const now = evaluation.at + 12_000;

const html = (checks: ChecksView | undefined, at = now): string => {
  const status = { ...healthy, checks };
  return renderPage({ status, telemetryPath: '/metrics', now: at });
};
const text = (checks: ChecksView | undefined, at = now): string =>
  (/<section class="checks".*?<\/section>/s.exec(html(checks, at))?.[0] ?? '')
    .replace(/<[^>]*>/g, ' ')
    .replaceAll('&#39;', "'")
    .replaceAll('&quot;', '"')
    .replace(/\s+/g, ' ');

test('the page has no recommendations where no checks run', () => {
  expect(text(undefined)).toBe('');
});

test('failing checks come first, with the affected objects, what was found and the fix', () => {
  const shown = text(checksView(evaluation, now));
  expect(shown).toContain('Recommendations 47 failing, 3 unknown, 27 passing; checked 12 s ago.');
  expect(shown).toContain(
    '✕ failing containerd is 2.1.0 or later 3 objects containerd 2.1.0 added cgroup_writable, which lets an unprivileged Gitaly write its own cgroups. gitlab/gl-gitaly-default-0 : containerd://1.7.27',
  );
  expect(shown).toContain(
    `Expected: securityContext.fsGroupChangePolicy: OnRootMismatch, where there is an fsGroup. Values of the GitLab chart: gitlab: gitaly: securityContext: fsGroupChangePolicy: OnRootMismatch Commands: kubectl -n gitlab patch statefulset gl-gitaly-default -p '{"spec":{"template":{"spec":{"securityContext":{"fsGroupChangePolicy":"OnRootMismatch"}}}}}' Documentation: docs/checks.md#fs_group_change_policy`,
  );
  const order = ['✕ failing', '✕ advice', '? unknown', '✓ passing'].map((tag) => shown.indexOf(tag));
  expect(order).toEqual(order.toSorted((a, b) => a - b));
  expect(order).not.toContain(-1);
});

test('an unknown check has a reason', () => {
  expect(text(checksView(evaluation, now))).toContain(
    '? unknown 1 check runc is 1.1.9 or later gitlab/gl-gitaly-default-0, gitlab/gl-gitaly-default-1, gitlab/gl-gitaly-default-2: not reported',
  );
});

test('stale results are not shown, and checks that have not run show that', () => {
  const later = evaluation.at + 180_001;
  const old = text(checksView(evaluation, later), later);
  expect(old).toContain('! stale The checks last ran 3 min ago');
  expect(old).not.toMatch(/pass|fail/);
  expect(text(checksView(undefined, now))).toContain('The checks have not run yet.');
});

test('every id on the page is unique', () => {
  const ids = [...html(checksView(evaluation, now)).matchAll(/ id="([^"]*)"/g)].map(([, id]) => id);
  expect(new Set(ids).size).toBe(ids.length);
});
