/** Gitaly's and Praefect's own metrics and Gitaly's configuration: the collector, built from the settings. */
import type { MetricsTarget, NamedFile } from '../../config/kinds/metrics-target.ts';
import type { Clock } from '../../lib/clock.ts';
import type { ReadText } from '../../lib/files.ts';
import type { Collector } from '../../scheduler/collector.ts';
import type { EventLog } from '../../scheduler/event-log.ts';
import { createGitalyCollector } from './collector.ts';
import { configFiles, configuredTargets } from './configured.ts';
import { createDropTracker } from './drops.ts';
import type { Resolve } from './resolve.ts';
import type { ConfigSource, TargetSource, TlsFiles } from './target.ts';
import type { GitalyView } from './view.ts';

/** Names of the collectors, for when there is nothing to read. */
export const gitalyCollectorNames: readonly string[] = ['gitaly_metrics'];

interface GitalySettings {
  /** `settings.gitaly` */
  readonly gitaly: {
    readonly target: readonly MetricsTarget[] | undefined;
    readonly configFile: readonly NamedFile[] | undefined;
    readonly scrape: {
      /** Milliseconds, as `timeout`. */
      readonly interval: number;
      readonly timeout: number;
      readonly maxBytes: number;
      readonly maxSeries: number;
      readonly credentialsFile: string | undefined;
      readonly tls: TlsFiles;
    };
  };
  /** `settings.praefect.target` */
  readonly praefectTargets: readonly MetricsTarget[] | undefined;
}

interface GitalySourceOptions {
  readonly settings: GitalySettings;
  readonly clock: Clock;
  readonly events: EventLog;
  /** This host's name: node:os' hostname(). */
  readonly hostName: string;
  readonly resolve: Resolve;
  readonly readText: ReadText;
  /** What `recentDrops` of the view covers; default 5 minutes. */
  readonly dropWindowMs?: number;
  /** Further sources of servers and configurations: Kubernetes. */
  readonly targets?: readonly TargetSource[];
  readonly configs?: readonly ConfigSource[];
}

/** Undefined when neither the settings nor another source name anything to read. */
export function createGitalySource(options: GitalySourceOptions): Collector<GitalyView> | undefined {
  const { settings, hostName, clock, events, resolve, readText } = options;
  const { targets = [], configs = [], dropWindowMs = 5 * 60_000 } = options;
  const { target: gitaly = [], configFile: files = [], scrape } = settings.gitaly;
  const praefect = settings.praefectTargets ?? [];
  if ([gitaly, praefect, files, targets, configs].every((each) => each.length === 0)) return undefined;
  const access = { tls: scrape.tls, credentialsFile: scrape.credentialsFile };
  return createGitalyCollector({
    targets: [configuredTargets({ gitaly, praefect, access, hostName, resolve }), ...targets],
    configs: [configFiles({ files, hostName, readText }), ...configs],
    limits: { timeoutMs: scrape.timeout, maxBytes: scrape.maxBytes, maxSamples: scrape.maxSeries },
    intervalMs: scrape.interval,
    clock,
    resolve,
    readText,
    drops: createDropTracker(clock, events, dropWindowMs),
  });
}
