/** The checks of recommendations as doctor shows them. */

import { type CheckId, wholeCluster } from '../rules/checks/check.ts';
import { checks } from '../rules/checks/definitions/index.ts';
import { checkRunbook, type Evaluation } from '../rules/checks/evaluate.ts';
import type { DoctorCheck, DoctorFinding } from './finding.ts';

/** The checks of recommendations by id. */
export const recommendationChecks: ReadonlyMap<CheckId, DoctorCheck & { readonly expected: string }> =
  new Map(
    checks.map(({ id, title, why, expected }) => [
      id,
      Object.freeze({
        id,
        group: 'Recommendations' as const,
        title,
        why,
        expected,
        runbook: checkRunbook(id),
      }),
    ]),
  );

export interface RecommendationFindings {
  readonly findings: readonly DoctorFinding[];
  /** Ids of the checks that do not apply to this installation. */
  readonly notApplicable: readonly string[];
}

export function recommendationFindings({ findings }: Evaluation): RecommendationFindings {
  const shown = findings.flatMap((finding): DoctorFinding[] => {
    const check = recommendationChecks.get(finding.id);
    if (check === undefined || finding.notApplicable) return [];
    const { result, reason, detail, labels, subject } = finding;
    const isWhole = Object.entries(wholeCluster).every(([name, value]) => labels[name] === value);
    return [
      {
        ...finding,
        check,
        status: result,
        subject: isWhole ? '' : subject,
        detail: result === 'unknown' ? [detail, reason].filter((part) => part).join('; ') : detail,
        expected: check.expected,
      },
    ];
  });
  const applied = new Set(shown.map(({ id }) => id));
  const others = findings.filter(({ id }) => !applied.has(id)).map(({ id }) => id);
  return { findings: shown, notApplicable: [...new Set(others)] };
}
