/** Scrapes targets at a fixed interval and keeps the values by series, as Prometheus does. */
import type { Clock } from '../../src/lib/clock.ts';
import { seriesIn, withTarget } from '../series.ts';
import type { Value, Values } from '../values.ts';

export interface RecordedTarget {
  readonly url: string;
  /** Labels that Prometheus adds to its series: `job`, `instance`. */
  readonly labels: Readonly<Record<string, string>>;
}

export interface Scraper {
  /** Scrapes this many times, or until `isRunning` is false. */
  scrapeFor(scrapes: number, isRunning?: () => boolean): Promise<void>;
  /** Seconds since the first scrape. */
  elapsed(): number;
  result(): {
    readonly startedAt: number;
    readonly scrapes: number;
    readonly series: ReadonlyMap<string, Values>;
  };
}

interface ScraperOptions {
  readonly targets: readonly RecordedTarget[];
  readonly stepSeconds: number;
  readonly clock: Clock;
  readonly fetch: typeof globalThis.fetch;
  readonly signal: AbortSignal;
}

/** Prometheus' default; a longer response is a failed scrape. */
const timeoutMs = 10_000;

export function createScraper({ targets, stepSeconds, clock, fetch, signal }: ScraperOptions): Scraper {
  const series = new Map<string, Value[]>();
  const startedAt = clock.now() / 1000;
  const started = clock.monotonic();
  let scrapes = 0;

  async function scrape({ url, labels }: RecordedTarget): Promise<ReadonlyMap<string, number>> {
    const samples = new Map<string, number>();
    const text = await fetch(url, { signal: AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]) })
      .then(async (response) => (response.ok ? await response.text() : undefined))
      .catch(() => undefined);
    signal.throwIfAborted();
    samples.set(withTarget('up', labels), text === undefined ? 0 : 1);
    for (const [name, value] of text === undefined ? [] : seriesIn(text))
      samples.set(withTarget(name, labels), value);
    return samples;
  }

  async function scrapeAll(): Promise<void> {
    for (const samples of await Promise.all(targets.map(scrape)))
      for (const [name, value] of samples) {
        const values = series.get(name) ?? [];
        while (values.length < scrapes) values.push(undefined);
        values.push(value);
        series.set(name, values);
      }
    scrapes += 1;
  }

  return {
    async scrapeFor(count, isRunning = () => true) {
      for (let i = 0; i < count && isRunning(); i += 1) {
        await clock.sleep(Math.max(0, started + scrapes * stepSeconds * 1000 - clock.monotonic()), signal);
        signal.throwIfAborted();
        await scrapeAll();
      }
    },
    elapsed: () => Math.round((clock.monotonic() - started) / 1000),
    result() {
      for (const values of series.values()) while (values.length < scrapes) values.push(undefined);
      return { startedAt, scrapes, series };
    },
  };
}
