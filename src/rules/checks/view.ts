/** The findings of the checks for programs (`/api/v1/checks`) and for the page. Times as RFC 3339 in UTC. */

import type { Fix } from '../finding.ts';
import { type CheckId, type CheckResult, checkIds, checkResults } from './check.ts';
import { checksMaxAgeMs } from './collector.ts';
import { type CheckFinding, checkRunbook, type Evaluation } from './evaluate.ts';

export interface ChecksQuery {
  readonly namespace?: string | undefined;
  readonly check?: CheckId | undefined;
  readonly result?: CheckResult | undefined;
}

/** Numbers of findings: a check has one for each pod, node or workload. */
export interface ChecksSummary {
  readonly pass: number;
  readonly fail: number;
  readonly unknown: number;
  readonly notApplicable: number;
}

function summaryOf(findings: readonly CheckFinding[]): ChecksSummary {
  const count = (test: (finding: CheckFinding) => boolean): number => findings.filter(test).length;
  return {
    pass: count(({ result }) => result === 'pass'),
    fail: count(({ result }) => result === 'fail'),
    unknown: count(({ result, notApplicable }) => result === 'unknown' && !notApplicable),
    notApplicable: count(({ notApplicable }) => notApplicable),
  };
}

/** Findings without a namespace (on a node or the cluster) match every namespace. */
function checksJson(evaluation: Evaluation, query: ChecksQuery): object {
  const shown = evaluation.findings.filter(
    ({ id, labels, result }) =>
      (query.check === undefined || id === query.check) &&
      (query.result === undefined || result === query.result) &&
      (query.namespace === undefined || labels.namespace === '' || labels.namespace === query.namespace),
  );
  return {
    time: new Date(evaluation.at).toISOString(),
    summary: summaryOf(shown),
    checks: evaluation.checks
      .filter(({ id }) => query.check === undefined || id === query.check)
      .map(({ id, title, why, expected, evidence, source, severity, scope }) => ({
        id,
        title,
        why,
        expected,
        evidence,
        source,
        severity,
        scope,
        runbook: checkRunbook(id),
      })),
    findings: shown.map(({ id, subject, labels, result, detail, reason, notApplicable, fixes }) => ({
      check: id,
      subject,
      labels,
      result,
      detail,
      reason,
      notApplicable,
      fixes,
    })),
  };
}

type UrlQuery = Readonly<Record<string, string>>;

/** GET /api/v1/checks?namespace=&check=&result=, in the shape of the server's ApiRoute. */
export function checksRoute(options: {
  /** Undefined where no checks are run. */
  readonly checks: () => { latest(): Evaluation | undefined } | undefined;
  /** Clock.now() */
  readonly now: () => number;
}): {
  readonly path: string;
  handle(request: {
    readonly query: UrlQuery;
  }): Promise<{ readonly status?: number; readonly json: unknown }>;
} {
  const error = (status: number, message: string) => ({ status, json: { error: message } });
  return {
    path: 'checks',
    async handle({ query }) {
      const parsed = parseQuery(query);
      if (typeof parsed === 'string') return error(400, parsed);
      const checks = options.checks();
      if (checks === undefined)
        return error(404, 'no checks are run: set kubernetes.enabled, cgroup.enabled, or both');
      const evaluation = checks.latest();
      if (evaluation === undefined) return error(503, 'the checks have not run yet; retry in a minute');
      const ageMs = Math.max(0, options.now() - evaluation.at);
      if (ageMs > checksMaxAgeMs)
        return error(
          503,
          `the checks last ran ${Math.round(ageMs / 1000)} s ago (max age ${checksMaxAgeMs / 1000} s); see collector checks in /api/v1/status`,
        );
      return { json: { ...checksJson(evaluation, parsed), ageSeconds: Math.round(ageMs) / 1000 } };
    },
  };
}

/** A misspelled filter must not look like a cluster without findings. */
function parseQuery(query: UrlQuery): ChecksQuery | string {
  const unexpected = Object.keys(query).find((key) => !['namespace', 'check', 'result'].includes(key));
  if (unexpected !== undefined)
    return `unknown filter ${JSON.stringify(unexpected)}; expected namespace, check or result`;
  const check = checkIds.find((id) => id === query['check']);
  if (query['check'] !== undefined && check === undefined)
    return `unknown check ${JSON.stringify(query['check'])}; expected one of ${checkIds.join(', ')}`;
  const result = checkResults.find((each) => each === query['result']);
  if (query['result'] !== undefined && result === undefined)
    return `unknown result ${JSON.stringify(query['result'])}; expected one of ${checkResults.join(', ')}`;
  return { namespace: query['namespace'], check, result };
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
  const empty = { at: evaluation?.at, summary: summaryOf([]), failing: [], unknown: [], passing: [] };
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
    summary: summaryOf(evaluation.findings),
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
