/** An incident of the demo: its description, and the function that runs it. */
import type { Metric } from '../../src/metrics/metric.ts';
import type { SimulatedCluster } from '../cluster.ts';
import type { GitalyServers } from '../gitaly/servers.ts';
import type { DemoKubernetes } from '../kubernetes/cluster.ts';
import type { DemoNode } from '../node/node.ts';
import type { Sql } from '../praefect/context.ts';
import type { Praefect } from '../praefect/praefect.ts';

export interface IncidentText {
  /** Stable: part of a URL path and an argument of the command. */
  readonly name: string;
  readonly title: string;
  /** One paragraph: what happens, and what an operator would see. */
  readonly description: string;
  /** Alerts that fire when the incident lasts long enough; can be empty. */
  readonly alerts: readonly string[];
  /** How it ends, and what remains afterwards. */
  readonly ends: string;
}

export interface Incident extends IncidentText {
  /** Metrics that show it. */
  readonly watch: readonly { readonly metric: Metric; readonly shows: string }[];
  /** Resources that it uses exclusively: two incidents that need the same one cannot run at the same time. */
  readonly needs: readonly string[];
  /**
   * Runs the incident until `scene.signal` aborts or until it ends by itself. Undoes its changes to the world before
   * it returns, also when it fails.
   */
  run(scene: Scene): Promise<void>;
}

/** What an incident can use. */
export interface Scene {
  readonly cluster: SimulatedCluster;
  readonly gitalys: Pick<GitalyServers, 'setFlood'>;
  readonly node: Pick<DemoNode, 'pod'>;
  readonly kubernetes: DemoKubernetes;
  /** Aborts when the incident is ended or the demo stops. */
  readonly signal: AbortSignal;
  /** Logs progress; the newest line is shown with the incident. */
  report(line: string): void;
  /** Resolves when the incident is ended. */
  untilEnded(): Promise<void>;
  /** Polls ten times a second until the condition holds or the incident is ended; an error counts as false. */
  until(condition: () => Promise<boolean> | boolean): Promise<void>;
  sleep(ms: number): Promise<void>;
  /** A superuser's session in Praefect's database, for queries and for manual changes of an operator. */
  readonly sql: Sql;
  readonly database: DatabaseControl;
}

/** Changes to the database server. */
export interface DatabaseControl {
  stop(): Promise<void>;
  start(): Promise<void>;
  /** Sets default_transaction_read_only of Praefect's database and ends its sessions, which keep the old value. */
  setReadOnly(readOnly: boolean): Promise<void>;
  /** Runs statements in a transaction that stays open. Returns a function that ends its session. */
  holdTransaction(statements: readonly string[]): Promise<() => Promise<void>>;
}

/**
 * Chooses repositories of `default` that are rarely written (the newest ones without the very newest, which are
 * removed first) and of these the ones that were verified last, so that the verifier does not check them immediately.
 * The caller releases them. `condition` is a constant of this project, never input.
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

/** A Praefect whose workers have at least this many replication jobs. */
export const praefectWithJobs = (cluster: SimulatedCluster, jobs: number): Praefect | undefined =>
  cluster.topology.praefects
    .map((name) => cluster.praefect(name))
    .find((praefect) => (praefect.context()?.held.size ?? 0) >= jobs);
