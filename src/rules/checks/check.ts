/** What a check is: one recommendation, how it is evaluated, and how to fix what does not follow it. */

import { isUnknown, type Known, type Unknown, whole } from '../../lib/known.ts';
import type { Severity } from '../finding.ts';
import type { CheckInputs } from './inputs.ts';
import type { Version } from './version.ts';

/** Label values, sections of docs/checks.md, and arguments of --only and --skip: never renamed. */
export const checkIds = [
  'kubernetes_version',
  'container_runtime_version',
  'runc_version',
  'cgroup_v2',
  'cgroup_driver_systemd',
  'cgroup_nsdelegate',
  'init_cgroups_ran',
  'cgroup_owner',
  'git_cgroups_configured',
  'git_cgroups_enabled',
  'git_limit_as_configured',
  'git_memory_buffer',
  'pod_memory_bounded',
  'qos_guaranteed',
  'gomemlimit',
  'no_swap',
  'priority_class',
  'safe_to_evict',
  'anti_affinity',
  'replicas_on_distinct_nodes',
  'pdb_present',
  'fs_group_change_policy',
  'fast_readiness',
  'short_graceful_stop',
  'client_retry_window',
  'concurrency_limits',
  'volume_free_space',
  'praefect_sslmode',
  'postgresql_version',
  'three_praefects',
] as const;
export type CheckId = (typeof checkIds)[number];

export interface Check {
  readonly id: CheckId;
  /** The recommendation, in one line. */
  readonly title: string;
  /** What happens when it is not followed. */
  readonly why: string;
  /** What is found where it is followed. */
  readonly expected: string;
  /** Where the facts come from. */
  readonly evidence: string;
  /** Where the recommendation comes from. */
  readonly source: string;
  /** `warning`: an outage or data loss may follow. `info`: an outage may last longer, or come more often. */
  readonly severity: Exclude<Severity, 'critical'>;
  readonly scope: 'node' | 'pod' | 'workload' | 'cluster';
  /** `node`: needs files of the node, which only an exporter on that node reads. `api`: all other sources. */
  readonly readFrom: 'api' | 'node';
  /** The first GitLab version that can follow it. */
  readonly since?: Version;
  readonly fix: {
    /** Values of the GitLab chart. */
    readonly helm?: string;
    readonly kubectl?: (subject: CheckSubject) => string;
    readonly text?: string;
  };
  /** One result per subject. Never throws. */
  run(inputs: CheckInputs): readonly SubjectVerdict[];
}

/** What a check is about, and how it is run on each of those. */
export type SubjectCheck = Pick<Check, 'scope' | 'run'>;

/** What a result is about: the labels of gitaly_server_check_passed. Those that do not apply are empty. */
export interface CheckSubject {
  readonly namespace: string;
  readonly pod: string;
  readonly node: string;
  /** The StatefulSet. */
  readonly workload: string;
}

export const wholeCluster: CheckSubject = { namespace: '', pod: '', node: '', workload: '' };

/** `gitlab/gl-gitaly-0`, `gitlab/gl-gitaly`, a node, or `cluster`. */
export const subjectText = ({ namespace, pod, node, workload }: CheckSubject): string => {
  const name = pod || workload;
  if (name !== '') return namespace === '' ? name : `${namespace}/${name}`;
  return node || namespace || 'cluster';
};

export const checkResults = ['pass', 'fail', 'unknown'] as const;
export type CheckResult = (typeof checkResults)[number];

/** `found`: what was found, with measured values; empty where nothing was. */
export type CheckVerdict =
  | { readonly result: 'pass' | 'fail'; readonly found: string }
  | {
      readonly result: 'unknown';
      readonly found: string;
      readonly reason: string;
      /** The recommendation does not apply here: no action is needed, and no metric reports it. */
      readonly notApplicable: boolean;
    };

export type SubjectVerdict = CheckVerdict & {
  readonly subject: CheckSubject;
  /** The GitLab version that the subject runs, where it is known. */
  readonly version?: Version | undefined;
};

export const pass = (found: string): CheckVerdict => ({ result: 'pass', found });
export const fail = (found: string): CheckVerdict => ({ result: 'fail', found });
export const passIf = (followed: boolean, found: string): CheckVerdict =>
  followed ? pass(found) : fail(found);

export const undecided = (why: Unknown | string, found = ''): CheckVerdict => ({
  result: 'unknown',
  found,
  reason: typeof why === 'string' ? why : why.unknown,
  notApplicable: typeof why === 'string' ? false : why.notApplicable === true,
});

/**
 * Judges a fact that is known; the verdict on an unknown fact, or on an incomplete list, is `unknown` with the fact's
 * own reason.
 */
export function judge<T>(fact: Known<T>, verdict: (value: T) => CheckVerdict): CheckVerdict {
  const given = whole(fact);
  return isUnknown(given) ? undecided(given) : verdict(given.value);
}

/** The verdict on what has to hold together: the first that fails, else the first unknown one, else the first. */
export const allOf = (first: CheckVerdict, ...others: readonly CheckVerdict[]): CheckVerdict => {
  const verdicts = [first, ...others];
  return (
    verdicts.find(({ result }) => result === 'fail') ??
    verdicts.find(({ result }) => result === 'unknown') ??
    first
  );
};

const page = 'GitLab: Gitaly on Kubernetes';
export const recommendationsUrl = 'https://docs.gitlab.com/administration/gitaly/kubernetes/';

/** Sections of GitLab's page, so that each has one name. */
export const sources = {
  requirements: `${page}, 'Requirements'`,
  priority: `${page}, 'Use PriorityClass'`,
  autoscaling: `${page}, 'Signal node autoscaling to prevent eviction'`,
  constrain: `${page}, 'Constrain Git processes resource usage'`,
  rightSize: `${page}, 'Right size Pod resources'`,
  concurrency: `${page}, 'Configure concurrency limiting'`,
  isolate: `${page}, 'Isolate Gitaly pods'`,
  volumePermissions: `${page}, 'Persistent Volume permissions'`,
  probes: `${page}, 'Health probes'`,
  shutdown: `${page}, 'Gitaly graceful shutdown timeout'`,
  disk: `${page}, 'Monitor disk usage'`,
  notInGuide: 'Not in that guide',
} as const;
