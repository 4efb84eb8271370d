/** What was measured of servers with the same configuration: the pods of a namespace, or one host. */
import { type Known, known, unknown } from '../../lib/known.ts';
import type { Trend } from '../../rules/checks/sizing.ts';
import { type Identity, identityText } from '../../sources/identity.ts';
import type { DailySeries, ServerHistory } from './history.ts';
import { type CurrentQuery, type DayQuery, stepSeconds } from './queries.ts';

export const daySeconds = 86_400;

/** increase() extrapolates to the ends of the day. */
export const rounded = (fact: Known<number>): Known<number> =>
  'value' in fact ? known(Math.ceil(fact.value)) : fact;

function highestOf(values: readonly (number | undefined)[]): number | undefined {
  const found = values.filter((value) => value !== undefined);
  return found.length === 0 ? undefined : found.reduce((most, value) => Math.max(most, value), -Infinity);
}

const notMeasured = unknown('Prometheus has no series of it');

/** Servers with the same configuration, and what was measured of them together. */
export type ServerGroup = ReturnType<typeof groupOf>;

export function groupOf(servers: readonly ServerHistory[]) {
  const daily = (query: DayQuery): readonly { readonly series: DailySeries; readonly identity: Identity }[] =>
    servers.flatMap(({ identity, series: of }) => of(query).map((series) => ({ series, identity })));
  const currentSeries = (query: CurrentQuery): readonly DailySeries[] =>
    servers.flatMap(({ series }) => series(query));
  /** Of each day, the highest of all servers. */
  const highestByDay = (all: readonly DailySeries[]): readonly (number | undefined)[] => {
    const length = Math.max(0, ...all.map(({ days }) => days.length));
    return Array.from({ length }, (_, day) => highestOf(all.map(({ days }) => days[day])));
  };
  return {
    isSingle: servers.length === 1,
    /** In which at least one server was there. */
    seconds: (query: 'cgroupSteps' | 'scrapeSteps'): number =>
      highestByDay(daily(query).map(({ series }) => series))
        .map((steps) => Math.min(daySeconds, (steps ?? 0) * stepSeconds))
        .reduce((sum, seconds) => sum + seconds, 0),
    /** The highest value of any server and day, with its trend. */
    peak(
      query: DayQuery,
      p99?: DayQuery,
      rpc = '',
    ): { readonly value: Known<number>; readonly trend: Trend } {
      const found = daily(query).filter(({ series }) => series.rpc === rpc);
      const value = highestOf(found.flatMap(({ series }) => series.days));
      const at = found.find(({ series }) => series.days.includes(value));
      const p99s =
        p99 === undefined
          ? []
          : daily(p99)
              .filter(({ series }) => series.rpc === rpc)
              .flatMap(({ series }) => series.days);
      return {
        value: value === undefined ? notMeasured : known(value),
        trend: {
          p99: highestOf(p99s),
          growthPerWeek: growthPerWeek(highestByDay(found.map(({ series }) => series))),
          where: at === undefined || servers.length === 1 ? undefined : identityText(at.identity),
        },
      };
    },
    /** Summed over servers and days; unknown without a series. */
    total(query: DayQuery, isWanted: (series: DailySeries) => boolean = () => true): Known<number> {
      const values = daily(query)
        .filter(({ series }) => isWanted(series))
        .flatMap(({ series }) => series.days)
        .filter((value) => value !== undefined);
      return values.length === 0 ? notMeasured : known(values.reduce((sum, value) => sum + value, 0));
    },
    /** The lowest of all servers: a limit that differs is being changed. */
    current(query: CurrentQuery, isWanted: (series: DailySeries) => boolean = () => true): Known<number> {
      const values = currentSeries(query)
        .filter(isWanted)
        .flatMap(({ days }) => days.slice(0, 1))
        .filter((value) => value !== undefined);
      return values.length === 0 ? notMeasured : known(Math.min(...values));
    },
    /** Every RPC with a series of the query. */
    rpcs: (query: CurrentQuery): readonly string[] =>
      [...new Set(currentSeries(query).map(({ rpc }) => rpc))].sort(),
    details: (query: CurrentQuery): ReadonlySet<string> =>
      new Set(currentSeries(query).map(({ detail }) => detail)),
  };
}

/** Days of a week that must have a value, so that weekends are in both weeks. */
const leastDays = 6;

/** Medians, so that one busy day is no growth. */
function growthPerWeek(days: readonly (number | undefined)[]): number | undefined {
  const [last, before] = [days.slice(0, 7), days.slice(7, 14)].map(median);
  return last === undefined || before === undefined ? undefined : last - before;
}

function median(values: readonly (number | undefined)[]): number | undefined {
  const sorted = values.filter((value) => value !== undefined).sort((a, b) => a - b);
  return sorted.length < leastDays ? undefined : sorted[Math.floor(sorted.length / 2)];
}
