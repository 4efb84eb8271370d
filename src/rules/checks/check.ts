/** What a check is: one recommendation, how it is judged, and how it is mended. */

import { isUnknown, type Known, type Unknown } from '../../lib/known.ts';
import type { CheckId } from './ids.ts';
import type { CheckInputs } from './inputs.ts';
import type { Version } from './version.ts';

export interface Check {
  readonly id: CheckId;
  /** The recommendation itself, in one line. */
  readonly title: string;
  /** What happens otherwise. */
  readonly why: string;
  /** What is found where it is followed. */
  readonly expected: string;
  /** What proves it: where the facts come from. */
  readonly evidence: string;
  readonly source: string;
  /** `warning`: an outage or a loss may come of it. `advice`: it makes one longer or rarer. */
  readonly severity: 'warning' | 'advice';
  readonly about: 'node' | 'pod' | 'workload' | 'cluster';
  /** `node`: rests on the node's own files, so an exporter without them cannot tell. `api`: on everything else. */
  readonly rests: 'api' | 'node';
  /** The first GitLab version that can follow it. */
  readonly since?: Version;
  readonly mend: {
    /** Values of the GitLab chart. */
    readonly helm?: string;
    readonly kubectl?: (subject: Subject) => string;
    readonly other?: string;
  };
  /** What was judged, each subject once. Never throws. */
  run(inputs: CheckInputs): readonly Judged[];
}

/** What a finding is about; what does not apply is empty. */
export interface Subject {
  readonly namespace: string;
  readonly pod: string;
  readonly node: string;
  /** The StatefulSet. */
  readonly workload: string;
}

export const wholeCluster: Subject = { namespace: '', pod: '', node: '', workload: '' };

/** `gitlab/gl-gitaly-0`, `gitlab/gl-gitaly`, a node, or `cluster`. */
export const subjectText = ({ namespace, pod, node, workload }: Subject): string => {
  const name = pod || workload;
  if (name !== '') return namespace === '' ? name : `${namespace}/${name}`;
  return node || namespace || 'cluster';
};

export const results = ['pass', 'fail', 'unknown'] as const;
export type Result = (typeof results)[number];

/** Of one subject. `found`: in words, with numbers; empty where nothing was. */
export type Verdict =
  | { readonly result: 'pass' | 'fail'; readonly found: string }
  | {
      readonly result: 'unknown';
      readonly found: string;
      readonly reason: string;
      /** The recommendation is for others: nobody has to act, and no metric tells of it. */
      readonly notApplicable: boolean;
    };

export type Judged = Verdict & {
  readonly subject: Subject;
  /** GitLab's version that the subject runs, where it is known. */
  readonly version?: Version | undefined;
};

export const pass = (found: string): Verdict => ({ result: 'pass', found });
export const fail = (found: string): Verdict => ({ result: 'fail', found });
export const passIf = (followed: boolean, found: string): Verdict => (followed ? pass(found) : fail(found));

export const cannotTell = (why: Unknown | string, found = ''): Verdict => ({
  result: 'unknown',
  found,
  reason: typeof why === 'string' ? why : why.unknown,
  notApplicable: typeof why === 'string' ? false : why.notApplicable === true,
});

/** Judges a fact that is known; one that is not is unknown for its own reason. */
export const judge = <T>(fact: Known<T>, verdict: (value: T) => Verdict): Verdict =>
  isUnknown(fact) ? cannotTell(fact) : verdict(fact.value);
