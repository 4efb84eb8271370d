/** What the page, its problems and the checks read of Gitaly's servers: the collector's newest snapshot. */
import type { Failure } from '../../scheduler/outcome.ts';
import type { DropEpisode, WindowDrops } from './drops.ts';
import type { ServerLimits } from './limits.ts';
import type { ScrapeTarget } from './target.ts';

export interface GitalyView {
  /** Every known target, Gitalys and Praefects. */
  readonly reads: readonly TargetRead[];
  /** Servers that are not read on purpose: one sentence each. */
  readonly excluded: readonly string[];
  /** Gitalys whose metrics were read or whose configuration is known. */
  readonly servers: readonly ServerLimits[];
  /** Limits that have been dropping requests, of Gitalys whose metrics were read; oldest first. */
  readonly episodes: readonly DropEpisode[];
  /** Requests dropped within the last window, of Gitalys whose metrics were read. */
  readonly recentDrops: readonly WindowDrops[];
}

/** The last read of a target's metrics. */
export interface TargetRead {
  readonly target: ScrapeTarget;
  /** Undefined: it succeeded. */
  readonly failure: Failure | undefined;
  /** The server responded, though perhaps not with a page that can be used. Undefined: nothing was sent. */
  readonly responds: boolean | undefined;
  readonly seconds: number;
}
