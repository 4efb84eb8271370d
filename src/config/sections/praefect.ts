/** Praefect's settings: its configuration file, its own metrics, and how to reach and query its database. */

import { printDuration } from '../../lib/format.ts';
import { Refusal } from '../kinds/kind.ts';
import { listOf, virtualStorages } from '../kinds/lists.ts';
import { metricsTarget, praefectMetricsPort } from '../kinds/metrics-target.ts';
import { namedValues } from '../kinds/named-values.ts';
import { duration, unitRatio } from '../kinds/quantities.ts';
import { filePath, secret, text } from '../kinds/scalars.ts';
import { connectionStringFault } from '../postgres/connection-string.ts';
import { optional, type Section, setting, type ValuesOf } from '../setting.ts';

const second = 1000;
const minute = 60 * second;

const serversOfStorages = namedValues({
  name: 'server of each storage',
  placeholder: '<storage=server>',
  expected: 'a storage and its Gitaly, such as gitaly-1=gitlab/gl-gitaly-0',
  parseName: (found) => (found === '' ? new Refusal('the storage is missing') : found),
  value: text('<server>', (found) =>
    /^[A-Za-z0-9][\w.-]*(\/[A-Za-z0-9][\w.-]*)?$/.test(found)
      ? undefined
      : new Refusal('write NAMESPACE/POD, or the name of a host'),
  ),
});

export const praefectSection = {
  title: 'Praefect',
  settings: {
    praefect: {
      configFile: optional(filePath(), {
        unset: 'none',
        help: "Praefect's own config.toml, read for the database's address, its TLS settings, and the configured virtual storages. The chart's config.toml.tpl works, too, with password-file.",
        example: '/var/opt/gitlab/praefect/config.toml',
      }),
      virtualStorage: optional(virtualStorages(), {
        unset:
          "from Praefect's config.toml, else the storages that Praefect contacted within the last minute",
        help: 'Storages configured for a virtual storage, which determine the missing replicas. Repeat the flag for each virtual storage; separate them with semicolons in the variable.',
        example: 'default=gitaly-1,gitaly-2,gitaly-3',
      }),
      storageServer: optional(serversOfStorages, {
        unset: "from the addresses in Praefect's config.toml",
        help: 'The Gitaly of a storage, where the address in its configuration does not show it: NAMESPACE/POD, or the node of a virtual machine as in gitaly.target. An outage of both is then one page.',
        example: 'gitaly-1=gitlab/gl-gitaly-0',
      }),
      target: optional(listOf(metricsTarget(praefectMetricsPort), 'list of addresses'), {
        unset: 'none',
        help: "Address of a Praefect's own metrics, in the format of gitaly.target; may be repeated. GitLab's chart uses port 9236.",
        example: 'praefect-1.example.com:9652',
      }),
      stuckThreshold: setting(duration({ min: minute }), {
        default: 15 * minute,
        help: 'A replica counts as stuck when its generation has not advanced for this long although it is behind and its storage is healthy.',
      }),
      database: {
        url: optional(
          secret(
            '<url>',
            'postgres://user@host:5432/praefect_production?sslmode=verify-full, or libpq keywords such as "host=db user=exporter"',
            connectionStringFault,
          ),
          {
            unset:
              "from Praefect's config.toml, else PGHOST and the other variables of libpq, else the database is not monitored",
            help: "Address of Praefect's database. Do not include the password: password-file and passfile are read for each connection, so rotation needs no restart.",
            example: 'postgres://gitaly_exporter@db.example.com/praefect_production?sslmode=verify-full',
          },
        ),
        user: optional(text('<user>'), {
          unset: 'the user of the address',
          help: "User to log in as, in place of the address's user: use it to take the address from Praefect's config.toml and log in with the read-only role.",
          example: 'gitaly_exporter',
        }),
        passwordFile: optional(filePath(), {
          unset: 'none',
          help: 'File that contains only the password; it takes precedence over a password in the address. Read for each connection, so rotation needs no restart.',
          example: '/etc/gitaly-exporter/database-password',
        }),
        passfile: optional(filePath(), {
          unset: 'PGPASSFILE, else ~/.pgpass',
          help: "libpq's password file (host:port:database:user:password), readable only by its owner. Read for each connection.",
          example: '/etc/gitaly-exporter/pgpass',
        }),
        connectTimeout: optional(duration({ min: 100, max: 5 * minute }), {
          unset: 'connect_timeout of the address, PGCONNECT_TIMEOUT, else 10s',
          help: 'Timeout for connecting to the database, including TLS and login.',
          example: '5s',
        }),
        statementTimeout: setting(duration({ min: second, max: 10 * minute }), {
          default: 30 * second,
          help: 'The server cancels a query of the exporter that takes longer (SET LOCAL statement_timeout).',
        }),
        maxTimeRatio: setting(unitRatio(), {
          default: 0.01,
          help: 'Maximum ratio of time that all queries together may keep the database busy. When it delays refreshes beyond max-staleness, gitaly_exporter_collector_budget_limited is 1.',
        }),
        refreshInterval: setting(duration({ min: second, max: 24 * 60 * minute }), {
          default: 15 * second,
          help: 'Interval between refreshes of repositories, replicas and primaries; longer when max-time-ratio requires it.',
        }),
        maxStaleness: setting(duration({ min: second, max: 7 * 24 * 60 * minute }), {
          default: 5 * minute,
          help: 'Maximum age of the values of a refresh; older ones are absent from /metrics.',
        }),
        healthInterval: setting(duration({ min: 100, max: minute }), {
          default: second,
          help: 'Interval between reads of storage health. A change of health updates the repository metrics immediately.',
        }),
      },
    },
  },
} as const satisfies Section;

/** Checks settings against each other; undefined when they agree, else the message. */
export function praefectRule({
  praefect,
}: ValuesOf<(typeof praefectSection)['settings']>): string | undefined {
  const { refreshInterval, maxStaleness } = praefect.database;
  if (maxStaleness >= refreshInterval) return undefined;
  return `praefect.database.max-staleness (${printDuration(maxStaleness)}) is shorter than praefect.database.refresh-interval (${printDuration(refreshInterval)}), so values would expire before the next refresh; set max-staleness to several times refresh-interval`;
}
