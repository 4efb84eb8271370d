/** What is read: servers with their own /metrics, configurations of Gitaly, and the interfaces of who finds them. */
import type { Failure } from '../../scheduler/outcome.ts';
import type { Component, Identity } from '../identity.ts';

export interface ScrapeTarget {
  readonly component: Component;
  /** `http://10.0.0.7:9236/metrics`. Without user and password. */
  readonly url: URL;
  /**
   * The address to connect to in place of what the URL's host resolves to; TLS still verifies the URL's host. For a
   * name that stands for several servers.
   */
  readonly address?: string;
  /** Unique among the targets of a component. */
  readonly identity: Identity;
  /** Only for this target: credentials are never sent to another. */
  readonly access: TargetAccess;
}

export interface TargetAccess {
  readonly tls: TlsFiles;
  /** A file of one line: `user:password`, or a bearer token, which by RFC 6750 has no colon. */
  readonly credentialsFile: string | undefined;
}

export interface TlsFiles {
  /** Trusted in place of the system's authorities. */
  readonly caFile?: string | undefined;
  readonly certFile?: string | undefined;
  readonly keyFile?: string | undefined;
  /** Expected in the server's certificate in place of the URL's host. */
  readonly serverName?: string | undefined;
}

/** Finds targets: the settings, Kubernetes. */
export interface TargetSource {
  /**
   * The targets of this moment. What could not be found out is a failure and does not hide the rest. Never rejects;
   * ends when the signal aborts.
   */
  list(signal: AbortSignal): Promise<TargetList>;
}

interface TargetList {
  readonly targets: readonly ScrapeTarget[];
  readonly failures: readonly Failure[];
  /** What is not read on purpose: one sentence each. */
  readonly excluded?: readonly string[];
}

/** The text of a config.toml of Gitaly, or of the chart's config.toml.tpl, and the servers that use it. */
export interface ConfigText {
  /** For messages: a path, or `ConfigMap gitlab/gl-gitaly, config.toml.tpl`. */
  readonly name: string;
  readonly text: string;
  /** One on a virtual machine, all pods of a StatefulSet on Kubernetes. */
  readonly identities: readonly Identity[];
}

/** Finds configurations: files on a virtual machine, ConfigMaps on Kubernetes. */
export interface ConfigSource {
  /** As `TargetSource.list`. */
  read(signal: AbortSignal): Promise<{
    readonly texts: readonly ConfigText[];
    readonly failures: readonly Failure[];
  }>;
}
