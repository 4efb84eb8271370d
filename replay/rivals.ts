/** What public rule sets report in a replay: rivals.rules.yaml, evaluated in the same way as the shipped rules. */
import { alertIntervals } from './intervals.ts';
import { rivalRules } from './promtool.ts';
import type { RecordedScrapes } from './recording.ts';
import { familyOf } from './series.ts';

export interface Rival {
  /** The label `rival` in the rules. */
  readonly id: string;
  readonly title: string;
  /** A recording without these families cannot show anything about it. */
  readonly needs: readonly string[];
}

export const rivals: readonly Rival[] = [
  { id: 'runbooks', title: "GitLab's runbooks", needs: ['up'] },
  { id: 'linux_package', title: 'Linux package', needs: ['up'] },
  { id: 'awesome', title: 'awesome-prometheus-alerts', needs: ['up'] },
  { id: 'kubernetes_mixin', title: 'kubernetes-mixin', needs: ['gitaly_server_pod_ready'] },
];

/** A rival's alert, once for all its instances that fire at the same time. */
export interface RivalAlert {
  readonly name: string;
  readonly isPage: boolean;
  /** Seconds since the incident began. */
  readonly at: number;
}

/** By id of the rival; absent where the recording lacks what it needs. */
export type RivalAlerts = Readonly<Record<string, readonly RivalAlert[]>>;

export async function rivalAlertsOf(recording: RecordedScrapes, signal?: AbortSignal): Promise<RivalAlerts> {
  const families = new Set([...recording.series.keys()].map(familyOf));
  const intervals = await alertIntervals(recording, {
    ruleFiles: [rivalRules],
    ...(signal !== undefined && { signal }),
  });
  const found = new Map<string, RivalAlert[]>();
  for (const { id, needs } of rivals) if (needs.every((family) => families.has(family))) found.set(id, []);
  const lastEnds = new Map<string, number>();
  for (const { name, severity, labels, firingAt, endedAt = Number.POSITIVE_INFINITY } of [...intervals].sort(
    (a, b) => (a.firingAt ?? 0) - (b.firingAt ?? 0),
  )) {
    if (firingAt === undefined) continue;
    // Grouped by name, as in Alertmanager's own examples.
    const lastEnd = lastEnds.get(name) ?? Number.NEGATIVE_INFINITY;
    lastEnds.set(name, Math.max(lastEnd, endedAt));
    if (firingAt > lastEnd)
      found
        .get(labels['rival'] ?? '')
        ?.push({ name, isPage: severity === 'critical', at: firingAt - recording.began });
  }
  return Object.fromEntries(found);
}
