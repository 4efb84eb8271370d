/** What is read: servers that speak of themselves at /metrics, and who knows which there are. */

import type { Failure } from '../../scheduler/outcome.ts';
import type { Identity } from '../identity.ts';
import type { Component } from './metrics.ts';
import type { Access } from './scrape/access.ts';

export interface Target {
  readonly component: Component;
  /** `http://10.0.0.7:9236/metrics`. Without user and password. */
  readonly url: URL;
  /**
   * The address to connect to in place of what the URL's host resolves to; TLS still checks the URL's host. For a
   * name that stands for several servers.
   */
  readonly address?: string;
  /** No two targets of a component share one. */
  readonly identity: Identity;
  /** What to show for oneself; `openAccess` for nothing. Never that of other targets. */
  readonly access: Access;
}

/** Knows targets: the settings do, and Kubernetes does. */
export interface TargetSource {
  /**
   * The targets of this moment. What could not be found out is a failure of its own and does not hide the rest.
   * Never rejects; gives up when the signal aborts.
   */
  list(signal: AbortSignal): Promise<Listed>;
}

export interface Listed {
  readonly targets: readonly Target[];
  readonly failures: readonly Failure[];
}

/** The text of a config.toml of Gitaly, or of the chart's config.toml.tpl, and whose it is. */
export interface ConfigText {
  /** For messages: a path, or `ConfigMap gitlab/gl-gitaly, config.toml.tpl`. */
  readonly name: string;
  readonly text: string;
  /** The servers that it configures: one on a virtual machine, all pods of a StatefulSet on Kubernetes. */
  readonly identities: readonly Identity[];
}

/** Knows configurations: files on a virtual machine, ConfigMaps on Kubernetes. */
export interface ConfigSource {
  /** As `TargetSource.list`. */
  read(signal: AbortSignal): Promise<{
    readonly texts: readonly ConfigText[];
    readonly failures: readonly Failure[];
  }>;
}
