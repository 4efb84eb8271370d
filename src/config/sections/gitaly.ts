/** Gitaly's and Praefect's own metrics, and Gitaly's configuration: where they are and how they are read. */
import { listOf } from '../kinds/lists.ts';
import {
  gitalyMetricsPort,
  isLoopback,
  type MetricsTarget,
  metricsTarget,
  namedFile,
} from '../kinds/metrics-target.ts';
import { bytes, duration, formatDuration } from '../kinds/quantities.ts';
import { filePath, integer, text } from '../kinds/scalars.ts';
import { optional, type Section, setting, type ValuesOf } from '../setting.ts';

const second = 1000;

export const gitalySection = {
  title: "Gitaly's and Praefect's own metrics",
  settings: {
    gitaly: {
      target: optional(listOf(metricsTarget(gitalyMetricsPort), 'list of addresses'), {
        unset: 'none',
        help: "Gitaly's own metrics; may be repeated. The label node is the name before it, else its host (this host's own name for localhost). One address is one server: a name with several addresses is refused, unless dns+ stands before it; then each address is a server of its own, looked up at each read.",
        example: 'gitaly-1=https://gitaly-1.example.com:9236/metrics',
      }),
      configFile: optional(listOf(namedFile(), 'list of files'), {
        unset: 'none',
        help: "Gitaly's config.toml, read for its limits, at each read of the metrics; may be repeated. It is of this host, or of the node whose name stands before it (as of gitaly.target). The chart's config.toml.tpl will do as well.",
        example: '/var/opt/gitlab/gitaly/config.toml',
      }),
      scrape: {
        interval: setting(duration({ min: second, max: 5 * 60 * second }), {
          default: 15 * second,
          help: 'From one read of the metrics to the next. What was read is withdrawn after four times as long.',
        }),
        timeout: setting(duration({ min: 100, max: 60 * second }), {
          default: 5 * second,
          help: 'Longest that one read of one server may take, to the last byte.',
        }),
        maxBytes: setting(bytes({ min: 1024, max: 1024 ** 3 }), {
          default: 32 * 1024 ** 2,
          help: "Largest page that is read, unpacked. A busy Gitaly's has a few MiB.",
        }),
        maxSeries: setting(integer({ min: 100, max: 1_000_000 }), {
          default: 20_000,
          help: 'Most samples of limits that are taken from one page. A limited RPC has about 20.',
        }),
        credentialsFile: optional(filePath(), {
          unset: 'none',
          help: 'File whose one line is shown to all targets: user:password for basic authentication, else a bearer token, which never has a colon. Read each time, so that a rotation needs no restart.',
          example: '/etc/gitaly-exporter/scrape-credentials',
        }),
        tls: {
          caFile: optional(filePath(), {
            unset: "the system's authorities",
            help: 'Authorities that are trusted for https targets, in PEM. Read each time, as the next two.',
            example: '/etc/gitaly-exporter/scrape-ca.pem',
          }),
          certFile: optional(filePath(), {
            unset: 'none',
            help: 'Certificate to show to https targets, in PEM. Needs key-file.',
            example: '/etc/gitaly-exporter/scrape.pem',
          }),
          keyFile: optional(filePath(), {
            unset: 'none',
            help: 'Its key, in PEM, without a passphrase.',
            example: '/etc/gitaly-exporter/scrape-key.pem',
          }),
          serverName: optional(text('<name>'), {
            unset: "each target's host",
            help: "Name that https targets' certificates are for.",
            example: 'gitaly.example.com',
          }),
        },
      },
    },
  },
} as const satisfies Section;

/** What no single setting can say: undefined, or what is wrong. */
export function gitalyRule({
  gitaly,
  praefect,
}: ValuesOf<(typeof gitalySection)['settings']> & {
  readonly praefect: { readonly target: readonly MetricsTarget[] | undefined };
}): string | undefined {
  const { scrape } = gitaly;
  if (scrape.timeout > scrape.interval)
    return `gitaly.scrape.timeout (${formatDuration(scrape.timeout)}) is longer than gitaly.scrape.interval (${formatDuration(scrape.interval)}); make it shorter`;
  const targets = gitaly.target !== undefined || praefect.target !== undefined;
  if (targets && (scrape.tls.certFile === undefined) !== (scrape.tls.keyFile === undefined))
    return 'gitaly.scrape.tls.cert-file and gitaly.scrape.tls.key-file go together: give both or neither';
  const files = (gitaly.configFile ?? []).map(({ name }) => name ?? 'this host');
  return (
    twice('gitaly.target', (gitaly.target ?? []).map(nodeOf)) ??
    twice('praefect.target', (praefect.target ?? []).map(nodeOf)) ??
    twice('gitaly.config-file', files)
  );
}

/** The label that a target will have; what dns+ finds is looked at when it is found. */
function nodeOf({ name, url, everyAddress }: MetricsTarget): string {
  const host = new URL(url).hostname;
  if (everyAddress) return `dns+${url}`;
  return name ?? (isLoopback(host) ? 'this host' : host);
}

function twice(setting: string, names: readonly string[]): string | undefined {
  const double = names.find((name, index) => names.indexOf(name) !== index);
  return double === undefined
    ? undefined
    : `${setting} is given twice for ${double}, so that the metrics of both would have the same labels; put a name before one of them, such as gitaly-1=...`;
}
