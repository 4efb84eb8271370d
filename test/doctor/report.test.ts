/** What doctor prints: order, widths, colours, and that nothing in a name reaches the terminal. */
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { accessChecks, type Finding, finds, passes, todo } from '../../src/doctor/finding.ts';
import { allChecks } from '../../src/doctor/look.ts';
import { exitCodeOf, jsonReport, type Report, textReport } from '../../src/doctor/report.ts';

const { databaseTables, apiRights, serversReachable, cgroupRoot } = accessChecks;
const report = (findings: readonly Finding[], more: Partial<Report> = {}): Report => ({
  findings,
  notes: [],
  advice: [],
  ...more,
});
const text = (findings: readonly Finding[], more: Partial<Report> = {}, width = 100): string =>
  textReport(report(findings, more), { width, colour: false });

test('what fails comes first, then what is to be looked at, what is not known, and the rest', () => {
  expect(
    text(
      [
        passes(databaseTables, 'all 15 of them'),
        finds(apiRights, 'unknown', 'the API server did not answer', []),
        finds(cgroupRoot, 'warn', 'a part of the tree', [todo('Mount it.')]),
        finds(
          serversReachable,
          'fail',
          'refuses the connection',
          [todo('Let it through.'), { kind: 'kubectl', text: 'kubectl get networkpolicy -A' }],
          { subject: 'Gitaly gitlab/gl-gitaly-0' },
        ),
      ],
      { notes: ['Kubernetes: not asked.'], advice: ['git_memory_bytes 2 GiB'] },
    ),
  ).toBe(`4 checks: 1 failed, 1 to look at, 1 unknown, 1 passed

Servers
FAIL     servers_reachable  refuses the connection · Gitaly gitlab/gl-gitaly-0

Cgroups
WARN     cgroup_root        a part of the tree

Kubernetes' API
unknown  api_rights         the API server did not answer

Praefect's database
ok       database_tables    all 15 of them

FAIL servers_reachable: Every server's /metrics answers, and is Gitaly's or Praefect's
  found     refuses the connection · Gitaly gitlab/gl-gitaly-0
  why       Its limits, queues and drops are absent, and gitaly_server_scrape_up is 0.
  kubectl   kubectl get networkpolicy -A
  mend      Let it through.
  runbook   docs/doctor.md#servers_reachable

WARN cgroup_root: The root is a cgroup v2 tree that can be read
  found     a part of the tree
  why       Memory, CPU and OOM kills are not told.
  mend      Mount it.
  runbook   docs/doctor.md#cgroup_root

Right-sizing
  git_memory_bytes 2 GiB

Not looked at
  Kubernetes: not asked.
`);
});

test('what is said of several pods stands once, with each pod and each line to copy', () => {
  const pods = ['gitlab/gl-0', 'gitlab/gl-1', 'other/gl-0'];
  const shown = text(
    pods.map((subject) =>
      finds(apiRights, 'fail', 'the same', [{ kind: 'kubectl', text: `kubectl annotate ${subject}` }], {
        subject,
      }),
    ),
  );
  expect(shown).toContain('FAIL     api_rights  the same · gitlab/gl-0, gl-1, other/gl-0\n');
  for (const pod of pods) expect(shown).toContain(`  kubectl   kubectl annotate ${pod}\n`);
  expect(shown.match(/found {5}the same/g)).toHaveLength(1);
});

test('of a hundred servers the table shows a few, and says how many more', () => {
  const findings = Array.from({ length: 100 }, (_, at) =>
    finds(serversReachable, 'fail', `server ${at} is away`, []),
  );
  const lines = text(findings).split('\n');
  expect(lines[0]).toBe('1 check: 1 failed');
  expect(lines.slice(3, 7)).toEqual([
    expect.stringContaining('server 0 is away'),
    expect.stringContaining('server 1 is away'),
    expect.stringContaining('server 2 is away'),
    'FAIL     servers_reachable  and 97 more',
  ]);
  expect(lines.length).toBeLessThan(40);
});

test('lines fit 80 to 120 columns, but those that are to be copied, which are never broken', () => {
  const long = 'word '.repeat(80).trim();
  const line = `kubectl -n gitlab patch statefulset gl-gitaly -p '${'x'.repeat(300)}'`;
  const findings = [
    finds(databaseTables, 'fail', long, [todo(long), { kind: 'kubectl', text: line }], { subject: 'a/b' }),
    passes(apiRights, long),
  ];
  for (const width of [1, 80, 100, 120, 500]) {
    const shown = text(findings, { notes: [long], advice: [long] }, width).split('\n');
    const most = Math.min(120, Math.max(80, width));
    expect(shown.filter((each) => each.length > most)).toEqual([expect.stringContaining(line)]);
  }
});

test('colour only where it is asked for, and without it the same words', () => {
  const findings = [finds(databaseTables, 'fail', 'x', []), passes(apiRights, 'y')];
  const painted = textReport(report(findings), { width: 100, colour: true });
  // biome-ignore lint/suspicious/noControlCharactersInRegex: colours are made of them
  const colours = /\u001b\[\d+m/g;
  expect(painted).toMatch(colours);
  expect(painted.replaceAll(colours, '')).toBe(text(findings));
});

test('nothing that was found moves a cursor or changes the terminal', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (hostile) => {
      const shown = text(
        [
          finds(databaseTables, 'fail', hostile, [todo(hostile), { kind: 'sql', text: hostile }], {
            subject: hostile,
            expected: hostile,
          }),
        ],
        { notes: [hostile], advice: [hostile] },
      );
      // biome-ignore lint/suspicious/noControlCharactersInRegex: these must not be there
      expect(shown).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]/);
    }),
    { examples: [['\u001b[2J\u001b]0;title\u0007'], ['\u202egnp.exe'], ['\r\n\nok  api_rights']] },
  );
});

describe('for programs', () => {
  test('JSON with the same findings and a summary', () => {
    const json: unknown = JSON.parse(
      jsonReport(
        report(
          [finds(apiRights, 'fail', 'may not list pods', [todo('Grant it.')]), passes(databaseTables, 'all')],
          {
            notes: ['note'],
            advice: ['advice'],
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
          group: "Kubernetes' API",
          status: 'fail',
          found: 'may not list pods',
          mend: [{ kind: 'do', text: 'Grant it.' }],
          runbook: 'docs/doctor.md#api_rights',
        },
        { check: 'database_tables', status: 'pass', mend: [] },
      ],
      notes: ['note'],
      advice: ['advice'],
    });
  });

  test.each([
    [['fail', 'pass'], 1],
    [['warn', 'unknown', 'pass'], 0],
    [[], 0],
  ] as const)('%j ends with %i', (statuses, code) => {
    const findings = statuses.map((status) =>
      status === 'pass' ? passes(apiRights, '') : finds(apiRights, status, '', []),
    );
    expect(exitCodeOf(report(findings))).toBe(code);
  });
});

test('every check has a name of its own, in the form of a label', () => {
  const ids = allChecks.map(({ id }) => id);
  expect(new Set(ids).size).toBe(ids.length);
  expect(ids.filter((id) => !/^[a-z][a-z0-9_]*$/.test(id))).toEqual([]);
});
