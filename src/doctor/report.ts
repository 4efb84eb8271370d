/** What doctor prints: a table for people, failing first, and how to mend each; or JSON for programs. Pure. */
import { styleText } from 'node:util';
import { wrap } from '../cli/help.ts';
import { type Finding, groups, type Mend, type Status, statuses } from './finding.ts';

export interface Report {
  readonly findings: readonly Finding[];
  /** What was not looked at and why, one line each. */
  readonly notes: readonly string[];
  /** Right-sizing, with the numbers it came from; nothing fails over it. */
  readonly advice: readonly string[];
}

/** 1 when anything failed. What is unknown is no failure of its own: why it is so is one, as a missing right. */
export const exitCodeOf = ({ findings }: Report): 0 | 1 =>
  findings.some(({ status }) => status === 'fail') ? 1 : 0;

export interface Paper {
  /** Of the terminal; held between 80 and 120. Lines to copy into a shell are never broken. */
  readonly width: number;
  readonly colour: boolean;
}

const words: Readonly<Record<Status, string>> = {
  fail: 'FAIL',
  warn: 'WARN',
  unknown: 'unknown',
  pass: 'ok',
};
const colours = {
  fail: ['red', 'bold'],
  warn: ['yellow', 'bold'],
  unknown: ['magenta'],
  pass: ['green'],
} as const satisfies Record<Status, Parameters<typeof styleText>[0]>;

/** Findings of one check that say the same, of several subjects. */
interface Row {
  readonly finding: Finding;
  readonly subjects: readonly string[];
  /** Of all subjects, no line twice. */
  readonly mends: readonly Mend[];
}

export function textReport(report: Report, paper: Paper): string {
  const width = Math.min(120, Math.max(80, paper.width));
  const paint = (format: Parameters<typeof styleText>[0], text: string): string =>
    paper.colour ? styleText(format, text, { validateStream: false }) : text;
  const rows = rowsOf(report.findings);
  const bad = rows.filter(({ finding: { status } }) => status === 'fail' || status === 'warn');
  const blocks = [...Map.groupBy(bad, ({ finding }) => `${finding.status} ${finding.check.id}`).values()];
  const lines = [
    paint('bold', headline(report.findings)),
    ...table(rows, width, paint),
    ...blocks.flatMap((alike) => ['', ...block(alike, width, paint)]),
    ...(report.advice.length === 0 ? [] : ['', paint('bold', 'Right-sizing')]),
    ...report.advice.flatMap((text) => wrap(plain(text), width, 2, 4)),
    ...(report.notes.length === 0 ? [] : ['', paint('bold', 'Not looked at')]),
    ...report.notes.flatMap((text) => wrap(plain(text), width, 2, 4)),
  ];
  return `${lines.join('\n')}\n`;
}

/** Checks, not findings: each counts once, as the worst that was found of it. */
function headline(findings: readonly Finding[]): string {
  const worst = new Map<string, number>();
  for (const { check, status } of findings)
    worst.set(check.id, Math.min(worst.get(check.id) ?? statuses.length, statuses.indexOf(status)));
  const names: Readonly<Record<Status, string>> = {
    fail: 'failed',
    warn: 'to look at',
    unknown: 'unknown',
    pass: 'passed',
  };
  const told = statuses.flatMap((status, rank) => {
    const count = [...worst.values()].filter((each) => each === rank).length;
    return count === 0 ? [] : [`${count} ${names[status]}`];
  });
  return worst.size === 0
    ? 'Nothing was checked'
    : `${worst.size} check${worst.size === 1 ? '' : 's'}: ${told.join(', ')}`;
}

type Paint = (format: Parameters<typeof styleText>[0], text: string) => string;

/** In the table, of one check; more stand below it. */
const mostRows = 4;
const mostInBlock = 20;
/** Lines to copy, one for each pod. */
const mostMends = 10;

/** At most so many, the last of which says how many are left out. */
function shortened(rows: readonly Row[], most: number): readonly Row[] {
  const [first] = rows;
  if (first === undefined || rows.length <= most) return rows;
  const rest = rows.slice(most - 1);
  const found = `and ${rest.length} more`;
  return [...rows.slice(0, most - 1), { ...first, finding: { ...first.finding, found }, subjects: [] }];
}

/** STATUS, CHECK, FOUND: failing first, and within that by group. */
function table(all: readonly Row[], width: number, paint: Paint): readonly string[] {
  const byCheck = Map.groupBy(all, ({ finding }) => `${finding.status} ${finding.check.id}`);
  // Of what is in order, little will do.
  const rows = [...byCheck.values()].flatMap((alike) =>
    shortened(alike, alike[0]?.finding.status === 'pass' ? 2 : mostRows),
  );
  const idWidth = Math.max(...rows.map(({ finding }) => finding.check.id.length), 0);
  const indent = 9 + idWidth + 2;
  let before = '';
  return rows.flatMap((row) => {
    const { finding } = row;
    const { check, status } = finding;
    const heading = `${status} ${check.group}`;
    const isNew = heading !== before;
    before = heading;
    const found = foundText(row, status === 'pass' ? 1 : 5);
    const [first = '', ...more] = wrap(plain(found), width, indent, indent);
    const label = paint(colours[status], words[status].padEnd(7));
    return [
      ...(isNew ? ['', paint('bold', check.group)] : []),
      `${label}  ${check.id.padEnd(idWidth)}  ${first.slice(indent)}`,
      ...more,
    ];
  });
}

