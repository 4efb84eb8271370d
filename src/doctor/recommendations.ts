/** The checks of recommendations as doctor shows them. */
import { wholeCluster } from '../rules/checks/check.ts';
import { checks } from '../rules/checks/definitions/index.ts';
import { checkRunbook, type Evaluation } from '../rules/checks/evaluate.ts';
import type { DoctorCheck, DoctorFinding } from './finding.ts';

/** By id. */
export const recommendationChecks: ReadonlyMap<string, DoctorCheck> = new Map(
  checks.map(({ id, title, why, expected }) => [
    id,
    Object.freeze({
      id,
      group: 'Recommendations',
      title,
      why,
      expected,
      runbook: checkRunbook(id),
    }),
  ]),
);

interface RecommendationFindings {
  readonly findings: readonly DoctorFinding[];
  /** Ids of the checks that do not apply to this installation. */
  readonly notApplicable: readonly string[];
}

export function recommendationFindings({ findings }: Evaluation): RecommendationFindings {
  const shown = findings.flatMap((finding): DoctorFinding[] => {
    const check = recommendationChecks.get(finding.id);
    if (check === undefined || finding.notApplicable) return [];
    const { result, reason, detail, fixes, labels, subject } = finding;
    const isWhole = Object.entries(wholeCluster).every(([name, value]) => labels[name] === value);
    return [
      {
        check,
        status: result,
        subject: isWhole ? '' : subject,
        detail: [detail, reason].filter((part) => part).join('; '),
        fixes,
      },
    ];
  });
  const applied = new Set(shown.map(({ check }) => check.id));
  const others = findings.filter(({ id }) => !applied.has(id)).map(({ id }) => id);
  return { findings: shown, notApplicable: [...new Set(others)] };
}
