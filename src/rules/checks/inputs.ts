/**
 * What the checks are run on: snapshots that other rooms took. This room reads nothing itself. Whatever may be not
 * known says why, so that a check which rests on it is unknown for that reason, and never passes.
 */

import type { GitalyConfig } from '../../config/gitaly/gitaly-config.ts';
import type { Known, Unknown } from '../../lib/known.ts';
import type { CgroupFacts, NodeFacts } from '../../sources/cgroup/facts.ts';
import type { Identity } from '../../sources/identity.ts';
import type { OtherPod } from '../../sources/kubernetes/directory/other-pods.ts';
import type { VolumeFacts } from '../../sources/kubernetes/directory/volume-stats.ts';
import type { Node, Pod, PodDisruptionBudget, StatefulSet } from '../../sources/kubernetes/objects/types.ts';

export interface CheckInputs {
  /** Clock.now() */
  readonly now: number;
  /** By kubernetes.gitaly-selector and .praefect-selector. Not applicable where no Kubernetes is watched. */
  readonly gitalyPods: Known<readonly Pod[]>;
  readonly praefectPods: Known<readonly Pod[]>;
  /** Of the namespaces of those pods; others do no harm. */
  readonly statefulSets: Known<readonly StatefulSet[]>;
  readonly disruptionBudgets: Known<readonly PodDisruptionBudget[]>;
  readonly nodes: Known<readonly Node[]>;
  /** All pods but Gitaly's and Praefect's, for their priorities; of all namespaces, or it is not known. */
  readonly otherPods: Known<readonly OtherPod[]>;
  /** Every Gitaly of which more is known than the API tells, virtual machines' too, each identity once. */
  readonly servers: readonly ServerFacts[];
  /** What agents or the operator told of nodes, each node once. */
  readonly nodeFacts: readonly NodeFacts[];
  /** How long GitLab goes on asking a Gitaly that does not answer, in seconds (gitaly.client_max_backoff). */
  readonly clientRetrySeconds: Known<number>;
  readonly praefect: Known<PraefectFacts>;
}

export interface ServerFacts {
  /** A pod's node may be left empty here: it is found by namespace and pod. */
  readonly identity: Identity;
  readonly config: Known<GitalyConfig>;
  readonly cgroup: Known<CgroupFacts>;
  readonly volume: Known<VolumeFacts>;
  /** From deletion to Ready, at the last rotation that was seen whole. */
  readonly rotationSeconds: Known<number>;
}

export interface PraefectFacts {
  /** database.sslmode as its configuration has it; empty where it says nothing. */
  readonly sslMode: Known<string>;
  /** PostgreSQL's server_version. */
  readonly postgresqlVersion: Known<string>;
  /** GitLab's version that Praefect runs, where no pod's image tells. */
  readonly gitlabVersion: Known<string>;
  /** How many are alive, for those that are no pods. */
  readonly instances: Known<number>;
}

/** All unknown, for one reason: a start for whoever fills in what is known. */
export function nothingKnown(now: number, why: Unknown): CheckInputs {
  return {
    now,
    gitalyPods: why,
    praefectPods: why,
    statefulSets: why,
    disruptionBudgets: why,
    nodes: why,
    otherPods: why,
    servers: [],
    nodeFacts: [],
    clientRetrySeconds: why,
    praefect: why,
  };
}

export const serverNotKnown = (identity: Identity, why: Unknown): ServerFacts => ({
  identity,
  config: why,
  cgroup: why,
  volume: why,
  rotationSeconds: why,
});

export const nodeNotKnown = (node: string, why: Unknown): NodeFacts => ({
  node,
  cgroupVersion: why,
  cgroupDriver: why,
  nsdelegate: why,
  runcVersion: why,
  swapBytes: { ...why, notApplicable: true },
});
