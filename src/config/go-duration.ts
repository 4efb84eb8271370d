/**
 * Durations as Go writes them in config.toml: `1h30m`, `1.5s`, `500ms`; and a bare whole number, which Gitaly's TOML
 * library takes as nanoseconds (up to 15.x only 0 was accepted).
 */

const secondsOf: Readonly<Record<string, number>> = {
  ns: 1e-9,
  us: 1e-6,
  µs: 1e-6,
  μs: 1e-6,
  ms: 1e-3,
  s: 1,
  m: 60,
  h: 3600,
};

const part = /(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)/gy;

/** The seconds of a value of TOML, or undefined when Gitaly and Praefect would refuse it. */
export const goDurationOf = (value: unknown): number | undefined => {
  if (typeof value === 'bigint') return Number(value) / 1e9;
  if (typeof value === 'number') return Number.isInteger(value) ? value / 1e9 : undefined;
  return typeof value === 'string' ? parseGoDuration(value) : undefined;
};

/** Seconds, or undefined when Go's time.ParseDuration would refuse it. */
export function parseGoDuration(text: string): number | undefined {
  const [, sign, rest = ''] = /^([+-]?)(.*)$/s.exec(text) ?? [];
  if (rest === '0') return 0;
  const parts = [...rest.matchAll(part)];
  if (rest === '' || parts.map(([found]) => found).join('') !== rest) return undefined;
  const seconds = parts.reduce(
    (sum, [, count, unit]) => sum + Number(count) * (secondsOf[unit ?? ''] ?? Number.NaN),
    0,
  );
  return sign === '-' ? -seconds : seconds;
}
