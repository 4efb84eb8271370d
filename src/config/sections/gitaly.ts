/** Gitaly's and Praefect's own metrics and Gitaly's configuration: where they are, and how they are scraped. */

import { printDuration } from '../../lib/format.ts';
import { firstRepeated, listOf } from '../kinds/lists.ts';
import {
  gitalyMetricsPort,
  isLoopback,
  type MetricsTarget,
  metricsTarget,
  namedFile,
} from '../kinds/metrics-target.ts';
import { bytes, duration } from '../kinds/quantities.ts';
import { filePath, integer, text } from '../kinds/scalars.ts';
import { optional, type Section, setting, type ValuesOf } from '../setting.ts';

const second = 1000;

export const gitalySection = {
  title: "Gitaly's and Praefect's own metrics",
  settings: {
    gitaly: {
      target: optional(listOf(metricsTarget(gitalyMetricsPort), 'list of addresses'), {
        unset: 'none',
        help: "Address of a Gitaly's own metrics; may be repeated. The label node is the name before =, else the host (for localhost, the name of this host). One address is one server: a name with several addresses fails, unless it starts with dns+, which reads each address as a server of its own and resolves the name at each scrape.",
        example: 'gitaly-1=https://gitaly-1.example.com:9236/metrics',
      }),
      configFile: optional(listOf(namedFile(), 'list of files'), {
        unset: 'none',
        help: "Gitaly's config.toml, read for its limits at each scrape; may be repeated. It belongs to this host, or to the node named before = (as in gitaly.target). The chart's config.toml.tpl works, too.",
        example: '/var/opt/gitlab/gitaly/config.toml',
      }),
      scrape: {
        interval: setting(duration({ min: second, max: 5 * 60 * second }), {
          default: 15 * second,
          help: 'Time from one scrape of Gitaly and Praefect to the next. Samples older than four intervals are withdrawn.',
        }),
        timeout: setting(duration({ min: 100, max: 60 * second }), {
          default: 5 * second,
          help: 'Timeout of the scrape of one server, up to its last byte.',
        }),
        maxBytes: setting(bytes({ min: 1024, max: 1024 ** 3 }), {
          default: 32 * 1024 ** 2,
          help: 'Maximum size of a page, after decompression. That of a busy Gitaly has a few MiB.',
        }),
        maxSeries: setting(integer({ min: 100, max: 1_000_000 }), {
          default: 20_000,
          help: 'Maximum number of samples of limits on one page. A limited RPC has about 20.',
        }),
        credentialsFile: optional(filePath(), {
          unset: 'none',
          help: 'File whose single line is sent to all targets of gitaly.target and praefect.target: user:password for basic authentication, or a bearer token. Read at each scrape, so that a rotation needs no restart.',
          example: '/etc/gitaly-exporter/scrape-credentials',
        }),
        tls: {
          caFile: optional(filePath(), {
            unset: "the system's authorities",
            help: 'Certificate authorities that are trusted for https targets, in PEM. Read at each scrape, like cert-file and key-file.',
            example: '/etc/gitaly-exporter/scrape-ca.pem',
          }),
          certFile: optional(filePath(), {
            unset: 'none',
            help: 'Client certificate for https targets, in PEM. Requires key-file.',
            example: '/etc/gitaly-exporter/scrape.pem',
          }),
          keyFile: optional(filePath(), {
            unset: 'none',
            help: 'Key of the client certificate, in PEM, without a passphrase.',
            example: '/etc/gitaly-exporter/scrape-key.pem',
          }),
          serverName: optional(text('<name>'), {
            unset: "each target's host",
            help: 'Name that the certificates of https targets must have.',
            example: 'gitaly.example.com',
          }),
        },
      },
    },
  },
} as const satisfies Section;

/** Checks settings against each other: a message for people, or undefined when they are valid. */
export function gitalyRule({
  gitaly,
  praefect,
}: ValuesOf<(typeof gitalySection)['settings']> & {
  readonly praefect: { readonly target: readonly MetricsTarget[] | undefined };
}): string | undefined {
  const { scrape } = gitaly;
  if (scrape.timeout > scrape.interval)
    return `gitaly.scrape.timeout (${printDuration(scrape.timeout)}) is longer than gitaly.scrape.interval (${printDuration(scrape.interval)}); make it shorter`;
  const targets = gitaly.target !== undefined || praefect.target !== undefined;
  if (targets && (scrape.tls.certFile === undefined) !== (scrape.tls.keyFile === undefined))
    return 'gitaly.scrape.tls.cert-file and gitaly.scrape.tls.key-file go together: set both or neither';
  const files = (gitaly.configFile ?? []).map(({ name }) => name ?? 'this host');
  return (
    duplicate('gitaly.target', (gitaly.target ?? []).map(nodeOf)) ??
    duplicate('praefect.target', (praefect.target ?? []).map(nodeOf)) ??
    duplicate('gitaly.config-file', files)
  );
}

/** The label that a target will have. Targets that dns+ finds are compared when they are found. */
function nodeOf({ name, url, everyAddress }: MetricsTarget): string {
  const host = new URL(url).hostname;
  if (everyAddress) return `dns+${url}`;
  return name ?? (isLoopback(host) ? 'this host' : host);
}

function duplicate(setting: string, names: readonly string[]): string | undefined {
  const found = firstRepeated(names);
  return found === undefined
    ? undefined
    : `${setting} is set twice for ${found}, so that the metrics of both would have the same labels; put a name before one of them, such as gitaly-1=...`;
}
