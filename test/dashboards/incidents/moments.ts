/**
 * Moments of incidents: five scrapes of the demo's exporter and Gitalys in each, one before the incident and
 * two each in its middle and at its end, so that rates have enough samples.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { zstdCompressSync, zstdDecompressSync } from 'node:zlib';

export interface Moments {
  readonly incident: string;
  /** The times of the scrapes, in seconds since 1970. */
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

/** The text for promtool to create blocks from; the label `cluster` is the incident. */
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
