/** The findings for programs: `/api/v1/checks`, and doctor with --output json. Times as RFC 3339 in UTC. */
import { type Result, results, subjectText } from './check.ts';
import { checksMaxAgeMs } from './collector.ts';
import type { Evaluation, Finding } from './evaluate.ts';
import { type CheckId, checkIds } from './ids.ts';

export interface CheckFilter {
  readonly namespace?: string | undefined;
  readonly check?: CheckId | undefined;
  readonly result?: Result | undefined;
}

export interface Summary {
  readonly pass: number;
  readonly fail: number;
  readonly unknown: number;
  readonly notApplicable: number;
}

export function summaryOf(findings: readonly Finding[]): Summary {
  const count = (test: (finding: Finding) => boolean): number => findings.filter(test).length;
  return {
    pass: count(({ result }) => result === 'pass'),
    fail: count(({ result }) => result === 'fail'),
    unknown: count(({ result, notApplicable }) => result === 'unknown' && !notApplicable),
    notApplicable: count(({ notApplicable }) => notApplicable),
  };
}

/** What JSON.stringify writes. A subject without a namespace (a node, the cluster) is in every namespace's answer. */
export function checksJson(evaluation: Evaluation, filter: CheckFilter = {}): ChecksJson {
  const shown = evaluation.findings.filter(
    ({ check, subject, result }) =>
      (filter.check === undefined || check === filter.check) &&
      (filter.result === undefined || result === filter.result) &&
      (filter.namespace === undefined || subject.namespace === '' || subject.namespace === filter.namespace),
  );
  return {
    time: new Date(evaluation.at).toISOString(),
    summary: summaryOf(shown),
    checks: evaluation.checks
      .filter(({ id }) => filter.check === undefined || id === filter.check)
      .map(({ id, title, why, expected, evidence, source, severity, about }) => ({
        id,
        title,
        why,
        expected,
        evidence,
        source,
        severity,
        about,
        runbook: runbookOf(id),
      })),
    findings: shown.map((finding) => ({ ...finding, name: subjectText(finding.subject) })),
  };
}

export interface ChecksJson {
  readonly time: string;
  readonly summary: Summary;
  readonly checks: readonly Readonly<Record<string, string>>[];
  readonly findings: readonly (Finding & { readonly name: string })[];
}

/** Relative to the package. */
export const runbookOf = (check: CheckId): string => `docs/checks.md#${check}`;

type Query = Readonly<Record<string, string>>;

/** GET /api/v1/checks?namespace=&check=&result=. The shape is the server's ApiRoute, which this room does not know. */
export function checksRoute(options: {
  /** Undefined where nothing is checked. */
  readonly checks: () => { latest(): Evaluation | undefined } | undefined;
  /** Clock.now() */
  readonly now: () => number;
}): {
  readonly path: string;
  handle(request: { readonly query: Query }): Promise<{ readonly status?: number; readonly json: unknown }>;
} {
  return {
    path: 'checks',
    async handle({ query }) {
      const filter = filterOf(query);
      if (typeof filter === 'string') return { status: 400, json: { error: filter } };
      const checks = options.checks();
      if (checks === undefined)
        return {
          status: 404,
          json: {
            error: 'nothing is checked here: the checks need kubernetes.enabled, cgroup.enabled, or both',
          },
        };
      const evaluation = checks.latest();
      if (evaluation === undefined)
        return { status: 503, json: { error: 'the checks have not been run yet: ask again in a minute' } };
      const ageMs = Math.max(0, options.now() - evaluation.at);
      if (ageMs > checksMaxAgeMs)
        return {
          status: 503,
          json: {
            error: `the checks were last run ${Math.round(ageMs / 1000)} s ago, too long to be believed: see collector checks on the page`,
          },
        };
      return { json: { ...checksJson(evaluation, filter), ageSeconds: Math.round(ageMs) / 1000 } };
    },
  };
}

/** A filter that is misspelt must not look like a cluster without findings. */
function filterOf(query: Query): CheckFilter | string {
  const strange = Object.keys(query).find((key) => !['namespace', 'check', 'result'].includes(key));
  if (strange !== undefined)
    return `there is no filter ${JSON.stringify(strange)}; there are namespace, check, result`;
  const check = checkIds.find((id) => id === query['check']);
  if (query['check'] !== undefined && check === undefined)
    return `there is no check ${JSON.stringify(query['check'])}; there are ${checkIds.join(', ')}`;
  const result = results.find((each) => each === query['result']);
  if (query['result'] !== undefined && result === undefined)
    return `there is no result ${JSON.stringify(query['result'])}; there are ${results.join(', ')}`;
  return { namespace: query['namespace'], check, result };
}
