/** The HTTP server. */

import { Refusal } from '../kinds/kind.ts';
import { listenAddress, listOf } from '../kinds/lists.ts';
import { filePath, integer, text, toggle } from '../kinds/scalars.ts';
import { optional, type Section, setting } from '../setting.ts';

/** Everything that finds the exporter (charts, scrape configurations, documentation) knows it by this port. */
export const defaultPort = 9656;

/** The server's own answers are under these. */
const takenPaths = ['/-', '/api'];

function telemetryPath(found: string): Refusal | undefined {
  if (!/^\/[\w\-./~]*$/.test(found)) return new Refusal('it begins with / and has no query');
  const taken = takenPaths.some((path) => found === path || found.startsWith(`${path}/`));
  return taken ? new Refusal("what is under /-/ and /api/ is the server's own") : undefined;
}

export const webSection = {
  title: 'Web',
  settings: {
    web: {
      listenAddress: setting(listOf(listenAddress(), 'list of addresses'), {
        default: Object.freeze([`:${defaultPort}`]),
        help: 'Addresses to listen on; may be repeated. Without a host: every address, IPv4 and IPv6. Port 0 takes a free one.',
        example: '127.0.0.1:9656',
      }),
      config: {
        file: optional(filePath(), {
          unset: 'none: plain HTTP, open to whoever reaches the address',
          help: 'Web configuration file in the format of exporter-toolkit: TLS, client certificates, basic authentication. It is read again when it changes.',
          example: '/etc/gitaly-exporter/web.yml',
        }),
      },
      telemetryPath: setting(text('<path>', telemetryPath), {
        default: '/metrics',
        help: 'Path of the metrics. At / it takes the place of the page.',
      }),
      maxRequests: setting(integer({ min: 1, max: 10_000 }), {
        default: 40,
        help: 'Requests for metrics answered at the same time; one more is turned away with 503.',
      }),
      enableReload: setting(toggle(), {
        default: false,
        help: 'Reload the configuration on POST /-/reload. Whoever reaches the address may then do so: protect it.',
      }),
    },
  },
} as const satisfies Section;
