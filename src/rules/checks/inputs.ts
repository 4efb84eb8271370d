/**
 * What the checks are run on: snapshots that sources took. Each fact that may be unknown carries its reason, so that a
 * check which depends on it is unknown for that reason, and never passes.
 */

import type { GitalyConfig } from '../../config/gitaly/gitaly-config.ts';
import type { Known, Unknown } from '../../lib/known.ts';
import type { CgroupFacts } from '../../sources/cgroup/facts.ts';
import type { NodeFacts } from '../../sources/cgroup/node-facts.ts';
import type { Identity } from '../../sources/identity.ts';
import type { OtherPod } from '../../sources/kubernetes/directory/other-pods.ts';
import type { Node, Pod, PodDisruptionBudget, StatefulSet } from '../../sources/kubernetes/objects/types.ts';
import type { VolumeFacts } from '../../sources/volume-facts.ts';

export interface CheckInputs {
  /** Clock.now() */
  readonly now: number;
  /** By kubernetes.gitaly-selector and .praefect-selector. Not applicable where Kubernetes is not watched. */
  readonly gitalyPods: Known<readonly Pod[]>;
  readonly praefectPods: Known<readonly Pod[]>;
  /** At least those in the namespaces of these pods. */
  readonly statefulSets: Known<readonly StatefulSet[]>;
  readonly disruptionBudgets: Known<readonly PodDisruptionBudget[]>;
  readonly nodes: Known<readonly Node[]>;
  /** All pods of all namespaces but Gitaly's and Praefect's, for their priorities. */
  readonly otherPods: Known<readonly OtherPod[]>;
  /** Every Gitaly of which more is known than the API reports, on virtual machines too; each identity once. */
  readonly servers: readonly ServerFacts[];
  /** Each node once. */
  readonly nodeFacts: readonly NodeFacts[];
  /** How long GitLab retries a call to a Gitaly that is unavailable, in seconds (gitaly.client_max_backoff). */
  readonly clientRetrySeconds: Known<number>;
  readonly praefect: Known<PraefectFacts>;
}

export interface ServerFacts {
  /** The node of a pod may be empty here: pods are found by namespace and name. */
  readonly identity: Identity;
  readonly config: Known<GitalyConfig>;
  readonly cgroup: Known<CgroupFacts>;
  readonly volume: Known<VolumeFacts>;
  /** From deletion to Ready, at the slowest of the last rotations that were observed from start to end. */
  readonly rotationSeconds: Known<number>;
}

export interface PraefectFacts {
  /** Of each configuration that Praefects run with: the connection to its database, or why it is unknown. */
  readonly connections: readonly Known<PraefectConnection>[];
  /** PostgreSQL's server_version. */
  readonly postgresqlVersion: Known<string>;
  /** The GitLab versions whose Praefect has the schema of this database. */
  readonly schemaReleases: Known<SchemaReleases>;
  /** Live Praefects, for those that are not pods. */
  readonly instances: Known<number>;
}

/** [database] of Praefect's config.toml. */
export interface PraefectConnection {
  /** The file, or the ConfigMap. */
  readonly configuration: string;
  /** Empty where it is not set. */
  readonly sslMode: string;
  /** Empty where it is not set. */
  readonly host: string;
}

export interface SchemaReleases {
  /** `15.0` */
  readonly from: string;
  /** Undefined: it is the newest known schema. */
  readonly before: string | undefined;
}

/** Everything unknown for one reason: a base to fill in what is known. */
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

export const unknownServer = (identity: Identity, why: Unknown): ServerFacts => ({
  identity,
  config: why,
  cgroup: why,
  volume: why,
  rotationSeconds: why,
});

export const unknownNode = (node: string, why: Unknown): NodeFacts => ({
  node,
  cgroupVersion: why,
  cgroupDriver: why,
  nsdelegate: why,
  runcVersion: why,
  swapBytes: { ...why, notApplicable: true },
  memoryBytes: why,
});
