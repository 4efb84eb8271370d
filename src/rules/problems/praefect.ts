/**
 * What is wrong with a Gitaly Cluster right now, in words: rules over the very values that /metrics shows, so the
 * page and the alerts cannot disagree. Each rule names its facts once; docs are the runbooks.
 */
import type { HealthView } from '../../sources/praefect/health.ts';
import * as mirror from '../../sources/praefect/mirror/metrics.ts';
import * as database from '../../sources/praefect/queries/database.ts';
import * as health from '../../sources/praefect/queries/health.ts';
import * as queue from '../../sources/praefect/queries/queue.ts';
import type { Reading } from './reading.ts';

export interface Problem {
  /** Stays the same while the problem lasts: its "since" is kept under it. */
  readonly key: string;
  readonly severity: 'critical' | 'warning';
  readonly title: string;
  readonly detail?: string;
  readonly action?: string;
  /** Seconds since 1970, where the data itself knows. */
  readonly since?: number;
}

export interface Situation {
  readonly reading: Reading;
  /** Undefined while node_status is not known. */
  readonly health: HealthView | undefined;
  /** Seconds since 1970, by the database's clock. */
  readonly now: number;
}

/** A job that waits this long for a healthy storage is not being worked on. */
const stalledAfterSeconds = 15 * 60;

export function praefectProblems(situation: Situation): readonly Problem[] {
  return [
    ...databaseProblems(situation),
    ...healthProblems(situation),
    ...dataProblems(situation),
    ...replicationProblems(situation),
  ];
}

function databaseProblems({ reading }: Situation): Problem[] {
  const problems: Problem[] = [];
  if (reading.value(database.up, {}) === 0) {
    problems.push({
      key: 'database down',
      severity: 'critical',
      title: "Praefect's database does not answer",
      detail:
        'Gitaly Cluster serves no requests without it, and nothing is known of replicas and jobs meanwhile.',
      action: 'See the reason below at praefect_database; then check PostgreSQL, the network and the pooler.',
    });
  }
  for (const { labels, value } of reading.series(database.readOnly)) {
    if (value !== 1) continue;
    const why =
      labels.reason === 'recovery'
        ? 'the server is a standby (in recovery)'
        : 'default_transaction_read_only is on';
    problems.push({
      key: `read only ${labels.reason}`,
      severity: 'critical',
      title: "Praefect's database is read-only",
      detail: `Because ${why}: writes fail and heartbeats stop, reads go on for the moment.`,
      action: 'Point Praefect at the primary server, or lift the setting.',
    });
  }
  return problems;
}

function healthProblems({ reading, health: view }: Situation): Problem[] {
  const problems: Problem[] = [];
  const mute = reading.series(health.heartbeatQuorum).filter(({ value }) => value !== 1);
  if (mute.length > 0) {
    const heartbeats = mute.flatMap(({ labels }) => reading.value(health.heartbeatTimestamp, labels) ?? []);
    problems.push({
      key: 'quorum',
      severity: 'critical',
      title: `Too few Praefects report on ${mute.map(({ labels }) => labels.virtual_storage).join(', ')}`,
      detail:
        'Under half of them have a fresh heartbeat: storages read unhealthy through silence, and what rests on health is not to be believed.',
      action: 'Check that Praefects run and can write to their database.',
      ...sinceOf(heartbeats.length > 0 ? Math.max(...heartbeats) : undefined),
    });
  }
  for (const { labels, value } of reading.series(health.storageHealthy)) {
    const { virtual_storage: name, storage } = labels;
    if (value === 1 || !believed(reading, name) || !isContacted(view, name, storage)) continue;
    problems.push({
      key: `storage ${name} ${storage}`,
      severity: 'critical',
      title: `Storage ${storage} of ${name} is unhealthy`,
      detail: 'Fewer than half of the Praefects saw it active within 10 s.',
      action: `Check the Gitaly that serves ${storage}, and the way from Praefect to it.`,
    });
  }
  for (const { labels, value } of reading.series(health.storageSeenHealthy)) {
    const { praefect, virtual_storage: name, storage } = labels;
    const consensus = reading.value(health.storageHealthy, { virtual_storage: name, storage });
    if (value === 1 || consensus !== 1 || !believed(reading, name)) continue;
    problems.push({
      key: `cut ${praefect} ${name} ${storage}`,
      severity: 'warning',
      title: `${praefect} cannot reach ${storage} of ${name}, others can`,
      detail:
        'Writes that come in through this Praefect fail where their primary is there, although the consensus is that all is well.',
      action: `Check the network between ${praefect} and ${storage}.`,
    });
  }
  for (const [praefect, names] of silentPraefects(reading)) {
    const [first = ''] = names;
    problems.push({
      key: `praefect ${praefect}`,
      severity: 'warning',
      title: `${praefect} has been silent for over a minute`,
      detail: `It does not count in the quorum of ${names.join(', ')} any more. One that was taken away for good leaves its rows: they are dropped after a day.`,
      ...sinceOf(reading.value(health.praefectLastContact, { praefect, virtual_storage: first })),
    });
  }
  return problems;
}

