/**
 * The program itself: its configuration file, its HTTP server, its log, and the limits of /metrics; and what no source
 * shows: maintenance windows, and how long clients retry.
 */
import { Refusal } from '../kinds/kind.ts';
import { type ListenAddress, listenAddress } from '../kinds/listen-address.ts';
import { listOf } from '../kinds/lists.ts';
import { maintenanceWindows } from '../kinds/maintenance-window.ts';
import { duration } from '../kinds/quantities.ts';
import { choice, filePath, integer, text, toggle } from '../kinds/scalars.ts';
import { optional, type Section, setting } from '../setting.ts';

export const configSection = {
  title: 'Configuration',
  settings: {
    config: {
      file: optional(filePath(), {
        unset: 'none',
        inFile: false,
        help: 'YAML file with settings; the dots of a flag are its nesting. Flags take precedence over variables, variables over the file.',
        example: '/etc/gitaly-exporter/config.yml',
      }),
    },
  },
} as const satisfies Section;

/** Charts, scrape configurations and documentation expect the exporter on this port. */
export const defaultPort = 9656;

const allAddresses: ListenAddress = Object.freeze({
  configured: `:${defaultPort}`,
  host: undefined,
  port: defaultPort,
});

/** The server's own routes. */
const reservedPaths = ['/-', '/api', '/demo', '/runbooks'];

function telemetryPath(found: string): Refusal | undefined {
  if (!/^\/[\w./-]*$/.test(found))
    return new Refusal('it must start with / and contain only letters, digits, ., _, - and /');
  const isReserved = reservedPaths.some((path) => found === path || found.startsWith(`${path}/`));
  return isReserved
    ? new Refusal('/-/, /api/, /demo/ and /runbooks/ are reserved for the server itself')
    : undefined;
}

export const webSection = {
  title: 'Web',
  settings: {
    web: {
      listenAddress: setting(listOf(listenAddress(), 'list of addresses'), {
        default: Object.freeze([allAddresses]),
        help: 'Address to listen on; may be repeated. Without a host: all addresses, IPv4 and IPv6. Port 0 selects a free port.',
        example: '127.0.0.1:9656',
      }),
      config: {
        file: optional(filePath(), {
          unset: 'none: plain HTTP without authentication',
          help: 'Web configuration file in the format of exporter-toolkit: TLS, client certificates, basic authentication. Changes take effect without a reload.',
          example: '/etc/gitaly-exporter/web.yml',
        }),
      },
      telemetryPath: setting(text('<path>', telemetryPath), {
        default: '/metrics',
        help: 'Path of the metrics. At /, they replace the page.',
      }),
      maxRequests: setting(integer({ min: 1, max: 10_000 }), {
        default: 40,
        help: 'Scrapes in flight, and as many API requests; more are rejected with 503.',
      }),
      enableReload: setting(toggle(), {
        default: false,
        help: 'Reload the configuration on POST /-/reload. Anyone who can reach the address can then do so; protect it with web.config.file.',
      }),
    },
  },
} as const satisfies Section;

export const logLevels = ['debug', 'info', 'warn', 'error'] as const;
export type LogLevel = (typeof logLevels)[number];

export const logFormats = ['logfmt', 'json', 'pretty'] as const;
export type LogFormat = (typeof logFormats)[number];

export const logSection = {
  title: 'Log',
  settings: {
    log: {
      level: setting(choice(logLevels), {
        default: 'info',
        help: 'Minimum level that is logged. Each state change is one line at info or above; debug logs every run.',
      }),
      format: optional(choice(logFormats), {
        unset: 'pretty on a terminal, else logfmt',
        help: 'Format of the log on standard error.',
        example: 'json',
      }),
    },
  },
} as const satisfies Section;

export const metricsSection = {
  title: 'Metrics',
  settings: {
    metrics: {
      maxSeries: setting(integer({ min: 100, max: 1_000_000 }), {
        default: 100_000,
        help: 'Maximum number of series per collector. Series over the limit are dropped, counted in gitaly_exporter_series_dropped_total and shown on the page.',
      }),
    },
  },
} as const satisfies Section;

export const maintenanceSection = {
  title: 'Maintenance',
  settings: {
    maintenance: {
      window: optional(maintenanceWindows(), {
        unset: 'none, except those from Kubernetes',
        help: 'Maintenance windows, each with a name: once (START/END), or recurring (five cron fields, "for" a duration, "in" a time zone). Separate several with semicolons. While one is open, alerts for the effects of planned work are suppressed.',
        example: 'weekly=0 2 * * 6 for 4h in Europe/Berlin',
      }),
    },
  },
} as const satisfies Section;

export const checksSection = {
  title: 'Recommendations',
  settings: {
    checks: {
      clientRetryWindow: optional(duration({ min: 0, max: 3_600_000 }), {
        unset: 'not known, and then not checked',
        help: "How long GitLab's Rails and Sidekiq try a call to Gitaly again before they give up: with the chart's global.gitaly.client.maxAttempts and maxBackoff the sum of all waits. Compared with the time until a replaced pod is Ready.",
        example: '30s',
      }),
    },
  },
} as const satisfies Section;
