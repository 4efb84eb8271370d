/**
 * The exporter as a whole: the one place where settings, sources, runner and server meet. The server stays when
 * the configuration is read again; what it serves is replaced.
 */

import { type BucketSources, createBucketLookup } from '../buckets/lookup.ts';
import { packageVersion } from '../cli/version.ts';
import type { ResolvedPraefect } from '../config/praefect/resolve.ts';
import type { Settings } from '../config/sections/index.ts';
import type { Clock } from '../lib/clock.ts';
import type { Log } from '../lib/log.ts';
import { exposition } from '../metrics/exposition.ts';
import { createProcessMetrics } from '../metrics/process.ts';
import { checksRoute } from '../rules/checks/api.ts';
import { createProblemRecord } from '../rules/problems/record.ts';
import { createEventLog } from '../scheduler/event-log.ts';
import type { ActionResult, DemoActions } from '../server/routes.ts';
import { createServer, type Server, type StartResult } from '../server/server.ts';
import type { DemoView } from '../server/status-view.ts';
import { bucketRoute } from './bucket-route.ts';
import { type Core, createCore } from './core.ts';
import { createReloadRecord } from './reload.ts';
import { statusView } from './status.ts';

/** Settings, and what they point to. */
export interface Configuration {
  readonly settings: Settings;
  readonly sources: ResolvedPraefect;
}

export interface AppOptions extends Configuration {
  readonly clock: Clock;
  readonly log: Log;
  /** Reads the configuration anew; the problems are for people, one line each, without secrets. */
  readonly reload?: () => Promise<Configuration | { readonly problems: readonly string[] }>;
  readonly demo?: { readonly view: () => DemoView; readonly actions: DemoActions };
}

export interface App {
  /** Starts collecting and listens on every address, or on none and says why. Once. */
  start(): Promise<StartResult>;
  /** As POST /-/reload and SIGHUP ask for. Never rejects. */
  reload(): Promise<ActionResult>;
  /** Lets scrapes in flight finish, ends collectors and connections. Idempotent. */
  stop(): Promise<void>;
}

const problemsEveryMs = 2000;

export function createApp(options: AppOptions): App {
  const { clock, log } = options;
  const startedAt = clock.now();
  const version = packageVersion();
  const events = createEventLog(clock);
  const reloads = createReloadRecord(clock);
  const datedProblems = createProblemRecord(clock, log);
  const stopping = new AbortController();
  const processBlock = createProcessMetrics();
  let settings = options.settings;
  let { sources } = options;
  let core = coreOf(options);
  let stopped: Promise<void> | undefined;

  const problems = () => datedProblems(core.problems(core.runner.snapshots()));

  /** So that a problem's date is when it came, not when somebody first looked. */
  async function watchProblems(): Promise<void> {
    while (!stopping.signal.aborted) {
      problems();
      await clock.sleep(problemsEveryMs, stopping.signal);
    }
  }

  function coreOf({ settings: wanted, sources }: Configuration, before?: Core): Core {
    return createCore({
      settings: wanted,
      sources,
      build: { version, revision: '', nodeVersion: process.version },
      clock,
      log,
      events,
      before: before?.kept,
      extraFamilies: [() => server.families(), () => reloads.families()],
    });
  }

  const bucketSources = (): BucketSources => ({
    connection: sources.database,
    statementTimeoutMs: settings.praefect.database.statementTimeout,
    configs: core.configs,
    configuredStorages: sources.configuredStorages?.flatMap(({ storages }) => storages),
  });

  const server: Server = createServer({
    listenAddresses: settings.web.listenAddress,
    telemetryPath: settings.web.telemetryPath,
    webConfigFile: settings.web.config.file,
    maxRequestsInFlight: settings.web.maxRequests,
    clock,
    log,
    async exposition(headers, timeoutMs, signal) {
      const blocks = await core.runner.blocks({ timeoutMs, signal });
      const acceptEncoding = headers['accept-encoding'];
      const answer = await exposition([...blocks, await processBlock()], {
        accept: headers.accept,
        acceptEncoding: Array.isArray(acceptEncoding) ? acceptEncoding.join(',') : acceptEncoding,
      });
      for (const failure of answer.failures)
        log.error({ err: failure }, 'a bug: a block could not be rendered');
      return {
        contentType: answer.headers['Content-Type'] ?? 'text/plain; version=0.0.4; charset=utf-8',
        contentEncoding: answer.headers['Content-Encoding'],
        body: answer.body,
      };
    },
    status: () =>
      statusView({
        version,
        target: core.target,
        startedAt,
        collectors: core.runner.status(),
        problems: problems(),
        events: events.recent(50),
        maxTimeRatio: settings.praefect.database.maxTimeRatio,
        cgroups: core.cgroups(),
        checks: core.checks,
        planned: core.planned(),
        now: clock.now(),
        demo: options.demo?.view(),
      }),
    ready: () =>
      core.runner.ready()
        ? { ready: true }
        : { ready: false, reason: 'Some collectors have not finished their first run yet.' },
    reload: {
      enabled: settings.web.enableReload && options.reload !== undefined,
      hint: 'set web.enable-reload to allow it',
      run: reload,
    },
    api: [
      checksRoute({ checks: () => core.checks, now: clock.now }),
      bucketRoute(createBucketLookup(bucketSources, clock)),
    ],
    ...(options.demo === undefined ? {} : { demo: options.demo.actions }),
  });

  /** The new core starts before the old one ends, so that no scrape finds nothing. */
  async function reload(): Promise<ActionResult> {
    const found = await options.reload?.();
    if (found === undefined) return { ok: false, message: 'there is no configuration to read again' };
    if ('problems' in found) {
      reloads.failed();
      log.error(
        { problems: found.problems },
        'the configuration is not good; the one before it stays in force',
      );
      return { ok: false, message: found.problems.join('\n') };
    }
    const before = core;
    settings = found.settings;
    sources = found.sources;
    core = coreOf(found, before);
    core.runner.start();
    reloads.succeeded();
    await before.stop(core.kept);
    log.info(
      {},
      'configuration read again; settings of the server itself (web.*) hold from the next start on',
    );
    return { ok: true, message: 'configuration read again' };
  }

  return {
    async start() {
      const result = await server.start();
      if (result.ok) {
        core.runner.start();
        void watchProblems();
      }
      return result;
    },
    reload,
    stop() {
      stopped ??= (async () => {
        stopping.abort();
        await server.stop();
        await core.stop();
      })();
      return stopped;
    },
  };
}
