/** The measurements of the soak, by thirds of its duration, and which of them grew. */
import type { Probe } from './soak-probe.ts';

const keys = ['rssMiB', 'objectsMiB', 'codeMiB', 'externalMiB', 'descriptors', 'timers', 'handles'] as const;

/** The increase from one third to the next: above both limits it is growth, not noise from random faults. */
const tolerated: Readonly<
  Record<(typeof keys)[number], { readonly ratio: number; readonly amount: number }>
> = {
  rssMiB: { ratio: 1.05, amount: 6 },
  objectsMiB: { ratio: 1.02, amount: 0.5 },
  codeMiB: { ratio: 1.3, amount: 2 },
  externalMiB: { ratio: 1.2, amount: 2 },
  descriptors: { ratio: 1.1, amount: 3 },
  timers: { ratio: 1.1, amount: 3 },
  handles: { ratio: 1.1, amount: 3 },
};

/** At least three in each third. */
const minProbes = 9;

export type Third = Readonly<Record<keyof Probe, number>>;

/** First, middle and last third; the first includes the start. */
export function thirdsOf(probes: readonly Probe[]): readonly Third[] {
  return [0, 1, 2].map((index) => {
    const from = Math.floor((probes.length * index) / 3);
    const third = probes.slice(from, Math.floor((probes.length * (index + 1)) / 3));
    const mean = (key: keyof Probe): number =>
      third.reduce((sum, probe) => sum + probe[key], 0) / Math.max(1, third.length);
    return Object.fromEntries(keys.map((key) => [key, Math.round(mean(key) * 100) / 100])) as Third;
  });
}

/** What the last third has more of than the middle one, as text. */
export function growthOf(probes: readonly Probe[]): readonly string[] {
  if (probes.length < minProbes) return [`unknown: ${probes.length} of ${minProbes} minutes measured`];
  const [, middle, last] = thirdsOf(probes);
  if (middle === undefined || last === undefined) return [];
  return keys.flatMap((key) => {
    const { ratio, amount } = tolerated[key];
    const isGrowth = last[key] > middle[key] * ratio && last[key] > middle[key] + amount;
    return isGrowth ? [`${key} from ${middle[key]} to ${last[key]}`] : [];
  });
}
