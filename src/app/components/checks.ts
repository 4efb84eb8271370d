/** Whether the recommendations are followed: the checks, over what all other parts found. */
import { hostname } from 'node:os';
import { readTextFile } from '../../lib/files.ts';
import { checksCollectorName, createChecksCollector } from '../../rules/checks/collector.ts';
import { checksOfRole, type Evaluation } from '../../rules/checks/evaluate.ts';
import type { Reading } from '../../rules/problems/reading.ts';
import { createCgroupFactsReader } from '../../sources/cgroup/facts.ts';
import type { PodDirectory } from '../../sources/cgroup/tree.ts';
import { configFiles } from '../../sources/gitaly/configured.ts';
import { info as databaseInfo } from '../../sources/praefect/queries/database.ts';
import { praefectAlive } from '../../sources/praefect/queries/health.ts';
import { type PraefectKnown, readCheckInputs } from '../check-inputs.ts';
import type { Cluster } from './kubernetes.ts';
import { absentPart, type Part, type PartOptions } from './part.ts';

export interface ChecksComponent extends Part {
  /** Undefined where nothing is checked, and before the first run. */
  latest(): Evaluation | undefined;
  readonly isChecked: boolean;
}

export interface CheckSources {
  readonly cluster: Cluster | undefined;
  /** The pods on this host, as the cgroup part knows them. */
  readonly directory: PodDirectory | undefined;
  /** What the exporter serves at this moment. */
  readonly reading: () => Reading;
}

export function checksComponent(
  options: PartOptions,
  { cluster, directory, reading }: CheckSources,
): ChecksComponent {
  const { settings, clock } = options;
  const { cgroup, kubernetes, gitaly } = settings;
  if (cluster === undefined && !cgroup.enabled)
    return { ...absentPart([checksCollectorName]), latest: () => undefined, isChecked: false };
  const readText = (file: string): Promise<string> => readTextFile(file);
  const { clientRetryWindow: retryMs } = settings.checks;
  const node = kubernetes.node ?? hostname();
  const cgroups = cgroup.enabled
    ? createCgroupFactsReader({ root: cgroup.root, node, directory, readText, proc: '/proc', clock })
    : undefined;
  const files =
    gitaly.configFile && configFiles({ files: gitaly.configFile, hostName: hostname(), readText });
  const role = kubernetes.role === 'all' && cgroups === undefined ? 'cluster' : kubernetes.role;
  const posture = createChecksCollector({
    async inputs(signal) {
      await cluster?.settled(signal);
      return readCheckInputs(
        {
          clock,
          stores: cluster?.stores,
          ownNodeOnly: kubernetes.role === 'agent',
          componentOf: cluster?.componentOf ?? (() => undefined),
          configMaps: cluster?.configMaps,
          configFiles: files,
          otherPods: cluster?.otherPods,
          volumes: cluster?.volumes,
          cgroups,
          rotationSeconds: cluster?.rotationSeconds,
          praefect: praefectKnown(options, reading),
          clientRetrySeconds: retryMs === undefined ? undefined : retryMs / 1000,
        },
        signal,
      );
    },
    filter: checksOfRole[role],
  });
  return {
    collectors: [posture.collector],
    disabled: [],
    families: [],
    problems: () => [],
    stop: async () => undefined,
    latest: posture.latest,
    isChecked: true,
  };
}

/** What Praefect's database and files tell; undefined where there is no Praefect. */
function praefectKnown({ sources }: PartOptions, reading: () => Reading): PraefectKnown | undefined {
  if (sources.database === undefined && sources.config === undefined) return undefined;
  return {
    postgresqlVersion: () => reading().series(databaseInfo)[0]?.labels.server_version,
    schemaVariant: () => reading().series(databaseInfo)[0]?.labels.schema_variant,
    sslMode: sources.config?.database?.sslmode?.value,
    databaseHost: sources.config?.database?.host?.value,
    instances() {
      const praefects = new Map<string, number>();
      for (const { labels, value } of reading().series(praefectAlive))
        praefects.set(labels.praefect, Math.max(praefects.get(labels.praefect) ?? 0, value));
      const alive = [...praefects.values()].filter((value) => value === 1).length;
      return praefects.size === 0 ? undefined : alive;
    },
  };
}
