/** What the settings ask for, running: the parts, their collectors and the runner. A reload replaces it whole. */

import type { ResolvedPraefect } from '../config/praefect/resolve.ts';
import { prepare } from '../metrics/exposition.ts';
import type { Block } from '../metrics/samples.ts';
import type { Evaluation } from '../rules/checks/evaluate.ts';
import type { Problem } from '../rules/problems/praefect.ts';
import { readingOf } from '../rules/problems/reading.ts';
import { eventFamilies } from '../scheduler/event-metrics.ts';
import { createRunner, type Runner } from '../scheduler/runner.ts';
import type { ExtraFamilies } from '../scheduler/self-block.ts';
import type { BuildInfo } from '../scheduler/self-metrics.ts';
import type { CgroupView } from '../sources/cgroup/view.ts';
import type { ConfigSource } from '../sources/gitaly/target.ts';
import { cgroupPart } from './components/cgroup.ts';
import { checksComponent } from './components/checks.ts';
import { gitalyPart } from './components/gitaly.ts';
import { type KeptParts, keepParts } from './components/kept.ts';
import { kubernetesPart } from './components/kubernetes.ts';
import { maintenancePart } from './components/maintenance.ts';
import type { Part, PartOptions } from './components/part.ts';
import { praefectPart } from './components/praefect.ts';

export interface CoreOptions extends PartOptions {
  readonly build: BuildInfo;
  /** Of the core that this one takes over from. */
  readonly before?: KeptParts | undefined;
  /** Families of the server and of the reload, for the exporter's own block. */
  readonly extraFamilies: readonly ExtraFamilies[];
}

export interface Core {
  readonly runner: Runner;
  /** What it watches, in a few words without secrets. */
  readonly target: string;
  /** What the blocks of a scrape say is wrong. */
  problems(blocks: readonly Block[]): readonly Problem[];
  /** Who knows configurations of Gitaly. */
  readonly configs: readonly ConfigSource[];
  /** Undefined where no cgroups are watched. */
  cgroups(): CgroupView | undefined;
  /** Undefined where no recommendations are checked; `latest` before the first run. */
  readonly checks: { latest(): Evaluation | undefined } | undefined;
  /** Planned work that is under way. */
  readonly planned: () => readonly { readonly name: string; readonly endsAt: number | undefined }[];
  readonly kept: KeptParts;
  /** @param successor what the core that takes over has kept lives on */
  stop(successor?: KeptParts): Promise<void>;
}

export function createCore(options: CoreOptions): Core {
  const reading = () => readingOf(runner.snapshots());
  const { settings } = options;
  const kept = keepParts(options.before);
  const kubernetes = kept.keep('kubernetes', [settings.kubernetes, settings.cgroup, settings.gitaly], () =>
    kubernetesPart(options),
  );
  const { cluster } = kubernetes;
  const gitaly = gitalyPart(options, { targets: cluster?.targets ?? [], configs: cluster?.configs ?? [] });
  const cgroup = kept.keep('cgroup', [settings.cgroup, settings.kubernetes, settings.gitaly], () =>
    cgroupPart(options, cluster, gitaly.configs),
  );
  const praefect = praefectPart(options);
  const checks = checksComponent(options, { cluster, directory: cgroup.directory, reading });
  const maintenance = maintenancePart(options, cluster);
  const parts: readonly Part[] = [gitaly, praefect, cgroup, kubernetes, checks, maintenance];
  const runner = createRunner({
    build: options.build,
    clock: options.clock,
    log: options.log,
    prepare,
    maxSeriesPerCollector: options.settings.metrics.maxSeries,
    collectors: parts.flatMap(({ collectors }) => collectors),
    disabled: parts.flatMap(({ disabled }) => disabled),
    extraFamilies: [
      ...options.extraFamilies,
      () => eventFamilies(options.events),
      ...parts.flatMap(({ families }) => families),
    ],
  });
  return {
    runner,
    target: targetText(options.sources, {
      gitaly: gitaly.collectors.length > 0,
      cgroups: cgroup.collectors.length > 0,
      kubernetes: cluster !== undefined,
    }),
    problems(blocks) {
      const found = readingOf(blocks);
      return parts.flatMap((part) => part.problems(found, runner.latest));
    },
    configs: gitaly.configs,
    cgroups: () => cgroup.view(),
    checks: checks.isChecked ? checks : undefined,
    planned: maintenance.open,
    kept,
    async stop(successor) {
      const ending = parts.filter((part) => successor?.has(part) !== true);
      // Those that watch by themselves end at once: what two of them saw would be told twice.
      const watching = ending.filter((part) => part === kubernetes || part === cgroup);
      await Promise.all([runner.stop(), ...watching.map((part) => part.stop())]);
      await Promise.all(ending.filter((part) => !watching.includes(part)).map((part) => part.stop()));
    },
  };
}

interface Watched {
  readonly gitaly: boolean;
  readonly cgroups: boolean;
  readonly kubernetes: boolean;
}

function targetText({ database, databaseText }: ResolvedPraefect, watched: Watched): string {
  const others = [
    ...(watched.gitaly ? ["Gitaly's own metrics"] : []),
    ...(watched.cgroups ? ["Gitaly's cgroups on this host"] : []),
    ...(watched.kubernetes ? ['what Kubernetes tells of their pods'] : []),
  ];
  if (database === undefined)
    return others.length === 0 ? databaseText : `${others.join(' and ')}. ${databaseText}`;
  const place = `Praefect's database ${database.database} at ${database.host}:${database.port}`;
  return others.length === 0 ? place : `${place}, and ${others.join(' and ')}`;
}
