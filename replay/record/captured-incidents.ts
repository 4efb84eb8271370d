/** The captured incidents of real clusters, test/fixtures/praefect, as sequences of moments. */
import type { ConfiguredStorages } from '../../src/config/kinds/lists.ts';

export interface CapturedMoment {
  /** The name of the capture: `down-later`. */
  readonly name: string;
  readonly what: string;
  /** Gitalys that did not run. */
  readonly down?: readonly string[];
  /** No Praefect runs: the times in the database are this many seconds older, as they would be. */
  readonly agedSeconds?: number;
  /** default_transaction_read_only is on, which a dump does not contain. */
  readonly isReadOnly?: boolean;
}

export interface CapturedIncident {
  readonly name: string;
  /** The cluster, for the table. */
  readonly source: string;
  /** Folder of the captures: `19/gitaly-down`. */
  readonly captures: string;
  readonly virtualStorages: readonly ConfiguredStorages[];
  readonly gitalys: readonly string[];
  readonly moments: readonly CapturedMoment[];
  /** The last moment is after the incident. */
  readonly endsHealthy: boolean;
  /** The duration of each moment, if it is not ten minutes. */
  readonly momentMinutes?: number;
}

type Moments = readonly (readonly [name: string, what: string, ...down: string[]])[];

/** Killed Praefects no longer count as alive after a minute. */
const agedSeconds = 75;
const readOnly = 'default_transaction_read_only is on';
const killed = 'both Praefects are killed during jobs';

const moments = (list: Moments): readonly CapturedMoment[] =>
  list.map(([name, what, ...down]) => ({
    ...{ name, what },
    ...(down.length > 0 && { down }),
    ...(what === killed && { agedSeconds }),
    ...(what === readOnly && { isReadOnly: true }),
  }));

const of19 = (name: string, list: Moments): CapturedIncident => ({
  name: `captured-${name}`,
  source: 'Gitaly 18.9, 3 Praefects, 60 repositories',
  captures: `19/${name}`,
  virtualStorages: [
    { name: 'default', storages: ['gitaly-1', 'gitaly-2', 'gitaly-3'] },
    { name: 'other', storages: ['other-1', 'other-2'] },
  ],
  gitalys: ['gitaly-1', 'gitaly-2', 'gitaly-3'],
  moments: moments(list),
  endsHealthy: true,
});

const ofTwoPraefects = (
  version: '13.5' | '14.9',
  name: string,
  endsHealthy: boolean,
  list: Moments,
): CapturedIncident => ({
  name: `captured-${version}-${name}`,
  source: `Praefect ${version}.0, 2 Praefects, simulated Gitalys`,
  captures: version,
  virtualStorages: [
    { name: 'default', storages: ['gitaly-1', 'gitaly-2', 'gitaly-3'] },
    { name: 'archive', storages: ['gitaly-4', 'gitaly-5'] },
  ],
  gitalys: ['gitaly-1', 'gitaly-2', 'gitaly-3', 'gitaly-4', 'gitaly-5'],
  moments: moments(list),
  endsHealthy,
});