/** One check that is to be mended, in full: what was found of all its subjects, and each way to mend it once. */
function block(alike: readonly Row[], width: number, paint: Paint): readonly string[] {
  const [row] = alike;
  if (row === undefined) return [];
  const { check, status, expected } = row.finding;
  const entry = (name: string, text: string): readonly string[] => {
    const [first = '', ...more] = wrap(plain(text), width, 12, 12);
    return [`  ${paint('dim', name.padEnd(10))}${first.slice(12)}`, ...more];
  };
  const ways = distinct(alike.flatMap(({ mends }) => mends));
  const shown = (['helm', 'kubectl', 'sql', 'do'] as const).flatMap((kind) =>
    ways.filter((mend) => mend.kind === kind).slice(0, mostMends),
  );
  return [
    `${paint(colours[status], words[status])} ${paint('bold', check.id)}: ${plain(check.title)}`,
    ...shortened(alike, mostInBlock).flatMap((each, index) =>
      entry(index === 0 ? 'found' : '', foundText(each, 10)),
    ),
    ...(expected === check.title ? [] : entry('expected', expected)),
    ...entry('why', check.why),
    ...shown.flatMap((each) => mendLines(each, entry, paint)),
    ...entry('runbook', check.runbook),
  ];
}

const distinct = (mends: readonly Mend[]): readonly Mend[] => [
  ...new Map(mends.map((mend) => [JSON.stringify(mend), mend])).values(),
];

const foundText = ({ finding, subjects }: Row, most: number): string =>
  [finding.found, subjectsText(subjects, most)].filter((text) => text !== '').join(' · ');

const mendNames: Readonly<Record<Mend['kind'], string>> = {
  do: 'mend',
  helm: 'Helm',
  kubectl: 'kubectl',
  sql: 'SQL',
};

/** What is to be copied stays as it is, one line each. */
function mendLines(
  { kind, text }: Mend,
  entry: (name: string, text: string) => readonly string[],
  paint: Paint,
): readonly string[] {
  if (kind === 'do') return entry(mendNames.do, text);
  return text
    .split('\n')
    .map((line, index) => `  ${paint('dim', (index === 0 ? mendNames[kind] : '').padEnd(10))}${plain(line)}`);
}

function rowsOf(findings: readonly Finding[]): readonly Row[] {
  const alike = Map.groupBy(findings, ({ check, status, found, expected }) =>
    JSON.stringify([check.id, status, found, expected]),
  );
  const rows = [...alike.values()].flatMap((same): Row[] => {
    const [finding] = same;
    const subjects = same.map(({ subject }) => subject).filter((subject) => subject !== '');
    const mends = distinct(same.flatMap(({ mend }) => mend));
    return finding === undefined ? [] : [{ finding, subjects, mends }];
  });
  const place = ({ finding: { status, check } }: Row): number =>
    statuses.indexOf(status) * groups.length + groups.indexOf(check.group);
  return rows.sort((a, b) => place(a) - place(b));
}

/** `gitlab/gl-gitaly-0, gl-gitaly-1`: the namespace once. */
function subjectsText(subjects: readonly string[], most: number): string {
  let before = '';
  const shown = subjects.slice(0, most).map((subject) => {
    const slash = subject.indexOf('/') + 1;
    const namespace = subject.slice(0, slash);
    const text = namespace === before ? subject.slice(slash) : subject;
    before = namespace;
    return text;
  });
  const more = subjects.length - shown.length;
  return `${shown.join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
}

/** Names and messages come from outside: nothing in them moves the cursor or changes a terminal. */
const plain = (text: string): string =>
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is taken out
  text.replaceAll(/[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]+/g, ' ');

/** Stable names: for programs. */
export function jsonReport(report: Report, time: number): string {
  const count = (wanted: Status): number => report.findings.filter(({ status }) => status === wanted).length;
  const summary = Object.fromEntries(statuses.map((status) => [status, count(status)]));
  const findings = report.findings.map(({ check, status, subject, found, expected, mend }) => ({
    check: check.id,
    group: check.group,
    title: check.title,
    status,
    subject,
    found,
    expected,
    why: check.why,
    mend,
    runbook: check.runbook,
  }));
  const { notes, advice } = report;
  return `${JSON.stringify({ time: new Date(time).toISOString(), summary, findings, notes, advice }, null, 2)}\n`;
}
