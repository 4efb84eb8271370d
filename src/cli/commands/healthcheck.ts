/** `healthcheck`: requests /-/healthy of the exporter on this host, for the HEALTHCHECK of a container image. */

import { duration } from '../../config/kinds/quantities.ts';
import type { Settings } from '../../config/sections/index.ts';
import { type Section, setting, type ValuesOf } from '../../config/setting.ts';
import { systemClock } from '../../lib/clock.ts';
import { createHttpClient } from '../../lib/http/client.ts';
import { addressUrl } from '../../server/address.ts';
import { type CommandIo, defineCommand, type ExitCode } from '../command.ts';

const healthcheckOptions = {
  title: 'Health check',
  settings: {
    timeout: setting(duration({ min: 100, max: 60_000 }), {
      default: 3000,
      help: 'How long to wait for each address.',
    }),
  },
} as const satisfies Section;

export const healthcheck = defineCommand({
  name: 'healthcheck',
  summary: 'Check that the exporter on this host responds',
  description:
    'Requests /-/healthy of every address in web.listen-address, with the same settings as serve. Exit code 1 when one does not respond. The certificate is not verified: its name is for clients outside.',
  options: healthcheckOptions,
  settings: ['Configuration', 'Web'],
  readsSources: false,
  run,
});

/** @returns 0 every address responds, 1 one does not, 2 an address cannot be requested */
async function run(
  settings: Settings,
  io: CommandIo,
  { timeout }: ValuesOf<(typeof healthcheckOptions)['settings']>,
): Promise<ExitCode> {
  const { web } = settings;
  const server = await describeServer(web.config.file);
  const results = await Promise.all(
    web.listenAddress.map(async (address) => {
      const { port } = address;
      if (port === 0)
        return {
          code: 2,
          text: 'web.listen-address: port 0 selects a free port, which is unknown here',
        } as const;
      const urls = server.schemes.map((scheme) => new URL('-/healthy', addressUrl(scheme, address, port)));
      return request(urls, server.requiresCertificate, timeout, io.signal);
    }),
  );
  for (const { code, text } of results)
    if (code === 0) io.stdout.write(`${text}\n`);
    else io.stderr.write(`gitaly-exporter: ${text}\n`);
  return results.some(({ code }) => code === 2) ? 2 : results.some(({ code }) => code === 1) ? 1 : 0;
}

interface ServerDescription {
  /** In the order to try. */
  readonly schemes: readonly ('http' | 'https')[];
  readonly requiresCertificate: boolean;
}

/** While the file is invalid, the server still serves /-/healthy, with the TLS that it started with. */
async function describeServer(webConfigFile: string | undefined): Promise<ServerDescription> {
  if (webConfigFile === undefined) return { schemes: ['http'], requiresCertificate: false };
  const { openWebConfig } = await import('../../server/web-config/source.ts');
  const opened = openWebConfig(webConfigFile);
  const state = opened.ok ? opened.value.last() : undefined;
  if (state?.ok !== true) return { schemes: ['https', 'http'], requiresCertificate: true };
  const { tls } = state.loaded.config;
  return {
    schemes: [tls === undefined ? 'http' : 'https'],
    requiresCertificate: tls?.clientAuthType.startsWith('Require') ?? false,
  };
}

async function request(
  urls: readonly URL[],
  requiresCertificate: boolean,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<{ readonly code: ExitCode; readonly text: string }> {
  const client = createHttpClient({ clock: systemClock });
  const failures: string[] = [];
  for (const url of urls) {
    const result = await client.get(
      { url, headers: {}, credentials: { tls: { rejectUnauthorized: false }, authorization: undefined } },
      { totalMs: timeoutMs },
      signal,
    );
    if (result.ok) result.response.close();
    const { href } = url;
    if (result.ok && result.response.status === 200) return { code: 0, text: `${href} is healthy` };
    // A server that rejects a client without a certificate has responded.
    const isRejected = result.ok ? result.response.status === 403 : result.failure.kind === 'tls';
    if (requiresCertificate && isRejected)
      return { code: 0, text: `${href} responds, and requires a client certificate` };
    failures.push(
      result.ok
        ? `${href} responded with HTTP status ${result.response.status}, expected 200`
        : `${href} ${result.failure.message}`,
    );
  }
  return { code: 1, text: `${failures.join('; ')}: check that serve runs with the same web.listen-address` };
}
