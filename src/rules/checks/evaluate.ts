/** Runs the checks on a snapshot: a finding per check and subject. Pure. */

import type { Finding, Fix } from '../finding.ts';
import {
  type Check,
  type CheckId,
  type CheckResult,
  type CheckSubject,
  type SubjectVerdict,
  subjectText,
  undecided,
  wholeCluster,
} from './check.ts';
import { checks } from './definitions/index.ts';
import type { CheckInputs } from './inputs.ts';
import { isVersionAtLeast, versionText } from './version.ts';

export interface CheckFinding extends Finding {
  readonly id: CheckId;
  readonly labels: CheckSubject & Readonly<Record<string, string>>;
  readonly result: CheckResult;
  /** Why it is unknown. */
  readonly reason: string | undefined;
  /** Unknown because the recommendation does not apply here. */
  readonly notApplicable: boolean;
  readonly runbook: string;
}

export interface Evaluation {
  /** CheckInputs.now */
  readonly at: number;
  /** The checks that were run, in their order. */
  readonly checks: readonly Check[];
  /** By check in their order, then by subject. No subject twice for one check. */
  readonly findings: readonly CheckFinding[];
}

/** A path of the package. */
export const checkRunbook = (check: CheckId): string => `docs/checks.md#${check}`;

export type CheckFilter = (check: Check) => boolean;

/** Where agents read the nodes' files, agents and the cluster's exporter report disjoint checks. */
export const checksOfRole: Readonly<Record<'all' | 'cluster' | 'agent', CheckFilter>> = {
  all: () => true,
  cluster: ({ readFrom }) => readFrom === 'api',
  agent: ({ readFrom }) => readFrom === 'node',
};

export function evaluate(inputs: CheckInputs, filter: CheckFilter = checksOfRole.all): Evaluation {
  const run = checks.filter(filter);
  return { at: inputs.now, checks: run, findings: run.flatMap((check) => findingsOf(check, inputs)) };
}

function findingsOf(check: Check, inputs: CheckInputs): readonly CheckFinding[] {
  const worst = new Map<string, CheckFinding>();
  for (const judged of verdictsOf(check, inputs)) {
    const finding = findingOf(check, judged);
    const key = JSON.stringify(Object.values(finding.labels));
    const before = worst.get(key);
    if (before === undefined || rank(finding) < rank(before)) worst.set(key, finding);
  }
  return [...worst.values()].sort((a, b) => (a.subject < b.subject ? -1 : 1));
}

/** A bug in one check must not hide the results of the others. */
function verdictsOf(check: Check, inputs: CheckInputs): readonly SubjectVerdict[] {
  try {
    return check.run(inputs);
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    return [{ subject: wholeCluster, ...undecided(`internal error: ${message}`) }];
  }
}

function findingOf(check: Check, judged: SubjectVerdict): CheckFinding {
  const { version, subject } = judged;
  const { id, since, severity, title } = check;
  const isTooOld = since !== undefined && version !== undefined && !isVersionAtLeast(version, since);
  const verdict = isTooOld
    ? undecided(
        {
          unknown: `runs GitLab ${versionText(version)}, the feature exists since ${versionText(since)}`,
          notApplicable: true,
        },
        judged.found,
      )
    : judged;
  return {
    id,
    severity,
    title,
    subject: subjectText(subject),
    labels: { ...subject },
    result: verdict.result,
    detail: verdict.found,
    reason: verdict.result === 'unknown' ? verdict.reason : undefined,
    notApplicable: verdict.result === 'unknown' && verdict.notApplicable,
    fixes: verdict.result === 'fail' ? fixesOf(check, subject) : [],
    runbook: checkRunbook(id),
  };
}

function fixesOf({ fix }: Check, subject: CheckSubject): readonly Fix[] {
  return [
    ...(fix.helm === undefined ? [] : [{ kind: 'helm', text: fix.helm } as const]),
    ...(fix.kubectl === undefined ? [] : [{ kind: 'kubectl', text: fix.kubectl(subject) } as const]),
    ...(fix.text === undefined ? [] : [{ kind: 'text', text: fix.text } as const]),
  ];
}

/** Of several verdicts on one subject the lowest counts. */
const rank = ({ result, notApplicable }: CheckFinding): number =>
  result === 'fail' ? 0 : result === 'pass' ? 2 : notApplicable ? 3 : 1;
