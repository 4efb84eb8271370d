/** Whether planned work is under way: windows of the settings by the clock, others as their source tells. */
import { Cron } from 'croner';
import type { ConfiguredWindow } from '../../config/kinds/maintenance-window.ts';

/** A window at one moment. */
export interface WindowState {
  /** A label value: `weekly`, `annotation:Node/lab-node-1`, `rollout:gitlab/gl-gitaly-default`. */
  readonly name: string;
  readonly open: boolean;
  /** Milliseconds since 1970; undefined while it is not open. */
  readonly endsAt: number | undefined;
}

/** Who else knows windows: Kubernetes. */
export interface WindowSource {
  /** Those that are known at the moment; none while nothing is known. */
  windows(now: number): readonly WindowState[];
  /** What somebody wrote that is no window, in words, with the mend. */
  mistakes(now: number): readonly WindowMistake[];
}

export interface WindowMistake {
  /** Stays the same while it lasts. */
  readonly key: string;
  readonly title: string;
  readonly detail: string;
  readonly action: string;
}

/** The windows of the settings. */
export function configuredWindows(windows: readonly ConfiguredWindow[]): WindowSource {
  const states = windows.map(stateOf);
  return {
    windows: (now) => states.map((state) => state(now)),
    mistakes: () => [],
  };
}

/**
 * Of a begin that daylight saving skips, croner takes the first moment after the gap; of one that comes twice, the
 * first. The end is a span of time later, so a night with a change of clocks has as long a window as any other.
 */
function stateOf(window: ConfiguredWindow): (now: number) => WindowState {
  const { name } = window;
  if (window.kind === 'once') {
    const { start, end } = window;
    return (now) => {
      const open = now >= start && now < end;
      return { name, open, endsAt: open ? end : undefined };
    };
  }
  const begins = new Cron(window.cron, { timezone: window.zone, mode: '5-part', paused: true });
  return (now) => {
    // Strictly before what it is given: a window that begins now is open.
    const [begin] = begins.previousRuns(1, new Date(now + 1));
    const end = begin === undefined ? undefined : begin.getTime() + window.duration;
    const open = end !== undefined && now < end;
    return { name, open, endsAt: open ? end : undefined };
  };
}
