/** Incidents of the database itself: it stops, turns read-only, or somebody holds a lock in it. */

import { collectorFailures, collectorSuccess } from '../../src/scheduler/self-metrics.ts';
import { repositoriesUnavailable } from '../../src/sources/praefect/mirror/metrics.ts';
import {
  blockedBackends,
  longestBlocked,
  longestTransaction,
} from '../../src/sources/praefect/queries/connections.ts';
import { readOnly, up } from '../../src/sources/praefect/queries/database.ts';
import { heartbeatTimestamp } from '../../src/sources/praefect/queries/health.ts';
import type { Incident } from './incident.ts';

const databaseReadOnly: Incident = {
  name: 'database-read-only',
  title: 'The database turns read-only',
  description:
    'default_transaction_read_only is switched on, as some providers do when a disk is nearly full, and all sessions end. Reads of repositories go on. Writes fail, and so do the Praefects’ heartbeats: after 10 s the database says that every storage is unhealthy and every repository unavailable, which is not so.',
  watch: [
    { metric: readOnly, shows: 'setting turns 1' },
    { metric: heartbeatTimestamp, shows: 'stands still' },
    {
      metric: repositoriesUnavailable,
      shows: 'is not to be believed while heartbeats are old',
    },
  ],
  alerts: ['PraefectQuorumLost'],
  ends: 'The setting is taken back; a second later all is healthy.',
  needs: ['database'],
  async run({ database, say, untilEnded }) {
    try {
      await database.setReadOnly(true);
      say('the database takes no more writes');
      await untilEnded();
    } finally {
      await database.setReadOnly(false);
    }
    say('the database takes writes again');
  },
};

const databaseStops: Incident = {
  name: 'database-stops',
  title: 'The database stops',
  description:
    'PostgreSQL is stopped. Every request to Praefect fails at once, while the Praefects and Gitalys go on running and Praefect’s own /metrics goes on answering without a word of it.',
  watch: [
    { metric: up, shows: '0; the rest of praefect_db_ goes as it grows too old to be believed' },
    { metric: collectorSuccess, shows: '0 for each collector that reads the database' },
    { metric: collectorFailures, shows: 'reason refused' },
  ],
  alerts: ['PraefectDatabaseUnreachable'],
  ends: 'PostgreSQL starts again; all is healthy within a second.',
  needs: ['database'],
  async run({ database, say, untilEnded }) {
    try {
      await database.stop();
      say('PostgreSQL is stopped');
      await untilEnded();
    } finally {
      await database.start();
    }
    say('PostgreSQL runs again');
  },
};

const databaseBlocked: Incident = {
  name: 'database-blocked',
  title: 'Somebody holds a lock in the database',
  description:
    'In an open psql somebody has begun a transaction that locks storage_repositories, as VACUUM FULL or a migration by hand does, and has gone for lunch. Every write of a repository waits behind it, and so does whoever reads that table. Heartbeats go on, so all storages are healthy.',
  watch: [
    { metric: blockedBackends, shows: 'grows' },
    { metric: longestBlocked, shows: 'grows by a second a second' },
    { metric: longestTransaction, shows: 'whose transaction it is that lasts' },
    {
      metric: collectorSuccess,
      shows: '0 for what reads that table: the exporter does not wait in the queue',
    },
  ],
  alerts: ['GitalyExporterCollectorFailing'],
  ends: 'The transaction is rolled back; all that waited goes on.',
  needs: ['database'],
  async run({ database, say, untilEnded }) {
    const release = await database.holdTransaction([
      'LOCK TABLE storage_repositories IN ACCESS EXCLUSIVE MODE',
    ]);
    say('storage_repositories is locked');
    await untilEnded();
    await release();
    say('the lock is released');
  },
};

export const databaseIncidents: readonly Incident[] = [databaseReadOnly, databaseStops, databaseBlocked];
