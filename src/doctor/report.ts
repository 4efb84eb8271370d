/** What doctor prints: a table for people, failures first, with the fixes of each; or JSON for programs. Pure. */
import { styleText } from 'node:util';
import { counted, wrap } from '../lib/format.ts';
import { withoutControls } from '../lib/outside-text.ts';
import type { Fix } from '../rules/finding.ts';
import { type DoctorFinding, type DoctorStatus, doctorGroups, doctorStatuses } from './finding.ts';
import { type SizingLine, type SizingReport, sizingLines } from './sizing/report.ts';

export interface DoctorReport {
  readonly findings: readonly DoctorFinding[];
  /** What was not checked and why, one line each. */
  readonly notes: readonly string[];
  /** Proposed sizes and limits with their calculation. They never fail. */
  readonly rightSizing: SizingReport;
}

/** 1 when a check fails. An unknown result is not a failure: its cause, such as a missing permission, is one. */
export const exitCodeOf = ({ findings }: DoctorReport): 0 | 1 =>
  findings.some(({ status }) => status === 'fail') ? 1 : 0;

export interface TextOptions {
  /** Of the terminal; clamped to 80 to 120. Lines to copy into a shell are never wrapped. */
  readonly width: number;
  readonly color: boolean;
}

const statusTexts: Readonly<Record<DoctorStatus, string>> = {
  fail: 'FAIL',
  warn: 'WARN',
  unknown: 'unknown',
  pass: 'ok',
};
const colors = {
  fail: ['red', 'bold'],
  warn: ['yellow', 'bold'],
  unknown: ['magenta'],
  pass: ['green'],
} as const satisfies Record<DoctorStatus, Parameters<typeof styleText>[0]>;

/** Findings of one check with the same text, on several subjects. */
interface Row {
  readonly finding: DoctorFinding;
  readonly subjects: readonly string[];
  /** Of all subjects, each once. */
  readonly fixes: readonly Fix[];
}

export function textReport(report: DoctorReport, options: TextOptions): string {
  const width = Math.min(120, Math.max(80, options.width));
  const paint: Paint = (format, text) =>
    options.color ? styleText(format, text, { validateStream: false }) : text;
  const rows = rowsOf(report.findings);
  const open = rows.filter(({ finding: { status } }) => status === 'fail' || status === 'warn');
  const blocks = [...Map.groupBy(open, ({ finding }) => `${finding.status} ${finding.check.id}`).values()];
  const section = (title: string, lines: readonly SizingLine[]): readonly string[] =>
    lines.length === 0
      ? []
      : [
          '',
          paint('bold', title),
          ...lines.flatMap(({ text, isCopied, indent = 0 }) =>
            isCopied ? [withoutControls(text)] : wrap(withoutControls(text), width, 2 + indent, 4 + indent),
          ),
        ];
  const lines = [
    paint('bold', headline(report.findings)),
    ...table(rows, width, paint),
    ...blocks.flatMap((alike) => ['', ...block(alike, width, paint)]),
    ...section('Right-sizing', sizingLines(report.rightSizing)),
    ...section(
      'Not checked',
      report.notes.map((note) => ({ text: note, isCopied: false })),
    ),
  ];
  return `${lines.join('\n')}\n`;
}

/** Counts checks, not findings: each once, by its worst finding. */
function headline(findings: readonly DoctorFinding[]): string {
  const worst = new Map<string, number>();
  for (const { check, status } of findings)
    worst.set(
      check.id,
      Math.min(worst.get(check.id) ?? doctorStatuses.length, doctorStatuses.indexOf(status)),
    );
  const names = (count: number): Readonly<Record<DoctorStatus, string>> => ({
    fail: 'failed',
    warn: count === 1 ? 'warning' : 'warnings',
    unknown: 'unknown',
    pass: 'passed',
  });
  const counts = doctorStatuses.flatMap((status, rank) => {
    const count = [...worst.values()].filter((each) => each === rank).length;
    return count === 0 ? [] : [`${count} ${names(count)[status]}`];
  });
  return worst.size === 0
    ? 'No checks were run'
    : `${counted(worst.size, 'check', 'checks')}: ${counts.join(', ')}`;
}

type Paint = (format: Parameters<typeof styleText>[0], text: string) => string;

/** Of one check in the table; its block below has more. */
const maxRowsInTable = 4;
const maxRowsInBlock = 20;
/** Of each kind: there may be one for each pod. */
const maxFixes = 10;

/** At most `max` rows, of which the last then says how many are omitted. */
function truncated(rows: readonly Row[], max: number): readonly Row[] {
  const [first] = rows;
  if (first === undefined || rows.length <= max) return rows;
  const detail = `and ${rows.length - max + 1} more`;
  return [...rows.slice(0, max - 1), { ...first, finding: { ...first.finding, detail }, subjects: [] }];
}

