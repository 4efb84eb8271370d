/** The exporter as a whole: the app and its HTTP server. The server stays when the configuration is reloaded. */
import { type AppOptions, createApp } from '../app/app.ts';
import type { Configuration } from '../app/sources.ts';
import type { DemoView } from '../app/status-view.ts';
import { describeThrown, stackOf } from '../lib/errors.ts';
import { readRunbooks } from '../lib/package-folder.ts';
import { exposition } from '../metrics/exposition.ts';
import { createProcessMetrics } from '../metrics/process.ts';
import { single } from '../metrics/samples.ts';
import { logLinesLost } from '../scheduler/self-metrics.ts';
import { nothingConfigured } from './assessment.ts';
import { bucketRoute } from './bucket-route.ts';
import { checksRoute } from './checks-route.ts';
import type { ActionResult, DemoActions } from './routes.ts';
import { createServer, type Server, type StartResult } from './server.ts';

export interface ExporterOptions extends Pick<AppOptions, 'settings' | 'praefect' | 'host' | 'version'> {
  /** Lines of the log that could not be written so far. */
  readonly lostLogLines?: (() => number) | undefined;
  /** Loads the configuration again; the problems are for people, one line each, without secrets. */
  readonly reload?: () => Promise<Configuration | { readonly problems: readonly string[] }>;
  readonly demo?: { readonly view: () => DemoView; readonly actions: DemoActions };
}

export interface Exporter {
  /** Starts collecting and listens on every address, or on none and returns the problems. Once. */
  start(): Promise<StartResult>;
  /** For POST /-/reload and SIGHUP. Never rejects. */
  reload(): Promise<ActionResult>;
  /** Lets scrapes in flight finish, ends collectors and connections. Idempotent. */
  stop(): Promise<void>;
}

export function createExporter(options: ExporterOptions): Exporter {
  const { demo, host, settings } = options;
  const { clock, log } = host;
  const processBlock = createProcessMetrics();
  const app = createApp({
    ...options,
    extraFamilies: [() => server.families(), () => [single(logLinesLost, options.lostLogLines?.())]],
    demo: demo?.view,
  });
  const server: Server = createServer({
    listenAddresses: settings.web.listenAddress,
    telemetryPath: settings.web.telemetryPath,
    webConfigFile: settings.web.config.file,
    maxRequestsInFlight: settings.web.maxRequests,
    clock,
    log,
    async exposition(headers, timeoutMs, signal) {
      const blocks = await app.blocks({ timeoutMs, signal });
      const acceptEncoding = headers['accept-encoding'];
      const rendered = await exposition([...blocks, await processBlock()], {
        accept: headers.accept,
        acceptEncoding: Array.isArray(acceptEncoding) ? acceptEncoding.join(',') : acceptEncoding,
      });
      for (const failure of rendered.failures)
        log.error(
          { error: describeThrown(failure), stack: stackOf(failure) },
          'internal error: a block could not be rendered',
        );
      return {
        contentType: rendered.headers['Content-Type'] ?? 'text/plain; version=0.0.4; charset=utf-8',
        contentEncoding: rendered.headers['Content-Encoding'],
        body: rendered.body,
      };
    },
    status: app.status,
    ready: () =>
      !app.isConfigured()
        ? { ready: false, reason: nothingConfigured }
        : app.isReady()
          ? { ready: true }
          : { ready: false, reason: 'Some collectors have not completed their first run.' },
    reload: settings.web.enableReload ? reload : undefined,
    api: [checksRoute({ checks: app.checks, now: clock.now }), bucketRoute(app.buckets)],
    runbooks: readRunbooks,
    ...(demo === undefined ? {} : { demo: demo.actions }),
  });
  let stopped: Promise<void> | undefined;

  async function reload(): Promise<ActionResult> {
    const loaded = await options.reload?.();
    if (loaded === undefined) return { ok: false, message: 'there is no configuration to reload' };
    if ('problems' in loaded) {
      app.reloadFailed();
      log.error({ problems: loaded.problems }, 'reload failed, keeping the previous configuration');
      return { ok: false, message: loaded.problems.join('\n') };
    }
    await app.replace(loaded);
    log.info({}, 'configuration reloaded; settings of the server (web.*) take effect at the next start');
    return { ok: true, message: 'configuration reloaded' };
  }

  return {
    async start() {
      const result = await server.start();
      if (result.ok) app.start();
      return result;
    },
    reload,
    stop() {
      stopped ??= server.stop().then(app.stop);
      return stopped;
    },
  };
}
