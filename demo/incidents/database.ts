/** Incidents of the database: it stops, becomes read-only, or a session holds a lock. */
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
  title: 'The database is read-only',
  description:
    'default_transaction_read_only is enabled, as some providers do when a disk is nearly full, and all sessions end. Reads of repositories continue. Writes fail, and so do the heartbeats of the Praefects: after 10 s every storage is unhealthy and every repository unavailable according to the database, although the Gitalys work.',
  watch: [
    { metric: readOnly, shows: '1 for setting' },
    { metric: heartbeatTimestamp, shows: 'stops advancing' },
    {
      metric: repositoriesUnavailable,
      shows: 'not valid while heartbeats are stale',
    },
  ],
  alerts: ['PraefectDatabaseReadOnly'],
  ends: 'The setting is reset; a second later all storages are healthy.',
  needs: ['database'],
  async run({ database, report, untilEnded }) {
    try {
      await database.setReadOnly(true);
      report('the database rejects writes');
      await untilEnded();
    } finally {
      await database.setReadOnly(false);
    }
    report('the database accepts writes again');
  },
};

const databaseStops: Incident = {
  name: 'database-stops',
  title: 'The database stops',
  description:
    'PostgreSQL is stopped. Every request to Praefect fails immediately, while the Praefects and Gitalys keep running and the /metrics of Praefect itself show nothing unusual.',
  watch: [
    {
      metric: up,
      shows: '0; the other praefect_db_ metrics disappear when they exceed their staleness limit',
    },
    { metric: collectorSuccess, shows: '0 for each collector of the database' },
    { metric: collectorFailures, shows: 'reason refused' },
  ],
  alerts: ['PraefectDatabaseUnreachable'],
  ends: 'PostgreSQL starts again; all storages are healthy within a second.',
  needs: ['database'],
  async run({ database, report, untilEnded }) {
    try {
      await database.stop();
      report('PostgreSQL is stopped');
      await untilEnded();
    } finally {
      await database.start();
    }
    report('PostgreSQL is running again');
  },
};

const databaseBlocked: Incident = {
  name: 'database-blocked',
  title: 'A session holds a lock in the database',
  description:
    'An idle psql session has an open transaction that locks storage_repositories, as VACUUM FULL or a manual migration does. Every write of a repository waits for it, and so does every query of that table. Heartbeats continue, so all storages are healthy.',
  watch: [
    { metric: blockedBackends, shows: 'grows' },
    { metric: longestBlocked, shows: 'grows by one second per second' },
    { metric: longestTransaction, shows: 'the user of the open transaction' },
    {
      metric: collectorSuccess,
      shows: '0 for collectors of that table: the exporter does not wait for the lock',
    },
  ],
  alerts: ['PraefectDatabaseQueriesBlocked', 'GitalyExporterCollectorFailing'],
  ends: 'The transaction is rolled back, and waiting queries continue.',
  needs: ['database'],
  async run({ database, report, untilEnded }) {
    const release = await database.holdTransaction([
      'LOCK TABLE storage_repositories IN ACCESS EXCLUSIVE MODE',
    ]);
    report('storage_repositories is locked');
    await untilEnded();
    await release();
    report('the lock is released');
  },
};

export const databaseIncidents: readonly Incident[] = [databaseReadOnly, databaseStops, databaseBlocked];
