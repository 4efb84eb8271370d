/** Runs the checks: what each found of each subject, and how what fails is mended. Pure. */
import {
  type Check,
  cannotTell,
  type Judged,
  type Result,
  type Subject,
  subjectText,
  wholeCluster,
} from './check.ts';
import { checks } from './definitions/index.ts';
import type { CheckId } from './ids.ts';
import type { CheckInputs } from './inputs.ts';
import { isAtLeast, versionText } from './version.ts';

export interface Finding {
  readonly check: CheckId;
  readonly subject: Subject;
  readonly result: Result;
  /** In words, with numbers; empty where nothing was found. */
  readonly found: string;
  /** Why it is unknown. */
  readonly reason: string | undefined;
  /** Unknown because the recommendation is for others. */
  readonly notApplicable: boolean;
  /** Of what fails. */
  readonly mend: Mend | undefined;
}

export interface Mend {
  /** Values of the GitLab chart, as YAML. */
  readonly helm: string | undefined;
  /** One line for a shell. */
  readonly kubectl: string | undefined;
  readonly other: string | undefined;
}

export interface Evaluation {
  /** CheckInputs.now */
  readonly at: number;
  /** The checks that were run, in their order. */
  readonly checks: readonly Check[];
  /** By check in their order, then by subject. No subject twice for one check. */
  readonly findings: readonly Finding[];
}

export type CheckChoice = (check: Check) => boolean;

/** What one exporter tells where agents read the nodes' files, so that no series is told twice. */
export const checksOfRole: Readonly<Record<'all' | 'cluster' | 'agent', CheckChoice>> = {
  all: () => true,
  cluster: ({ rests }) => rests === 'api',
  agent: ({ rests }) => rests === 'node',
};

export function evaluate(inputs: CheckInputs, chosen: CheckChoice = checksOfRole.all): Evaluation {
  const run = checks.filter(chosen);
  return { at: inputs.now, checks: run, findings: run.flatMap((check) => findingsOf(check, inputs)) };
}

function findingsOf(check: Check, inputs: CheckInputs): readonly Finding[] {
  const worst = new Map<string, Finding>();
  for (const judged of judgedBy(check, inputs)) {
    const finding = findingOf(check, judged);
    const key = JSON.stringify(Object.values(finding.subject));
    const before = worst.get(key);
    if (before === undefined || rank(finding) < rank(before)) worst.set(key, finding);
  }
  return [...worst.values()].sort((a, b) => (subjectText(a.subject) < subjectText(b.subject) ? -1 : 1));
}

/** A fault in one check must not hide what the others found. */
function judgedBy(check: Check, inputs: CheckInputs): readonly Judged[] {
  try {
    return check.run(inputs);
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    return [{ subject: wholeCluster, ...cannotTell(`a fault of this program: ${message}`) }];
  }
}

function findingOf(check: Check, judged: Judged): Finding {
  const { version, subject } = judged;
  const { since } = check;
  const verdict =
    since !== undefined && version !== undefined && !isAtLeast(version, since)
      ? cannotTell(
          {
            unknown: `GitLab ${versionText(version)}: it came with ${versionText(since)}`,
            notApplicable: true,
          },
          judged.found,
        )
      : judged;
  const { helm, kubectl, other } = check.mend;
  return {
    check: check.id,
    subject,
    result: verdict.result,
    found: verdict.found,
    reason: verdict.result === 'unknown' ? verdict.reason : undefined,
    notApplicable: verdict.result === 'unknown' && verdict.notApplicable,
    mend: verdict.result === 'fail' ? { helm, kubectl: kubectl?.(subject), other } : undefined,
  };
}

/** What must not be hidden by what. */
const rank = ({ result, notApplicable }: Finding): number =>
  result === 'fail' ? 0 : result === 'pass' ? 2 : notApplicable ? 3 : 1;
