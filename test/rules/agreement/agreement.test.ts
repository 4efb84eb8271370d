/**
 * For every incident of the demo, the page and the alerts agree: each firing alert has its problem on the page,
 * with the same severity, and each problem's alert is pending or firing. The page may be earlier: then its
 * problem is pending.
 *
 * The incidents run in demos. What the exporter shows of each is then extrapolated over half an hour: for the
 * page by its own rules, for the alerts by promtool.
 */
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { incidents } from '../../../demo/incidents/catalog.ts';
import type { AlertInstance } from '../../../replay/promtool.ts';
import { alertRules } from '../../../src/rules/alert-rules.ts';
import { type ProblemId, severityOf } from '../../../src/rules/problems/problem.ts';
import type { TrackedProblem } from '../../../src/rules/problems/tracker.ts';
import { alertsOf, notInhibited, stepSeconds } from './alerts.ts';
import { openStage, type PlayedIncident, type Stage } from './incident.ts';

// Above the sum of a demo's own time limits, each of which names its incident and the problems on the page.
jest.setTimeout(900_000);

interface Expected {
  /** The problems on the page during the incident. */
  readonly problems: readonly ProblemId[];
  /**
   * Whether it continues as captured; if not, nothing further happens, such as another OOM kill. Default true.
   */
  readonly isSteady?: boolean;
}

/**
 * Each row is one demo, which runs its incidents one after the other. Those that stay on the page afterwards
 * are last.
 */
const programs: readonly Readonly<Record<string, Expected>>[] = [
  {
    'storage-dies': { problems: ['storage_unhealthy'] },
    'praefect-cut-off': { problems: ['storage_unreachable_from_praefect'] },
    'pod-pending': { problems: ['pod_not_ready'] },
    'oom-bucket': { problems: ['git_oom_killed'], isSteady: false },
  },
  {
    'archive-storage-dies': { problems: ['storage_unhealthy', 'repositories_unavailable'] },
    'all-praefects-die': { problems: ['quorum_lost'] },
    'image-pull-fails': { problems: ['pod_not_ready'] },
    'limit-saturated': { problems: ['requests_dropped_queue_full'], isSteady: false },
  },
  {
    'storage-hangs': { problems: ['storage_unhealthy'] },
    'database-read-only': { problems: ['database_read_only'] },
    'replication-refused': { problems: ['replicas_stuck'] },
    'oom-pod': { problems: ['gitaly_oom_killed'], isSteady: false },
  },
  {
    'only-copy-dies': { problems: ['storage_unhealthy', 'repositories_unavailable'] },
    'database-stops': { problems: ['database_unreachable'] },
    'drain-blocked': { problems: ['pod_not_ready'] },
  },
  {
    'praefect-dies': { problems: ['praefect_not_reporting'] },
    'repository-lost': { problems: ['repositories_lost'] },
    'stuck-replica': { problems: ['replicas_stuck'] },
  },
  {
    'database-blocked': { problems: ['collector_failing'] },
    'replication-stalls': { problems: [] },
    backlog: { problems: [] },
    'crash-loop': { problems: ['gitaly_oom_killed'], isSteady: false },
  },
];

/** Incidents that end by themselves within a minute, before any alert except the annotation of a failover. */
const short: readonly string[] = ['rollout', 'pod-deleted', 'node-drained', 'pod-evicted', 'replica-lost'];

const minute = 60;
const times = [0, 1, 5, 10, 20, 32].map((minutes) => minutes * minute);

interface Moment {
  readonly after: number;
  readonly alerts: readonly AlertInstance[];
  readonly problems: readonly TrackedProblem[];
}
const moments = new Map<string, readonly Moment[]>();
/** Why an incident could not be run; the others still run. */
const failures = new Map<string, unknown>();

const stopping = new AbortController();
/** One evaluation at a time, while the next incidents run: promtool takes a whole processor. */
let evaluated = Promise.resolve();
beforeAll(async () => {
  await Promise.all(programs.map(playAll));
  await evaluated;
});
afterAll(() => stopping.abort());

async function playAll(program: Readonly<Record<string, Expected>>): Promise<void> {
  const names = new Set(Object.keys(program));
  let stage: Stage | undefined;
  try {
    stage = await openStage(stopping.signal);
    for (const [name, expected] of Object.entries(program)) {
      const played = await playOn(stage, name, expected).catch((error: unknown) => {
        failures.set(name, error);
      });
      names.delete(name);
      if (played !== undefined) evaluated = evaluated.then(() => evaluate(name, expected, played));
    }
  } catch (error) {
    for (const name of names) failures.set(name, error);
  } finally {
    await stage?.stop();
  }
}

/** Without another kill, the alerts end one after the other. */
const timesOf = ({ isSteady = true }: Expected): readonly number[] => (isSteady ? times : times.slice(0, 2));

interface Played {
  readonly incident: PlayedIncident;
  readonly pages: ReturnType<PlayedIncident['continueFor']>;
}

async function playOn(stage: Stage, name: string, expected: Expected): Promise<Played> {
  const incident = await stage.play(name, expected.problems, expected.isSteady ?? true);
  return { incident, pages: incident.continueFor(Math.max(...timesOf(expected)), stepSeconds) };
}

async function evaluate(name: string, expected: Expected, { incident, pages }: Played): Promise<void> {
  try {
    const alerts = await alertsOf(incident, expected.isSteady ?? true, timesOf(expected));
    moments.set(
      name,
      alerts.map(({ after, alerts: found }) => ({
        after,
        alerts: found,
        problems: pages.find((page) => page.after === after)?.problems ?? [],
      })),
    );
  } catch (error) {
    failures.set(name, error);
  }
}

test('every incident of the demo is run, or ends before any alert', () => {
  const played = programs.flatMap((program) => Object.keys(program));
  expect([...played, ...short].sort()).toEqual(incidents.map(({ name }) => name).sort());
});

const ruleKey = ({ name, severity }: { readonly name: string; readonly severity: string }): string =>
  `${name} ${severity}`;
/** The severity of its kind, also during maintenance. */
const alertOf = ({ alert, id }: TrackedProblem): string => `${alert} ${severityOf(id)}`;
const hasProblem = new Set(Object.entries(alertRules).map(([name, { severity }]) => `${name} ${severity}`));

describe.each(programs.flatMap((program) => Object.keys(program)))('%s', (name) => {
  const all = (): readonly Moment[] => {
    if (failures.has(name)) throw failures.get(name);
    return moments.get(name) ?? [];
  };

  test('shows a problem for each alert that fires', () => {
    expect(all()).not.toEqual([]);
    const missing = all().flatMap(({ after, alerts, problems }) => {
      const shown = new Set(problems.filter(({ alert }) => alert !== undefined).map(alertOf));
      return notInhibited(alerts)
        .map(ruleKey)
        .filter((alert) => hasProblem.has(alert) && !shown.has(alert))
        .map((alert) => ({ after, alert }));
    });
    expect(missing).toEqual([]);
  });

  test('has an alert in the same state for each problem that names one', () => {
    const { alerts, problems } = all().at(-1) as Moment;
    const different = problems
      .filter(({ alert, suppressedBy }) => alert !== undefined && suppressedBy.length === 0)
      .map((found) => ({
        problem: found.key,
        alert: alertOf(found),
        shown: found.alertState,
        states: [
          ...new Set(alerts.filter((alert) => ruleKey(alert) === alertOf(found)).map(({ state }) => state)),
        ],
      }))
      .filter(({ shown, states }) => !states.some((state) => state === shown));
    expect(different).toEqual([]);
  });
});
