/** GET /api/v1/checks?namespace=&check=&result=: the findings of the checks. Times as RFC 3339 in UTC. */
import { type CheckId, type CheckResult, checkIds, checkResults } from '../rules/checks/check.ts';
import { checksMaxAgeMs } from '../rules/checks/collector.ts';
import { checkRunbook, type Evaluation } from '../rules/checks/evaluate.ts';
import { checksSummary } from '../rules/checks/view.ts';
import { type ApiRequest, type ApiRoute, errorResponse } from './api.ts';

interface ChecksQuery {
  readonly namespace?: string | undefined;
  readonly check?: CheckId | undefined;
  readonly result?: CheckResult | undefined;
}

interface ChecksRouteOptions {
  /** Undefined where no checks are run. */
  readonly checks: () => { latest(): Evaluation | undefined } | undefined;
  /** Clock.now() */
  readonly now: () => number;
}

export const checksRoute = ({ checks, now }: ChecksRouteOptions): ApiRoute => ({
  path: 'checks',
  async handle({ query }) {
    const parsed = parseQuery(query);
    if (typeof parsed === 'string') return errorResponse(400, parsed);
    const source = checks();
    if (source === undefined)
      return errorResponse(404, 'no checks are run: set kubernetes.enabled, cgroup.enabled, or both');
    const evaluation = source.latest();
    if (evaluation === undefined) return errorResponse(503, 'the checks have not run yet; retry in a minute');
    const ageMs = Math.max(0, now() - evaluation.at);
    if (ageMs > checksMaxAgeMs)
      return errorResponse(
        503,
        `the checks last ran ${Math.round(ageMs / 1000)} s ago (max age ${checksMaxAgeMs / 1000} s); see collector checks in /api/v1/status`,
      );
    return { json: { ...checksJson(evaluation, parsed), ageSeconds: Math.round(ageMs) / 1000 } };
  },
});

/** A misspelled filter must not look like a cluster without findings. */
function parseQuery(query: ApiRequest['query']): ChecksQuery | string {
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
    summary: checksSummary(shown),
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
