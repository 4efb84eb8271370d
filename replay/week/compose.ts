/**
 * A long recording composed of short ones: parts of ordinary operation are repeated, recorded events are inserted,
 * and modeled events change the values. Counters continue across the parts, and timestamps move with the clock.
 */
import type { RecordedScrapes } from '../recording.ts';
import { isCounter, isTime } from '../series.ts';
import type { Value, Values } from '../values.ts';

/** A modeled event: it changes the scraped values between two times. */
export interface Overlay {
  readonly from: number;
  readonly to: number;
  /** The value at a time, in seconds since the event began; undefined keeps the recorded one. */
  readonly gauge?: (series: string, value: number, seconds: number) => number | undefined;
  /** The increase per second of a counter, given the recorded one; undefined keeps it. */
  readonly rate?: (series: string, perSecond: number, seconds: number) => number | undefined;
  /** Whether the series is not scraped; `unmarked`: because Prometheus does not run. */
  readonly absent?: (series: string) => boolean | 'unmarked';
  /** Whether the series' counter restarts at zero when the event ends. */
  readonly resets?: (series: string) => boolean;
}

/** Recorded scrapes that are inserted at a time, with changes that are applied first. */
export interface Insertion {
  readonly at: number;
  readonly recording: RecordedScrapes;
}

interface CompositionOptions {
  readonly name: string;
  readonly base: RecordedScrapes;
  readonly insertions: readonly Insertion[];
  readonly overlays: readonly Overlay[];
  readonly seconds: number;
  /** A multiple of the recordings' step. */
  readonly stepSeconds: number;
}

/** Which scrape of which recording is used at a step; `isNew`: another recording than in the previous step. */
interface Source {
  readonly recording: RecordedScrapes;
  readonly index: number;
  readonly before: number | undefined;
}

export function compose(options: CompositionOptions): RecordedScrapes {
  const { name, base, insertions, overlays, seconds, stepSeconds } = options;
  const scrapes = Math.floor(seconds / stepSeconds);
  const sources = Array.from({ length: scrapes }, (_, i) =>
    sourceAt(i * stepSeconds, stepSeconds, base, insertions),
  );
  const names = new Set(
    [base, ...insertions.map(({ recording }) => recording)].flatMap(({ series }) => [...series.keys()]),
  );
  const active = Array.from({ length: scrapes }, (_, i) =>
    overlays.filter(({ from, to }) => i * stepSeconds >= from && i * stepSeconds < to),
  );
  const ending = Array.from({ length: scrapes }, (_, i) =>
    overlays.filter(({ to }) => to > (i - 1) * stepSeconds && to <= i * stepSeconds),
  );
  const series = new Map<string, Values>();
  for (const each of names) {
    const values: Value[] = [];
    const place = isTime(each)
      ? timePlacer(each)
      : isCounter(each)
        ? counterPlacer(each, stepSeconds)
        : undefined;
    for (let i = 0; i < scrapes; i += 1) {
      const source = sources[i] as Source;
      const raw = source.recording.series.get(each)?.[source.index];
      const time = i * stepSeconds;
      const changes = active[i] ?? [];
      const placed =
        typeof raw !== 'number'
          ? undefined
          : place === undefined
            ? raw
            : place(raw, source, time, changes, ending[i] ?? []);
      values.push(changed(each, placed, time, changes));
    }
    series.set(each, values);
  }
  return {
    ...{ name, source: 'composed', startedAt: 0, stepSeconds, scrapes, began: 0, ended: seconds, series },
    truth: [],
  };
}

/** An inserted recording while it lasts, otherwise the base, which is repeated. */
function sourceAt(
  time: number,
  stepSeconds: number,
  base: RecordedScrapes,
  insertions: readonly Insertion[],
): Source {
  const found = insertions.find(
    ({ at, recording }) => time >= at && time < at + recording.scrapes * recording.stepSeconds,
  );
  const recording = found?.recording ?? base;
  const stride = stepSeconds / recording.stepSeconds;
  const step = Math.floor((time - (found?.at ?? 0)) / recording.stepSeconds);
  const index = step % recording.scrapes;
  return { recording, index, before: index >= stride ? index - stride : undefined };
}

type Placer = (
  raw: number,
  source: Source,
  time: number,
  changes: readonly Overlay[],
  ended: readonly Overlay[],
) => number;

/** A timestamp keeps its distance to the scrape; one that is constant in its recording stays constant. */
function timePlacer(name: string): Placer {
  const fixed = new Map<RecordedScrapes, number | undefined>();
  return (raw, { recording, index }, time) => {
    const placed = time - (recording.startedAt + index * recording.stepSeconds - raw);
    if (!fixed.has(recording)) {
      const values = recording.series.get(name) ?? [];
      fixed.set(
        recording,
        values.every((value) => value === raw || value === undefined) ? placed : undefined,
      );
    }
    return fixed.get(recording) ?? placed;
  };
}

/** A counter increases by the increase in the recording, and restarts where that one does. */
function counterPlacer(name: string, stepSeconds: number): Placer {
  let total: number | undefined;
  return (raw, { recording, before }, time, changes, ended) => {
    const earlier = before === undefined ? undefined : recording.series.get(name)?.[before];
    const isReset =
      (typeof earlier === 'number' && raw < earlier) || ended.some(({ resets }) => resets?.(name) === true);
    const increase = typeof earlier === 'number' ? Math.max(0, raw - earlier) : 0;
    let perSecond = increase / stepSeconds;
    for (const { rate, from } of changes) perSecond = rate?.(name, perSecond, time - from) ?? perSecond;
    total = total === undefined ? raw : isReset ? Math.min(raw, increase) : total + perSecond * stepSeconds;
    return total;
  };
}

function changed(name: string, value: number | undefined, time: number, changes: readonly Overlay[]): Value {
  let result = value;
  for (const { absent, gauge, from } of changes) {
    const isAbsent = absent?.(name) ?? false;
    if (isAbsent === 'unmarked') return null;
    if (isAbsent) return undefined;
    if (result !== undefined && !isCounter(name)) result = gauge?.(name, result, time - from) ?? result;
  }
  return result;
}
