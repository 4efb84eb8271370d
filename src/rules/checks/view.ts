/** What the page shows of the findings: what fails first, each with its mend; then what is not known; then the rest. */

import { runbookOf, type Summary, summaryOf } from './api.ts';
import { subjectText } from './check.ts';
import { checksMaxAgeMs } from './collector.ts';
import type { Evaluation, Finding } from './evaluate.ts';

/** Plain data, in the shape of the server's ChecksView. */
export interface ChecksPage {
  /** `stale`: older than the max age; there are no groups then. */
  readonly state: 'pending' | 'current' | 'stale';
  readonly at: number | undefined;
  readonly summary: Summary;
  readonly failing: readonly FailingCheck[];
  readonly unknown: readonly OpenCheck[];
  /** Titles of what all subjects follow. */
  readonly passing: readonly string[];
}

export interface FailingCheck {
  readonly check: string;
  readonly title: string;
  readonly severity: 'warning' | 'advice';
  readonly why: string;
  readonly expected: string;
  readonly runbook: string;
  readonly subjects: readonly { readonly name: string; readonly text: string }[];
  readonly helm: string | undefined;
  /** A line for each subject, no line twice. */
  readonly kubectl: readonly string[];
  readonly other: string | undefined;
}

export interface OpenCheck {
  readonly check: string;
  readonly title: string;
  /** Each reason once, with those it holds for. */
  readonly reasons: readonly { readonly text: string; readonly names: readonly string[] }[];
}

const none: Summary = { pass: 0, fail: 0, unknown: 0, notApplicable: 0 };

export function checksPage(evaluation: Evaluation | undefined, now: number): ChecksPage {
  const empty = { at: evaluation?.at, summary: none, failing: [], unknown: [], passing: [] };
  if (evaluation === undefined) return { ...empty, state: 'pending' };
  if (now - evaluation.at > checksMaxAgeMs) return { ...empty, state: 'stale' };
  const byCheck = Map.groupBy(evaluation.findings, ({ check }) => check);
  const page = evaluation.checks.map((check) => {
    const findings = byCheck.get(check.id) ?? [];
    const failing = findings.filter(({ result }) => result === 'fail');
    const open = findings.filter(({ result, notApplicable }) => result === 'unknown' && !notApplicable);
    const [first] = failing;
    return {
      failing: first === undefined ? [] : [failingCheck(check, failing, first)],
      unknown: open.length === 0 ? [] : [{ check: check.id, title: check.title, reasons: reasonsOf(open) }],
      passing:
        failing.length + open.length === 0 && findings.some(({ result }) => result === 'pass')
          ? [check.title]
          : [],
    };
  });
  const failing = page.flatMap((part) => part.failing);
  return {
    state: 'current',
    at: evaluation.at,
    summary: summaryOf(evaluation.findings),
    failing: [
      ...failing.filter(({ severity }) => severity === 'warning'),
      ...failing.filter(({ severity }) => severity === 'advice'),
    ],
    unknown: page.flatMap((part) => part.unknown),
    passing: page.flatMap((part) => part.passing),
  };
}

function failingCheck(
  { id, title, severity, why, expected }: Evaluation['checks'][number],
  failing: readonly Finding[],
  first: Finding,
): FailingCheck {
  return {
    check: id,
    title,
    severity,
    why,
    expected,
    runbook: runbookOf(id),
    subjects: failing.map(({ subject, found }) => ({ name: subjectText(subject), text: found })),
    helm: first.mend?.helm,
    kubectl: [...new Set(failing.flatMap(({ mend }) => mend?.kubectl ?? []))],
    other: first.mend?.other,
  };
}

const reasonsOf = (open: readonly Finding[]): OpenCheck['reasons'] =>
  [...Map.groupBy(open, ({ reason = '' }) => reason)].map(([text, findings]) => ({
    text,
    names: findings.map(({ subject }) => subjectText(subject)),
  }));
