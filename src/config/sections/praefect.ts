/** Praefect: its configuration, its own metrics, and its database: where it is, how often it is asked, at what cost. */
import { listOf, virtualStorages } from '../kinds/lists.ts';
import { metricsTarget, praefectMetricsPort } from '../kinds/metrics-target.ts';
import { duration, formatDuration, ratio } from '../kinds/quantities.ts';
import { filePath, secret, text } from '../kinds/scalars.ts';
import { connectionStringFault } from '../postgres/connection-string.ts';
import { optional, type Section, setting, type ValuesOf } from '../setting.ts';

const second = 1000;
const minute = 60 * second;

export const praefectSection = {
  title: 'Praefect',
  settings: {
    praefect: {
      configFile: optional(filePath(), {
        unset: 'none',
        help: "Praefect's own config.toml, read for the database's address, its TLS settings, and the configured virtual storages.",
        example: '/var/opt/gitlab/praefect/config.toml',
      }),
      virtualStorage: optional(virtualStorages(), {
        unset: "from Praefect's config.toml, else the storages that Praefect contacted of late",
        help: 'Storages that a virtual storage is configured to have; repeat the flag for each virtual storage, part them by semicolons in the variable. What counts as a missing replica rests on it.',
        example: 'default=gitaly-1,gitaly-2,gitaly-3',
      }),
      target: optional(listOf(metricsTarget(praefectMetricsPort), 'list of addresses'), {
        unset: 'none',
        help: "Praefect's own metrics; may be repeated; as gitaly.target. In the chart its port is 9236.",
        example: 'praefect-1.example.com:9652',
      }),
      stuckAfter: setting(duration({ min: minute }), {
        default: 15 * minute,
        help: 'A replica that has been behind for this long without its generation moving, while its storage was healthy, counts as stuck.',
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
              "from Praefect's config.toml, else PGHOST and the other variables of libpq, else the database is not watched",
            help: "Address of Praefect's database. Keep the password out of it: password-file and passfile are read anew for each connection.",
            example: 'postgres://gitaly_exporter@db.example.com/praefect_production?sslmode=verify-full',
          },
        ),
        user: optional(text('<user>'), {
          unset: 'as the address says',
          help: "User to log in as, whatever the address says: take the address from Praefect's config.toml and log in with the read-only role.",
          example: 'gitaly_exporter',
        }),
        passwordFile: optional(filePath(), {
          unset: 'none',
          help: 'File that holds the password and nothing else, whatever the address says. Read for each connection, so a rotated password needs no restart.',
          example: '/etc/gitaly-exporter/database-password',
        }),
        passfile: optional(filePath(), {
          unset: 'PGPASSFILE, else ~/.pgpass',
          help: "libpq's password file (host:port:database:user:password), readable by its owner alone. Read for each connection.",
          example: '/etc/gitaly-exporter/pgpass',
        }),
        connectTimeout: optional(duration({ min: 100, max: 5 * minute }), {
          unset: 'connect_timeout of the address or PGCONNECT_TIMEOUT, else 10s',
          help: 'Longest wait for a connection.',
          example: '5s',
        }),
        statementTimeout: setting(duration({ min: second, max: 10 * minute }), {
          default: 30 * second,
          help: 'The server cancels a question of ours that takes longer (SET LOCAL statement_timeout).',
        }),
        timeShare: setting(ratio(), {
          default: 0.01,
          help: 'Share of the time for which the exporter may keep the database busy with all its questions together. Where that means rarer looks than look-max-age allows, the page and a metric say so.',
        }),
        lookInterval: setting(duration({ min: second, max: 24 * 60 * minute }), {
          default: 15 * second,
          help: 'From one look at the repositories and the queue to the next, as far as time-share allows.',
        }),
        lookMaxAge: setting(duration({ min: second, max: 7 * 24 * 60 * minute }), {
          default: 5 * minute,
          help: 'What a look found is withdrawn when it is older than this: absent, never stale.',
        }),
        healthInterval: setting(duration({ min: 100, max: minute }), {
          default: second,
          help: "From one look at the storages' health to the next. A change wakes the look at the repositories at once.",
        }),
      },
    },
  },
} as const satisfies Section;

/** What no single setting can say: undefined, or what is wrong. */
export function praefectRule({
  praefect,
}: ValuesOf<(typeof praefectSection)['settings']>): string | undefined {
  const { lookInterval, lookMaxAge } = praefect.database;
  if (lookMaxAge >= lookInterval) return undefined;
  return `praefect.database.look-max-age (${formatDuration(lookMaxAge)}) is shorter than praefect.database.look-interval (${formatDuration(lookInterval)}), so that every look would be withdrawn before the next; make look-max-age several times look-interval`;
}
