/** What an incident of the demo is: what people read about it, and one function that is its story. */
import type { Metric } from '../../src/metrics/metric.ts';
import type { Cluster } from '../cluster.ts';
import type { Praefect } from '../praefect.ts';
import type { Sql } from '../sql.ts';

export interface IncidentText {
  /** Stable: part of a path and an argument of the command. */
  readonly name: string;
  readonly title: string;
  /** One paragraph: what happens, as an operator would be told it. */
  readonly description: string;
  /** Alert rules that fire when it lasts long enough. None: it is there to be seen, not to wake anybody. */
  readonly alerts: readonly string[];
  /** How it ends, and what it leaves behind. */
  readonly ends: string;
}

export interface Incident extends IncidentText {
  /** What to look at on /metrics while it lasts. */
  readonly watch: readonly { readonly metric: Metric; readonly shows: string }[];
  /** What it takes for itself: two incidents that need the same thing can't run at once. */
  readonly needs: readonly string[];
  /**
   * Its whole course. It returns once it is over: when `scene.signal` aborts, or by itself. Whatever it did to
   * the world it undoes before it returns, also when it fails.
   */
  run(scene: Scene): Promise<void>;
}

/** What an incident has at hand. */
export interface Scene {
  readonly cluster: Cluster;
  /** Aborts when somebody ends the incident, or the demo stops. */
  readonly signal: AbortSignal;
  /** Tells people where it stands: the newest line is shown beside the incident. */
  say(line: string): void;
  /** Until the incident is ended. */
  untilEnded(): Promise<void>;
  /** Until the condition holds, or the incident is ended. Asks ten times a second; a failed question is a no. */
  until(condition: () => Promise<boolean> | boolean): Promise<void>;
  sleep(ms: number): Promise<void>;
  /** A superuser's session in Praefect's database: for looking, and for what operators do by hand. */
  readonly sql: Sql;
  readonly database: DatabaseControl;
}

/**
 * Chooses repositories of `default` that are hardly ever written to (the newest, but for the very newest, which are
 * the first to be removed), and of these the ones that were verified last, so that what is done to them is not found
 * at once. `condition` is a constant of ours, never input. Whoever chooses them releases them.
 */
export async function chooseQuietRepositories(
  { sql, cluster: { world } }: Scene,
  condition: string,
  count: number,
): Promise<readonly number[]> {
  const rows = await sql.query<{ id: number }>(
    `SELECT id FROM (
       SELECT repository_id AS id FROM repositories WHERE virtual_storage = 'default' AND ${condition}
       ORDER BY repository_id DESC OFFSET 10 LIMIT 100
     ) AS quiet
     ORDER BY (SELECT min(verified_at) FROM storage_repositories AS r WHERE r.repository_id = id) DESC`,
  );
  const ids = rows.map(({ id }) => id).filter((id) => !world.chosen.has(id));
  const chosen = ids.slice(0, count);
  for (const id of chosen) world.chosen.add(id);
  return chosen;
}

export function releaseRepositories({ cluster }: Scene, ids: readonly number[]): void {
  for (const id of ids) cluster.world.chosen.delete(id);
}

/** Whether any Praefect's workers hold at least so many replication jobs. */
export const someHold = (cluster: Cluster, jobs: number): Praefect | undefined =>
  cluster.topology.praefects
    .map((name) => cluster.praefect(name))
    .find((praefect) => (praefect.context()?.held.size ?? 0) >= jobs);

/** What happens to the database server itself. */
export interface DatabaseControl {
  stop(): Promise<void>;
  start(): Promise<void>;
  /** default_transaction_read_only of Praefect's database; ends its sessions, which would keep the old setting. */
  setReadOnly(readOnly: boolean): Promise<void>;
  /** Runs statements in a session of its own, in a transaction that stays open. Returns what ends that session. */
  holdTransaction(statements: readonly string[]): Promise<() => Promise<void>>;
}
