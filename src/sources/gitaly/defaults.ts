/** What limits Gitaly when its config.toml does not say; only where its version is known, and known to do so. */

export interface Defaults {
  /** Calls of an RPC with a limit that may wait for one repository. */
  readonly queueSize: number | undefined;
  readonly packObjectsLimit: number | undefined;
  readonly packObjectsQueueSize: number | undefined;
}

/** Gitaly's internal/gitaly/config: 200 pack-objects for an address since 16.1; bounded queues in 18.0 at the latest. */
const since: readonly {
  readonly major: number;
  readonly minor: number;
  readonly defaults: Partial<Defaults>;
}[] = [
  { major: 16, minor: 1, defaults: { packObjectsLimit: 200 } },
  { major: 18, minor: 0, defaults: { queueSize: 500, packObjectsQueueSize: 200 } },
];

const none: Defaults = { queueSize: undefined, packObjectsLimit: undefined, packObjectsQueueSize: undefined };

/** @param version what `gitlab_build_info` says; none are known of a build without a number */
export function defaultsOf(version: string | undefined): Defaults {
  const [, major, minor] = /^v?(\d+)\.(\d+)/.exec(version ?? '') ?? [];
  if (major === undefined) return none;
  const reached = since.filter(
    (step) => Number(major) > step.major || (Number(major) === step.major && Number(minor) >= step.minor),
  );
  return Object.assign({ ...none }, ...reached.map(({ defaults }) => defaults));
}
