/** What this room asks of Kubernetes: which of the pods on this node are Gitaly's, and what their containers are. */
import type { Failure } from '../../scheduler/outcome.ts';

/** Knows Gitaly's pods on this node: Kubernetes' API does, and a file does. */
export interface PodDirectory {
  /**
   * The pods of this moment, from memory: cheap enough for every scrape, and never a wait. A pod that was deleted
   * stays in the list for a minute, so that what happened at its end still gets its name.
   */
  pods(): KnownPods;
  /** Calls the listener when the pods may have changed; returns how to unsubscribe. */
  subscribe(listener: () => void): () => void;
}

export interface KnownPods {
  readonly pods: readonly KnownPod[];
  /**
   * Undefined when the list is whole. Else why it may not be: then a tree whose pod is not listed is named by its
   * uid instead of being left out.
   */
  readonly failure: Failure | undefined;
}

/** A pod of Gitaly as the API tells of it. What it does not tell is absent or ''. */
export interface KnownPod {
  readonly uid: string;
  readonly namespace: string;
  readonly name: string;
  readonly node: string;
  readonly qosClass: string;
  readonly priorityClass: string;
  /** Of Gitaly, as the container's image is tagged: `v18.10.0`. */
  readonly version: string;
  /** Of the node: `containerd://2.1.4`, `6.12.0-amd64`. */
  readonly runtimeVersion: string;
  readonly kernelVersion: string;
  /** Those that run or ran last, init containers left out. */
  readonly containers: readonly KnownContainer[];
}

export interface KnownContainer {
  readonly name: string;
  /** Without the runtime's prefix: the hex of `containerd://<hex>`. Empty until it is made. */
  readonly id: string;
}
