/**
 * A recording: what Prometheus scraped during an incident, and the events of the incident.

 * Its file is text, compressed with zstd: a line of JSON with the events, then one line per series with its values
 * in the notation of promtool (`start+stepxn`), so that constant values take no space.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { familyOf, wordsOf } from './series.ts';
import { formatValues, parseValues, type Values } from './values.ts';

/** An event, in seconds since the first scrape. */
export interface Happening {
  readonly at: number;
  readonly what: string;
}

export interface RecordedScrapes {
  readonly name: string;
  /** The recorded program and cluster. */
  readonly source: string;
  /** Seconds since 1970 of the first scrape. Values that are timestamps refer to it. */
  readonly startedAt: number;
  readonly stepSeconds: number;
  readonly scrapes: number;
  /** Seconds since the first scrape at which the incident began and ended. */
  readonly began: number;
  readonly ended: number;
  readonly truth: readonly Happening[];
  /** Values at each scrape, by series with all its labels. */
  readonly series: ReadonlyMap<string, Values>;
}

export const recordingsFolder = join(import.meta.dirname, '../alerts/replays');
const extension = '.replay.zst';

export const recordingNames = (folder = recordingsFolder): readonly string[] =>
  readdirSync(folder)
    .filter((file) => file.endsWith(extension))
    .map((file) => basename(file, extension))
    .sort();

/**
 * Only the families that these texts of rules name, and those that identify servers: the others are most of a
 * scrape.
 */
export function ofRules(recording: RecordedScrapes, rules: readonly string[]): RecordedScrapes {
  const words = wordsOf(rules);
  const series = [...recording.series].filter(([name]) => {
    const family = familyOf(name);
    return words.has(family) || family.endsWith('_info');
  });
  return { ...recording, series: new Map(series) };
}

/** @returns the compressed size in bytes */
export function writeRecording(recording: RecordedScrapes, folder = recordingsFolder): number {
  const { series, ...head } = recording;
  const lines = [...series]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, values]) => `${name}\t${formatValues(values)}`);
  const content = zstdCompressSync(`${[JSON.stringify(head), ...lines].join('\n')}\n`);
  writeFileSync(join(folder, `${recording.name}${extension}`), content);
  return content.length;
}

/** @throws Error when there is no such recording, or it cannot be read */
export function readRecording(name: string, folder = recordingsFolder): RecordedScrapes {
  const names = recordingNames(folder);
  if (!names.includes(name)) throw new Error(`no recording ${name}: expected one of ${names.join(', ')}`);
  const text = zstdDecompressSync(readFileSync(join(folder, `${name}${extension}`))).toString();
  const [head = '', ...lines] = text.trimEnd().split('\n');
  const series = new Map(
    lines.map((line): [string, Values] => {
      const tab = line.lastIndexOf('\t');
      return [line.slice(0, tab), parseValues(line.slice(tab + 1))];
    }),
  );
  return { ...(JSON.parse(head) as Omit<RecordedScrapes, 'series'>), series };
}
