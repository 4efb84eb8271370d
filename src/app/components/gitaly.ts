/** Gitaly's and Praefect's own metrics, and Gitaly's configuration: those that the settings name, and a cluster's. */
import { readFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { gitalyProblems } from '../../rules/problems/gitaly.ts';
import { nativeProblems } from '../../rules/problems/native.ts';
import type { Reading } from '../../rules/problems/reading.ts';
import { configFiles } from '../../sources/gitaly/configured.ts';
import { gitalyRoomFromSettings } from '../../sources/gitaly/from-settings.ts';
import { createNativeAnswers, nativeCollectorNames } from '../../sources/gitaly/native-answers.ts';
import { systemResolve } from '../../sources/gitaly/scrape/resolve.ts';
import { gitalyCollectorNames } from '../../sources/gitaly/source.ts';
import type { ConfigSource, TargetSource } from '../../sources/gitaly/target.ts';
import { repositoriesUnavailable } from '../../sources/praefect/mirror/metrics.ts';
import { absentPart, type Part, type PartOptions } from './part.ts';

const readText = (file: string): Promise<string> => readFile(file, 'utf8');

export interface GitalyPart extends Part {
  /** Who knows configurations of Gitaly: files, and ConfigMaps of a cluster. */
  readonly configs: readonly ConfigSource[];
}

/** @param cluster whom Kubernetes finds; nothing where it is not watched */
export function gitalyPart(
  { settings, clock, events }: PartOptions,
  cluster: { readonly targets: readonly TargetSource[]; readonly configs: readonly ConfigSource[] },
): GitalyPart {
  const files = settings.gitaly.configFile;
  const configs = [
    ...(files === undefined ? [] : [configFiles({ files, hostName: hostname(), readText })]),
    ...cluster.configs,
  ];
  const room = gitalyRoomFromSettings({
    settings: { gitaly: settings.gitaly, praefectTargets: settings.praefect.target },
    clock,
    events,
    hostName: hostname(),
    resolve: systemResolve,
    readText,
    ...cluster,
  });
  if (room === undefined) return { ...absentPart(gitalyCollectorNames), configs };
  return {
    collectors: room.collectors,
    disabled: [],
    families: [],
    problems: (reading) => gitalyProblems({ reading, view: room.view() }),
    stop: async () => undefined,
    configs,
  };
}

/**
 * Praefect's own answers from its database, held against ours.
 *
 * @param reading what the exporter serves at this moment
 */
export function nativePart({ settings, clock }: PartOptions, reading: () => Reading): Part {
  const { scrape } = settings.gitaly;
  const native = createNativeAnswers({
    targets: settings.praefect.dbMetricsTarget,
    intervalMs: settings.praefect.dbMetricsInterval,
    access: { tls: scrape.tls, credentialsFile: scrape.credentialsFile },
    maxBytes: scrape.maxBytes,
    maxSamples: scrape.maxSeries,
    clock,
    hostName: hostname(),
    resolve: systemResolve,
    readText,
    ours: () =>
      new Map(
        reading()
          .series(repositoriesUnavailable)
          .map(({ labels, value }) => [labels.virtual_storage, value]),
      ),
  });
  if (native === undefined) return absentPart(nativeCollectorNames);
  return {
    collectors: native.collectors,
    disabled: [],
    families: [],
    problems: (found) => nativeProblems({ reading: found, differences: native.differences() }),
    stop: async () => undefined,
  };
}
