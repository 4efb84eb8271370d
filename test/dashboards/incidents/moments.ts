/**
 * Moments of incidents: five scrapes of the demo's exporter and Gitalys in each, one before it and two each in its
 * middle and at its end, so that rates have what they need.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { zstdCompressSync, zstdDecompressSync } from 'node:zlib';

export interface Moments {
  readonly incident: string;
  /** Of the scrapes, in seconds since 1970. */
  readonly times: readonly number[];
  /** The value at each time, null where there is none, by series with all its labels. */
  readonly series: Readonly<Record<string, readonly (number | null)[]>>;
}

const file = join(import.meta.dirname, '../../fixtures/dashboards/incidents.json.zst');

export const readMoments = (): readonly Moments[] =>
  JSON.parse(zstdDecompressSync(readFileSync(file)).toString()) as readonly Moments[];

/** @returns the compressed size in bytes */
export function writeMoments(all: readonly Moments[]): number {
  const content = zstdCompressSync(JSON.stringify(all));
  writeFileSync(file, content);
  return content.length;
}

/** The text that promtool makes blocks of; the label `cluster` is the incident. */
export const openMetrics = (all: readonly Moments[]): string =>
  all
    .flatMap(({ incident, series, times }) =>
      Object.entries(series).flatMap(([name, values]) =>
        times.flatMap((time, index) => {
          const value = values[index];
          return typeof value === 'number'
            ? [`${name.replace('{', `{cluster=${JSON.stringify(incident)},`)} ${value} ${time}`]
            : [];
        }),
      ),
    )
    .concat('# EOF\n')
    .join('\n');