/** Status, check and what was found: failures first, and within a status by group. */
function table(all: readonly Row[], width: number, paint: Paint): readonly string[] {
  const byCheck = Map.groupBy(all, ({ finding }) => `${finding.status} ${finding.check.id}`);
  const rows = [...byCheck.values()].flatMap((alike) =>
    truncated(alike, alike[0]?.finding.status === 'pass' ? 2 : maxRowsInTable),
  );
  const idWidth = Math.max(...rows.map(({ finding }) => finding.check.id.length), 0);
  const indent = 9 + idWidth + 2;
  let before = '';
  return rows.flatMap((row) => {
    const { check, status } = row.finding;
    const heading = `${status} ${check.group}`;
    const isNew = heading !== before;
    before = heading;
    const [first = '', ...more] = wrap(
      withoutControls(foundText(row, status === 'pass' ? 1 : 5)),
      width,
      indent,
      indent,
    );
    const label = paint(colors[status], statusTexts[status].padEnd(7));
    return [
      ...(isNew ? ['', paint('bold', check.group)] : []),
      `${label}  ${check.id.padEnd(idWidth)}  ${first.slice(indent)}`,
      ...more,
    ];
  });
}

/** One check that fails or warns: what was found on all its subjects, and each fix once. */
function block(alike: readonly Row[], width: number, paint: Paint): readonly string[] {
  const [row] = alike;
  if (row === undefined) return [];
  const { check, status } = row.finding;
  const entry = (name: string, text: string): readonly string[] => {
    const [first = '', ...more] = wrap(withoutControls(text), width, 12, 12);
    return [`  ${paint('dim', name.padEnd(10))}${first.slice(12)}`, ...more];
  };
  const fixes = distinct(alike.flatMap((each) => each.fixes));
  const shown = (['helm', 'kubectl', 'sql', 'text'] as const).flatMap((kind) =>
    fixes.filter((fix) => fix.kind === kind).slice(0, maxFixes),
  );
  return [
    `${paint(colors[status], statusTexts[status])} ${paint('bold', check.id)}: ${withoutControls(check.title)}`,
    ...truncated(alike, maxRowsInBlock).flatMap((each, index) =>
      entry(index === 0 ? 'found' : '', foundText(each, 10)),
    ),
    ...(check.expected === check.title ? [] : entry('expected', check.expected)),
    ...entry('why', check.why),
    ...shown.flatMap((fix) => fixLines(fix, entry, paint)),
    ...entry('runbook', check.runbook),
  ];
}

const distinct = (fixes: readonly Fix[]): readonly Fix[] => [
  ...new Map(fixes.map((fix) => [JSON.stringify(fix), fix])).values(),
];

const foundText = ({ finding, subjects }: Row, max: number): string =>
  [finding.detail, subjectsText(subjects, max)].filter((text) => text !== '').join(' · ');

const fixNames: Readonly<Record<Fix['kind'], string>> = {
  text: 'fix',
  helm: 'Helm',
  kubectl: 'kubectl',
  sql: 'SQL',
};

/** Lines to copy are printed as they are. */
function fixLines(
  { kind, text }: Fix,
  entry: (name: string, text: string) => readonly string[],
  paint: Paint,
): readonly string[] {
  if (kind === 'text') return entry(fixNames.text, text);
  return text
    .split('\n')
    .map(
      (line, index) =>
        `  ${paint('dim', (index === 0 ? fixNames[kind] : '').padEnd(10))}${withoutControls(line)}`,
    );
}

function rowsOf(findings: readonly DoctorFinding[]): readonly Row[] {
  const groups = Map.groupBy(findings, ({ check, status, detail }) =>
    JSON.stringify([check.id, status, detail]),
  );
  const rows = [...groups.values()].flatMap((alike): Row[] => {
    const [finding] = alike;
    const subjects = alike.map(({ subject }) => subject).filter((subject) => subject !== '');
    const fixes = distinct(alike.flatMap((each) => each.fixes));
    return finding === undefined ? [] : [{ finding, subjects, fixes }];
  });
  const position = ({ finding: { status, check } }: Row): number =>
    doctorStatuses.indexOf(status) * doctorGroups.length + doctorGroups.indexOf(check.group);
  return rows.sort((a, b) => position(a) - position(b));
}

/** `gitlab/gl-gitaly-0, gl-gitaly-1`: the namespace once. */
function subjectsText(subjects: readonly string[], max: number): string {
  let before = '';
  const shown = subjects.slice(0, max).map((subject) => {
    const slash = subject.indexOf('/') + 1;
    const namespace = subject.slice(0, slash);
    const text = namespace === before ? subject.slice(slash) : subject;
    before = namespace;
    return text;
  });
  const more = subjects.length - shown.length;
  return `${shown.join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
}

/** Stable names: for programs. */
export function jsonReport(report: DoctorReport, time: number): string {
  const count = (wanted: DoctorStatus): number =>
    report.findings.filter(({ status }) => status === wanted).length;
  const summary = Object.fromEntries(doctorStatuses.map((status) => [status, count(status)]));
  const findings = report.findings.map(({ check, status, subject, detail, fixes }) => ({
    check: check.id,
    group: check.group,
    title: check.title,
    status,
    subject,
    detail,
    expected: check.expected,
    why: check.why,
    fixes,
    runbook: check.runbook,
  }));
  const { notes, rightSizing } = report;
  return `${JSON.stringify({ time: new Date(time).toISOString(), summary, findings, notes, rightSizing }, null, 2)}\n`;
}
