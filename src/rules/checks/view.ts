/** The findings of the checks for the page: by check, the failing ones with their fixes first. */
import type { Fix } from '../finding.ts';
import { checksMaxAgeMs } from './collector.ts';
import { type CheckFinding, checkRunbook, type Evaluation } from './evaluate.ts';

/** Numbers of findings: a check has one for each pod, node or workload. */
interface ChecksSummary {
  readonly pass: number;
  readonly fail: number;
  readonly unknown: number;
  readonly notApplicable: number;
}

export function checksSummary(findings: readonly CheckFinding[]): ChecksSummary {
  const count = (test: (finding: CheckFinding) => boolean): number => findings.filter(test).length;
  return {
    pass: count(({ result }) => result === 'pass'),
    fail: count(({ result }) => result === 'fail'),
    unknown: count(({ result, notApplicable }) => result === 'unknown' && !notApplicable),
    notApplicable: count(({ notApplicable }) => notApplicable),
  };
}

/** What the page shows: failing checks with their fixes, then unknown ones with the reasons, then the rest. */
export interface ChecksView {
  /** `stale`: older than the max age; only `at` is filled in then. */
  readonly state: 'pending' | 'current' | 'stale';
  /** When the checks ran: Clock.now(). */
  readonly at: number | undefined;
  readonly summary: ChecksSummary;
  /** Warnings first. */
  readonly failing: readonly FailingCheckView[];
  readonly unknown: readonly UnknownCheckView[];
  /** Titles of the checks that all subjects pass. */
  readonly passing: readonly string[];
}

export interface FailingCheckView {
  readonly check: string;
  readonly title: string;
  readonly severity: 'warning' | 'info';
  readonly why: string;
  readonly expected: string;
  /** A path of the package. */
  readonly runbook: string;
  /** The subjects that fail, and what was found of each. */
  readonly subjects: readonly { readonly name: string; readonly text: string }[];
  /** Values of the GitLab chart, as YAML. */
  readonly helm: string | undefined;
  /** Shell lines, each once. */
  readonly kubectl: readonly string[];
  readonly other: string | undefined;
}

export interface UnknownCheckView {
  readonly check: string;
  readonly title: string;
  /** Each reason once, with the subjects that it holds for. */
  readonly reasons: readonly { readonly text: string; readonly names: readonly string[] }[];
}

export function checksView(evaluation: Evaluation | undefined, now: number): ChecksView {
  const empty = { at: evaluation?.at, summary: checksSummary([]), failing: [], unknown: [], passing: [] };
  if (evaluation === undefined) return { ...empty, state: 'pending' };
  if (now - evaluation.at > checksMaxAgeMs) return { ...empty, state: 'stale' };
  const byCheck = Map.groupBy(evaluation.findings, ({ id }) => id);
  const failing: FailingCheckView[] = [];
  const unknown: UnknownCheckView[] = [];
  const passing: string[] = [];
  for (const check of evaluation.checks) {
    const findings = byCheck.get(check.id) ?? [];
    const failed = findings.filter(({ result }) => result === 'fail');
    const open = findings.filter(({ result, notApplicable }) => result === 'unknown' && !notApplicable);
    if (failed.length > 0) failing.push(failingView(check, failed));
    if (open.length > 0) unknown.push({ check: check.id, title: check.title, reasons: reasonsOf(open) });
    if (failed.length + open.length === 0 && findings.some(({ result }) => result === 'pass'))
      passing.push(check.title);
  }
  return {
    state: 'current',
    at: evaluation.at,
    summary: checksSummary(evaluation.findings),
    failing: [
      ...failing.filter(({ severity }) => severity === 'warning'),
      ...failing.filter(({ severity }) => severity === 'info'),
    ],
    unknown,
    passing,
  };
}

function failingView(
  { id, title, severity, why, expected, fix }: Evaluation['checks'][number],
  failed: readonly CheckFinding[],
): FailingCheckView {
  const texts = (kind: Fix['kind']): readonly string[] => [
    ...new Set(
      failed.flatMap(({ fixes }) => fixes.filter((each) => each.kind === kind).map(({ text }) => text)),
    ),
  ];
  return {
    check: id,
    title,
    severity,
    why,
    expected,
    runbook: checkRunbook(id),
    subjects: failed.map(({ subject, detail }) => ({ name: subject, text: detail })),
    helm: fix.helm,
    kubectl: texts('kubectl'),
    other: fix.text,
  };
}

const reasonsOf = (open: readonly CheckFinding[]): UnknownCheckView['reasons'] =>
  [...Map.groupBy(open, ({ reason = '' }) => reason)].map(([text, findings]) => ({
    text,
    names: findings.map(({ subject }) => subject),
  }));
