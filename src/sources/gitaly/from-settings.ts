/** The room as the settings ask for it; undefined when they and nobody else name anything to read. */
import type { MetricsTarget, NamedFile } from '../../config/kinds/metrics-target.ts';
import type { Clock } from '../../lib/clock.ts';
import type { EventLog } from '../../scheduler/event-log.ts';
import { configFiles, configuredTargets } from './configured.ts';
import type { ReadText, TlsFiles } from './scrape/access.ts';
import type { Resolve } from './scrape/resolve.ts';
import { createGitalyRoom, type GitalyRoom } from './source.ts';
import type { ConfigSource, TargetSource } from './target.ts';

export interface GitalySettings {
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

export interface GitalyRoomSources {
  readonly settings: GitalySettings;
  readonly clock: Clock;
  readonly events: EventLog;
  /** What this host is called: node:os' hostname(). */
  readonly hostName: string;
  readonly resolve: Resolve;
  readonly readText: ReadText;
  /** Who else knows servers and configurations: Kubernetes. */
  readonly targets?: readonly TargetSource[];
  readonly configs?: readonly ConfigSource[];
}

export function gitalyRoomFromSettings(sources: GitalyRoomSources): GitalyRoom | undefined {
  const { settings, hostName, resolve, readText, targets = [], configs = [] } = sources;
  const { target: gitaly = [], configFile: files = [], scrape } = settings.gitaly;
  const praefect = settings.praefectTargets ?? [];
  if ([gitaly, praefect, files, targets, configs].every((each) => each.length === 0)) return undefined;
  const access = { tls: scrape.tls, credentialsFile: scrape.credentialsFile };
  return createGitalyRoom({
    ...sources,
    targets: [configuredTargets({ gitaly, praefect, access, hostName, resolve }), ...targets],
    configs: [configFiles({ files, hostName, readText }), ...configs],
    limits: { timeoutMs: scrape.timeout, maxBytes: scrape.maxBytes, maxSamples: scrape.maxSeries },
    intervalMs: scrape.interval,
  });
}