function dataProblems({ reading }: Situation): Problem[] {
  const problems: Problem[] = [];
  for (const { labels, value } of reading.series(mirror.repositoriesUnavailable)) {
    const { virtual_storage: name } = labels;
    if (value === 0 || !believed(reading, name)) continue;
    problems.push({
      key: `unavailable ${name}`,
      severity: 'critical',
      title: `${count(value, 'repository', 'repositories')} of ${name} unavailable`,
      detail: 'No up-to-date replica is on a healthy storage: neither reads nor writes are served.',
      action:
        'Bring back the storage that has the newest copy. Only if it is lost: praefect dataloss, then accept-dataloss.',
    });
  }
  for (const { labels, value } of reading.series(mirror.repositoriesReadOnly)) {
    if (value === 0) continue;
    problems.push({
      key: `read-only ${labels.virtual_storage}`,
      severity: 'critical',
      title: `${count(value, 'repository', 'repositories')} of ${labels.virtual_storage} read-only`,
      detail: 'After a failover the primary lacks their last writes, or there is no primary.',
      action: 'Bring back the former primary, or praefect dataloss and accept-dataloss.',
    });
  }
  for (const { labels, value } of reading.series(mirror.repositoriesLost)) {
    if (value === 0) continue;
    problems.push({
      key: `lost ${labels.virtual_storage}`,
      severity: 'critical',
      title: `${count(value, 'repository', 'repositories')} of ${labels.virtual_storage} without any replica`,
      detail: 'Praefect knows of no copy: the verifier found none where they were recorded.',
      action: 'Restore them from a backup, or look for them on disk and track-repository.',
    });
  }
  return problems;
}

function replicationProblems({ reading, health: view, now }: Situation): Problem[] {
  const problems: Problem[] = [];
  for (const { labels, value } of reading.series(mirror.replicasStuck)) {
    if (value === 0) continue;
    const { virtual_storage: name, storage } = labels;
    problems.push({
      key: `stuck ${name} ${storage}`,
      severity: 'warning',
      title: `${count(value, 'replica', 'replicas')} on ${storage} of ${name} stuck behind`,
      detail:
        'Behind for a long time without moving, although the storage is healthy: replication to it fails again and again.',
      action: `Read Gitaly's log on ${storage} for the failing replication; a lock file left in a repository is the usual cause.`,
      ...sinceOf(reading.value(mirror.replicaBehindSince, labels)),
    });
  }
  for (const { labels, value } of reading.series(queue.oldestJob)) {
    const { virtual_storage: name, storage, state } = labels;
    if (state !== 'ready' || now - value < stalledAfterSeconds || view?.healthy(name, storage) !== true)
      continue;
    problems.push({
      key: `stalled ${name} ${storage}`,
      severity: 'critical',
      title: `Replication to ${storage} of ${name} stands still`,
      detail: 'The storage is healthy, and its oldest job has waited for over 15 minutes.',
      action: 'Check that Praefects work on the queue and that the storage accepts replication.',
      since: value,
    });
  }
  for (const { labels, value } of reading.series(queue.staleJobs)) {
    if (value === 0) continue;
    const { virtual_storage: name, storage, reason } = labels;
    problems.push({
      key: `stale ${name} ${storage} ${reason}`,
      severity: 'warning',
      title: `${count(value, 'job', 'jobs')} to ${storage} of ${name} that nobody works on`,
      detail: staleWhy[reason],
    });
  }
  return problems;
}

/** Praefect -> the virtual storages on which it is silent: one incident, one problem. */
function silentPraefects(reading: Reading): ReadonlyMap<string, readonly string[]> {
  const silent = reading.series(health.praefectAlive).filter(({ value }) => value !== 1);
  const groups = Map.groupBy(silent, ({ labels }) => labels.praefect);
  return new Map(
    [...groups].map(([praefect, rows]) => [praefect, rows.map(({ labels }) => labels.virtual_storage)]),
  );
}

const staleWhy = {
  lock_expired: 'The Praefect that took them is gone; another one releases them within 90 s, if any runs.',
  lock_missing: 'In progress without a lock: nothing ever releases them.',
  storage_unknown:
    'No Praefect contacts that storage: they stay until it is configured again or they are deleted.',
} as const;

const believed = (reading: Reading, virtualStorage: string): boolean =>
  reading.value(health.heartbeatQuorum, { virtual_storage: virtualStorage }) === 1;

/** A storage that was taken out of the configuration keeps its rows, and is nobody's problem. */
const isContacted = (view: HealthView | undefined, virtualStorage: string, storage: string): boolean =>
  view?.virtualStorages.get(virtualStorage)?.knownStorages.has(storage) ?? true;

const count = (value: number, one: string, many: string): string => `${value} ${value === 1 ? one : many}`;

const sinceOf = (seconds: number | undefined): { since?: number } =>
  seconds === undefined ? {} : { since: seconds };
