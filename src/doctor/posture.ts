/** The posture's findings as doctor shows them. */
import { runbookOf } from '../rules/checks/api.ts';
import type { Check as PostureCheck } from '../rules/checks/check.ts';
import { subjectText, wholeCluster } from '../rules/checks/check.ts';
import { checks } from '../rules/checks/definitions/index.ts';
import type { Evaluation } from '../rules/checks/evaluate.ts';
import type { Check, Finding, Mend } from './finding.ts';

/** By id, each the same value however often it is asked for. */
export const postureChecks: ReadonlyMap<string, Check & Pick<PostureCheck, 'expected'>> = new Map(
  checks.map(({ id, title, why, expected }) => [
    id,
    Object.freeze({ id, group: 'Recommendations' as const, title, why, expected, runbook: runbookOf(id) }),
  ]),
);

export interface PostureLook {
  readonly findings: readonly Finding[];
  /** Ids of the checks that are for others than this cluster. */
  readonly notApplicable: readonly string[];
}

export function postureFindings({ findings }: Evaluation): PostureLook {
  const shown = findings.flatMap((finding): Finding[] => {
    const check = postureChecks.get(finding.check);
    if (check === undefined || finding.notApplicable) return [];
    const { result, reason, found, mend } = finding;
    return [
      {
        check,
        status: result,
        subject: finding.subject === wholeCluster ? '' : subjectText(finding.subject),
        found: result === 'unknown' ? [found, reason].filter((part) => part).join('; ') : found,
        expected: check.expected,
        mend: mend === undefined ? [] : mendsOf(mend),
      },
    ];
  });
  const applied = new Set(shown.map(({ check }) => check.id));
  const others = findings.filter(({ check }) => !applied.has(check)).map(({ check }) => check);
  return { findings: shown, notApplicable: [...new Set(others)] };
}

function mendsOf({ helm, kubectl, other }: NonNullable<Evaluation['findings'][number]['mend']>): Mend[] {
  return [
    ...(helm === undefined ? [] : [{ kind: 'helm', text: helm } as const]),
    ...(kubectl === undefined ? [] : [{ kind: 'kubectl', text: kubectl } as const]),
    ...(other === undefined ? [] : [{ kind: 'do', text: other } as const]),
  ];
}