export const capturedIncidents: readonly CapturedIncident[] = [
  of19('healthy', [
    ['before', 'no traffic'],
    ['during', '153 writes and 1,239 reads in 25 s'],
    ['after', 'no traffic'],
  ]),
  of19('gitaly-down', [
    ['before', 'all healthy'],
    ['down-no-requests', 'gitaly-1 was killed 24 s ago, no requests', 'gitaly-1'],
    ['down-after-reads', 'after 50 reads', 'gitaly-1'],
    ['down-after-writes', 'after writes to 30 repositories', 'gitaly-1'],
    ['down-later', '42 s later', 'gitaly-1'],
    ['coming-back', 'gitaly-1 responds again'],
    ['after', 'the queue is empty'],
  ]),
  of19('gitaly-hung', [
    ['before', 'all healthy'],
    ['in-progress', 'gitaly-3 is stopped during a batch of jobs', 'gitaly-3'],
    ['one-praefect-killed', 'praefect-1 is killed', 'gitaly-3'],
    ['all-praefects-killed', 'all Praefects are killed', 'gitaly-3'],
    ['locks-released', 'one Praefect starts again', 'gitaly-3'],
    ['after', 'gitaly-3 continues, and the others start'],
  ]),
  of19('praefect-killed', [
    ['before', 'all healthy'],
    ['in-progress', 'gitaly-3 is stopped during a batch of jobs', 'gitaly-3'],
    ['holder-killed', 'the Praefect that holds the batch is killed', 'gitaly-3'],
    ['released-by-the-others', 'the others release its locks', 'gitaly-3'],
    ['all-killed', 'all Praefects are killed, and gitaly-3 continues'],
    ['after', 'the Praefects start again'],
  ]),
  of19('praefect-cut', [
    ['before', 'all healthy'],
    ['cut', 'praefect-3 cannot reach gitaly-2'],
    ['cut-after-requests', 'after writes and reads through each Praefect'],
    ['cut-later', '26 s later'],
    ['after', 'the link is back'],
  ]),
  of19('replica-lost', [
    ['before', 'all healthy'],
    ['deleted', 'replicas of six repositories are deleted from disk, two of them everywhere'],
    ['found', 'the verifier has found it'],
    ['found-after-requests', 'after writes to them'],
    ['after', 'the ones with a replica left are copied again'],
    ['after-verified', 'verified again'],
  ]),
  of19('stuck-replica', [
    ['before', 'all healthy'],
    ['just-written', 'lock files on gitaly-3, and a write'],
    ['queue-empty', 'its job failed three times'],
    ['queued-again', 'the reconciler queued it again'],
    ['later', 'a minute later'],
    ['after', 'the files are removed'],
  ]),
  of19('unavailable', [
    ['before', 'all healthy'],
    ['one-left', 'gitaly-2 and gitaly-3 are killed, writes go to gitaly-1', 'gitaly-2', 'gitaly-3'],
    ['unavailable', 'gitaly-1 is killed, the others are back', 'gitaly-1'],
    ['unavailable-after-requests', 'after requests', 'gitaly-1'],
    ['after', 'gitaly-1 is back'],
  ]),
  of19('storage-removed', [
    ['before', 'all healthy'],
    ['queued', 'gitaly-3 is killed, and 30 writes queue jobs for it', 'gitaly-3'],
    ['removed', "gitaly-3 is removed from each Praefect's configuration"],
    ['after', 'it was added again'],
  ]),
  {
    ...of19('rollout', [
      ['before', 'light writes and reads'],
      ['gitaly-3-down-5s', 'gitaly-3 is restarted', 'gitaly-3'],
      ['gitaly-3-down-12s', 'it is unhealthy', 'gitaly-3'],
      ['gitaly-2-down-5s', 'gitaly-2 is restarted', 'gitaly-2'],
      ['gitaly-2-down-12s', 'it is unhealthy', 'gitaly-2'],
      ['gitaly-1-down-5s', 'gitaly-1 is restarted', 'gitaly-1'],
      ['gitaly-1-down-12s', 'it is unhealthy, and 20 repositories are unavailable', 'gitaly-1'],
      ['after', 'all replicas are up to date'],
    ]),
    // The durations of the real incidents.
    momentMinutes: 0.25,
  },
  of19('database', [
    ['before', 'all healthy'],
    ['restarted', 'PostgreSQL was stopped for 20 s'],
    ['read-only-25s', readOnly],
    ['after', 'it is off again'],
  ]),
  ofTwoPraefects('14.9', 'failover', true, [
    ['01-healthy', 'all healthy'],
    ['04-primary-down', 'gitaly-1 was killed 5 s ago, gitaly-3 rejects replication', 'gitaly-1'],
    ['05-unhealthy-not-elected', 'gitaly-1 is unhealthy', 'gitaly-1'],
    ['06-failed-over', 'two of its four repositories moved', 'gitaly-1'],
    ['07-archive-half-unavailable', 'gitaly-4 is killed', 'gitaly-1', 'gitaly-4'],
    ['08-recovered', 'everything is repaired'],
  ]),
  ofTwoPraefects('14.9', 'praefects-killed', false, [
    ['08-recovered', 'all healthy'],
    ['11-praefects-killed', killed],
    ['12-stale-gone', 'they start again; a replica stays behind without a job'],
  ]),
  ofTwoPraefects('13.5', 'failover', true, [
    ['01-healthy', 'all healthy'],
    ['04-primary-down', 'gitaly-1 was killed 5 s ago, the others are behind', 'gitaly-1'],
    ['05-failed-over', 'gitaly-2 was elected without the newest writes', 'gitaly-1'],
    ['06-demoted', 'both Gitalys of archive are killed', 'gitaly-1', 'gitaly-4', 'gitaly-5'],
    ['07-recovered', 'everything is repaired'],
  ]),
  ofTwoPraefects('13.5', 'praefects-killed', false, [
    ['07-recovered', 'all healthy'],
    ['09-praefects-killed', killed],
    ['10-stale-dead', 'they start again; the job is dead'],
  ]),
];
