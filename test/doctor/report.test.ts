/** What doctor prints: order, widths, colors, and that control characters never reach the terminal. */
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { accessChecks, type DoctorFinding, notPassed, passed } from '../../src/doctor/finding.ts';
import { type DoctorReport, exitCodeOf, jsonReport, textReport } from '../../src/doctor/report.ts';
import { allChecks } from '../../src/doctor/run.ts';
import type { SizingReport } from '../../src/doctor/sizing/report.ts';
import { fixText } from '../../src/rules/finding.ts';
import { anyText } from '../support/any-text.ts';

const noSizing: SizingReport = { basis: '', groups: [], problems: [] };

const { databaseTables, apiRights, serversReachable, cgroupRoot } = accessChecks;
const report = (findings: readonly DoctorFinding[], more: Partial<DoctorReport> = {}): DoctorReport => ({
  findings,
  notes: [],
  rightSizing: noSizing,
  ...more,
});
const text = (findings: readonly DoctorFinding[], more: Partial<DoctorReport> = {}, width = 100): string =>
  textReport(report(findings, more), { width, color: false });

test('failures are printed first, then warnings, unknown results, and passes', () => {
  expect(
    text(
      [
        passed(databaseTables, 'all 15 of them'),
        notPassed(apiRights, 'unknown', 'the API server did not respond', []),
        notPassed(cgroupRoot, 'warn', 'part of the tree', [fixText('Mount it.')]),
        notPassed(
          serversReachable,
          'fail',
          'connection refused',
          [fixText('Allow it.'), { kind: 'kubectl', text: 'kubectl get networkpolicy -A' }],
          'Gitaly gitlab/gl-gitaly-0',
        ),
      ],
      {
        notes: ['Kubernetes: disabled.'],
        rightSizing: { ...noSizing, problems: ['git_memory_bytes 2 GiB'] },
      },
    ),
  ).toBe(`4 checks: 1 failed, 1 warning, 1 unknown, 1 passed

Servers
FAIL     servers_reachable  connection refused · Gitaly gitlab/gl-gitaly-0

Cgroups
WARN     cgroup_root        part of the tree

Kubernetes API
unknown  api_rights         the API server did not respond

Praefect's database
ok       database_tables    all 15 of them

FAIL servers_reachable: Every server's /metrics is reachable, and is Gitaly's or Praefect's
  found     connection refused · Gitaly gitlab/gl-gitaly-0
  why       Its limits, queues and dropped requests are absent, and gitaly_server_scrape_up is 0.
  kubectl   kubectl get networkpolicy -A
  fix       Allow it.
  runbook   docs/doctor.md#servers_reachable

WARN cgroup_root: The root is a readable cgroup v2 hierarchy
  found     part of the tree
  why       Memory, CPU and OOM kills are absent.
  fix       Mount it.
  runbook   docs/doctor.md#cgroup_root

Right-sizing
  git_memory_bytes 2 GiB

Not checked
  Kubernetes: disabled.
`);
});

test('a finding on several pods is printed once, with every pod and every line to copy', () => {
  const pods = ['gitlab/gl-0', 'gitlab/gl-1', 'other/gl-0'];
  const shown = text(
    pods.map((subject) =>
      notPassed(
        apiRights,
        'fail',
        'the same',
        [{ kind: 'kubectl', text: `kubectl annotate ${subject}` }],
        subject,
      ),
    ),
  );
  expect(shown).toContain('FAIL     api_rights  the same · gitlab/gl-0, gl-1, other/gl-0\n');
  for (const pod of pods) expect(shown).toContain(`  kubectl   kubectl annotate ${pod}\n`);
  expect(shown.match(/found {5}the same/g)).toHaveLength(1);
});

test('for a hundred servers the table shows a few and the number of the others', () => {
  const findings = Array.from({ length: 100 }, (_, at) =>
    notPassed(serversReachable, 'fail', `server ${at} is down`, []),
  );
  const lines = text(findings).split('\n');
  expect(lines[0]).toBe('1 check: 1 failed');
  expect(lines.slice(3, 7)).toEqual([
    expect.stringContaining('server 0 is down'),
    expect.stringContaining('server 1 is down'),
    expect.stringContaining('server 2 is down'),
    'FAIL     servers_reachable  and 97 more',
  ]);
  expect(lines.length).toBeLessThan(40);
});

