/** Gitaly's and Praefect's own metrics, and Gitaly's configuration: those that the settings name, and a cluster's. */
import { hostname } from 'node:os';
import { readTextFile } from '../../lib/files.ts';
import { gitalyProblems } from '../../rules/problems/gitaly.ts';
import { configFiles } from '../../sources/gitaly/configured.ts';
import { systemResolve } from '../../sources/gitaly/resolve.ts';
import { createGitalySource, gitalyCollectorNames } from '../../sources/gitaly/source.ts';
import type { ConfigSource, TargetSource } from '../../sources/gitaly/target.ts';
import { absentPart, type Part, type PartOptions } from './part.ts';

const readText = (file: string): Promise<string> => readTextFile(file);

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
  const collector = createGitalySource({
    settings: { gitaly: settings.gitaly, praefectTargets: settings.praefect.target },
    clock,
    events,
    hostName: hostname(),
    resolve: systemResolve,
    readText,
    ...cluster,
  });
  if (collector === undefined) return { ...absentPart(gitalyCollectorNames), configs };
  return {
    collectors: [collector],
    disabled: [],
    families: [],
    problems: (_, latest) => gitalyProblems(latest(collector)),
    stop: async () => undefined,
    configs,
  };
}
