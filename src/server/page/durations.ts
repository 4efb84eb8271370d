/** Durations and times as people read them. */

/** Two units at most: `420 ms`, `14 s`, `12 min 5 s`, `3 h 5 min`, `2 d 4 h`. Below zero counts as zero. */
export function formatDuration(ms: number): string {
  if (!Number.isFinite(ms)) return 'unknown';
  if (ms < 1) return '0 s';
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 10_000) return `${Math.floor(ms / 100) / 10} s`;
  const s = Math.floor(ms / 1000);
  if (s < 60) return `${s} s`;
  if (s < 3600) return two(Math.floor(s / 60), 'min', s % 60, 's');
  if (s < 86_400) return two(Math.floor(s / 3600), 'h', Math.floor((s % 3600) / 60), 'min');
  return two(Math.floor(s / 86_400), 'd', Math.floor((s % 86_400) / 3600), 'h');
}

const two = (large: number, largeUnit: string, small: number, smallUnit: string): string =>
  small === 0 ? `${large} ${largeUnit}` : `${large} ${largeUnit} ${small} ${smallUnit}`;

/** `2026-03-01 03:12:05 UTC`; with `now` on the same day, without the date. */
export function formatTime(ms: number, now?: number): string {
  if (!Number.isFinite(ms) || Math.abs(ms) > 8.64e15) return 'unknown';
  const [date, clock] = new Date(ms).toISOString().split('T') as [string, string];
  const today = now !== undefined && new Date(now).toISOString().startsWith(date);
  return `${today ? '' : `${date} `}${clock.slice(0, 8)} UTC`;
}