test('lines fit 80 to 120 columns, except lines to copy, which are never wrapped', () => {
  const long = 'word '.repeat(80).trim();
  const line = `kubectl -n gitlab patch statefulset gl-gitaly -p '${'x'.repeat(300)}'`;
  const findings = [
    notPassed(databaseTables, 'fail', long, [fixText(long), { kind: 'kubectl', text: line }], 'a/b'),
    passed(apiRights, long),
  ];
  for (const width of [1, 80, 100, 120, 500]) {
    const shown = text(
      findings,
      { notes: [long], rightSizing: { ...noSizing, problems: [long] } },
      width,
    ).split('\n');
    const most = Math.min(120, Math.max(80, width));
    expect(shown.filter((each) => each.length > most)).toEqual([expect.stringContaining(line)]);
  }
});

test('colors are optional, and do not change the text', () => {
  const findings = [notPassed(databaseTables, 'fail', 'x', []), passed(apiRights, 'y')];
  const painted = textReport(report(findings), { width: 100, color: true });
  // biome-ignore lint/suspicious/noControlCharactersInRegex: ANSI colors contain them
  const colors = /\u001b\[\d+m/g;
  expect(painted).toMatch(colors);
  expect(painted.replaceAll(colors, '')).toBe(text(findings));
});

test('control characters in findings never reach the terminal', () => {
  fc.assert(
    fc.property(anyText(), (hostile) => {
      const shown = text(
        [
          notPassed(
            { ...databaseTables, expected: hostile },
            'fail',
            hostile,
            [fixText(hostile), { kind: 'sql', text: hostile }],
            hostile,
          ),
        ],
        { notes: [hostile], rightSizing: { ...noSizing, problems: [hostile] } },
      );
      // biome-ignore lint/suspicious/noControlCharactersInRegex: these must not be there
      expect(shown).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]/);
    }),
    { examples: [['\u001b[2J\u001b]0;title\u0007'], ['\u202egnp.exe'], ['\r\n\nok  api_rights']] },
  );
});

describe('the output for programs', () => {
  test('is JSON with the same findings and a summary', () => {
    const json: unknown = JSON.parse(
      jsonReport(
        report(
          [
            notPassed(apiRights, 'fail', 'forbidden: list pods', [fixText('Grant it.')]),
            passed(databaseTables, 'all'),
          ],
          {
            notes: ['note'],
            rightSizing: { ...noSizing, problems: ['proposal'] },
          },
        ),
        Date.UTC(2026, 0, 1),
      ),
    );
    expect(json).toMatchObject({
      time: '2026-01-01T00:00:00.000Z',
      summary: { fail: 1, warn: 0, unknown: 0, pass: 1 },
      findings: [
        {
          check: 'api_rights',
          group: 'Kubernetes API',
          status: 'fail',
          detail: 'forbidden: list pods',
          fixes: [{ kind: 'text', text: 'Grant it.' }],
          runbook: 'docs/doctor.md#api_rights',
        },
        { check: 'database_tables', status: 'pass', fixes: [] },
      ],
      notes: ['note'],
      rightSizing: { ...noSizing, problems: ['proposal'] },
    });
  });

  test.each([
    [['fail', 'pass'], 1],
    [['warn', 'unknown', 'pass'], 0],
    [[], 0],
  ] as const)('%j ends with %i', (statuses, code) => {
    const findings = statuses.map((status) =>
      status === 'pass' ? passed(apiRights, '') : notPassed(apiRights, status, '', []),
    );
    expect(exitCodeOf(report(findings))).toBe(code);
  });
});

test('every check has a unique id in the form of a label name', () => {
  const ids = allChecks.map(({ id }) => id);
  expect(new Set(ids).size).toBe(ids.length);
  expect(ids.filter((id) => !/^[a-z][a-z0-9_]*$/.test(id))).toEqual([]);
});
