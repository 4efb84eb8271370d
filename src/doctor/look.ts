/** Everything that doctor looks at, once, in the order in which one thing rests on another. */

import { type PraefectKnown, readCheckInputs } from '../app/check-inputs.ts';
import { createConfiguredBuckets } from '../buckets/sizes.ts';
import type { Origins } from '../config/praefect/resolve.ts';
import { type ResolvedPraefect, resolvePraefect } from '../config/praefect/resolve.ts';
import { problemText } from '../config/problem.ts';
import type { Settings } from '../config/sections/index.ts';
import type { System } from '../config/system.ts';
import type { Clock } from '../lib/clock.ts';
import { checksOfRole, evaluate } from '../rules/checks/evaluate.ts';
import type { ServerFacts } from '../rules/checks/inputs.ts';
import { fixText } from '../rules/finding.ts';
import { createCgroupFactsReader } from '../sources/cgroup/facts.ts';
import type { PodDirectory } from '../sources/cgroup/tree.ts';
import { configFiles, configuredTargets } from '../sources/gitaly/configured.ts';
import { systemResolve } from '../sources/gitaly/resolve.ts';
import {
  configMapReader,
  createConfigMapSource,
  createConfigMaps,
} from '../sources/kubernetes/directory/config-maps.ts';
import { createOtherPods } from '../sources/kubernetes/directory/other-pods.ts';
import { createPodDirectory } from '../sources/kubernetes/directory/pod-directory.ts';
import { createPodTargets } from '../sources/kubernetes/directory/pod-targets.ts';
import { createPodsFileDirectory } from '../sources/kubernetes/directory/pods-file.ts';
import { createVolumeStats } from '../sources/kubernetes/directory/volume-stats.ts';
import { componentBySelectors } from '../sources/kubernetes/gitaly-objects.ts';
import { cgroupFindings } from './cgroups.ts';
import { checkDatabase } from './database.ts';
import {
  accessChecks,
  type DoctorCheck,
  type DoctorFinding,
  type DoctorGroup,
  failed,
  passed,
} from './finding.ts';
import { lookAtKubernetes } from './kubernetes.ts';
import { recommendationChecks, recommendationFindings } from './recommendations.ts';
import type { DoctorReport } from './report.ts';
import { rightSizingLines } from './right-sizing.ts';
import { configFindings, serverFindings } from './servers.ts';

/** Of its own access first. */
export const allChecks: readonly DoctorCheck[] = [
  ...Object.values(accessChecks),
  ...recommendationChecks.values(),
];

export interface LookOptions {
  readonly settings: Settings;
  readonly origins: Origins;
  readonly system: System;
  readonly clock: Clock;
  readonly hostName: string;
  /** `/proc` */
  readonly proc: string;
  /** Which checks are asked for. What none of them needs is not looked at. */
  readonly wants: (id: string) => boolean;
}

/** Never rejects over what it finds. Gives up when the signal aborts, with what it has by then. */
export async function look(options: LookOptions, signal: AbortSignal): Promise<DoctorReport> {
  const { settings, clock, hostName, system, wants } = options;
  const { kubernetes, cgroup, gitaly } = settings;
  const findings: DoctorFinding[] = [];
  const notes: string[] = [];
  const wantsGroup = (...groups: readonly DoctorGroup[]): boolean =>
    allChecks.some(({ id, group }) => groups.includes(group) && wants(id));
  const closers: (() => Promise<void> | void)[] = [];
  const readText = (file: string) => system.files.readText(file);

  findings.push(...(await webFindings(settings)));
  const sources = await resolvePraefect(settings, options.origins, system);
  findings.push(...settingsFindings(sources));
  const database = wantsGroup("Praefect's database", 'Recommendations')
    ? await databasePart(sources.ok ? sources.value : undefined)
    : undefined;

  const componentOf = componentBySelectors(kubernetes);
  const node = kubernetes.node ?? hostName;
  const cluster = wantsGroup('Kubernetes API', 'Cgroups', 'Servers', 'Recommendations', 'Settings')
    ? await kubernetesPart()
    : undefined;
  const seen = cluster?.seen;
  const isScraping = seen !== undefined && kubernetes.scrape && kubernetes.role !== 'agent';
  const configMaps = isScraping ? createConfigMaps(configMapReader(seen.api), clock) : undefined;
  const files = configFiles({ files: gitaly.configFile ?? [], hostName, readText });

  try {
    const directory = await directoryPart();
    const cgroups = await cgroupPart(directory);
    if (wantsGroup('Servers')) findings.push(...(await serversPart()));
    if (wants(accessChecks.gitalyConfig.id))
      findings.push(
        ...(await configFindings(
          [
            files,
            ...(configMaps === undefined || seen === undefined
              ? []
              : [createConfigMapSource({ pods: seen.stores.pods, componentOf, configMaps })]),
          ],
          signal,
        )),
      );

    const servers = wantsGroup('Recommendations') ? await checksComponent(directory) : [];
    if (!cgroup.enabled && wantsGroup('Cgroups', 'Recommendations'))
      notes.push(
        'Cgroups and what else stands in files of the host (cgroup.enabled is false): run doctor where the agent runs, as `kubectl exec` in its pod.',
      );
    if (signal.aborted) notes.push('What was not reached in time (--timeout).');
    const pods = seen?.stores.pods.all() ?? [];
    return {
      findings: findings.filter(({ check }) => wants(check.id)),
      notes,
      rightSizing: rightSizingLines({ root: cgroup.root, trees: cgroups, servers, pods }),
    };
  } finally {
    for (const close of closers) await close();
  }

  async function checksComponent(directory: PodDirectory | undefined): Promise<readonly ServerFacts[]> {
    const { clientRetryWindow: retryMs } = settings.checks;
    const inputs = await readCheckInputs(
      {
        clock,
        stores: seen?.stores,
        ownNodeOnly: kubernetes.role === 'agent',
        componentOf,
        configMaps,
        configFiles: files,
        // Once, whatever namespaces are watched: without the right it is unknown.
        otherPods: seen === undefined ? undefined : createOtherPods(seen.api, componentOf, clock),
        volumes:
          seen !== undefined && kubernetes.volumeStats ? createVolumeStats(seen.api, clock) : undefined,
        cgroups: cgroup.enabled
          ? createCgroupFactsReader({
              root: cgroup.root,
              node,
              directory,
              readText,
              proc: options.proc,
              clock,
            })
          : undefined,
        rotationSeconds: undefined,
        praefect: database?.known,
        clientRetrySeconds: retryMs === undefined ? undefined : retryMs / 1000,
      },
      signal,
    );
    const role = kubernetes.role === 'all' && !cgroup.enabled ? 'cluster' : kubernetes.role;
    const recommendations = recommendationFindings(evaluate(inputs, checksOfRole[role]));
    findings.push(...recommendations.findings);
    const others = recommendations.notApplicable.filter(wants);
    if (kubernetes.enabled && others.length > 0)
      notes.push(`Not for this installation: ${others.join(', ')}.`);
    return inputs.servers;
  }

  async function databasePart(
    value: ResolvedPraefect | undefined,
  ): Promise<{ readonly known: PraefectKnown | undefined }> {
    if (value?.database === undefined) {
      notes.push(value?.databaseText ?? "Praefect's database: its settings are not in order.");
      return { known: undefined };
    }
    const found = await checkDatabase(value.database, clock, signal);
    findings.push(...found.findings);
    return {
      known: {
        postgresqlVersion: () => found.postgresqlVersion,
        schemaVariant: () => found.schemaVariant,
        sslMode: value.config?.database?.sslmode?.value,
        databaseHost: value.config?.database?.host?.value,
        instances: () => found.livePraefects,
      },
    };
  }

  async function kubernetesPart() {
    if (!kubernetes.enabled) {
      notes.push(
        'Kubernetes (kubernetes.enabled is false): --namespace, or --kubernetes.enabled for all namespaces, looks there.',
      );
      return undefined;
    }
    const found = await lookAtKubernetes(
      { settings: kubernetes, node, componentOf, clock, env: system.env },
      signal,
    );
    findings.push(...found.findings);
    closers.push(() => found.close());
    return found;
  }

  async function directoryPart() {
    if (cgroup.podsFile !== undefined) {
      const directory = createPodsFileDirectory({
        file: cgroup.podsFile,
        readText,
        clock,
        watch: () => () => undefined,
      });
      closers.push(() => directory.close());
      await directory.ready;
      const { pods, failure } = directory.pods();
      findings.push(
        failure === undefined
          ? passed(accessChecks.podsFile, `${cgroup.podsFile} lists ${pods.length} pods`)
          : failed(accessChecks.podsFile, 'fail', failure.message, []),
      );
      return directory;
    }
    if (seen === undefined || kubernetes.role === 'cluster') return undefined;
    const directory = createPodDirectory(seen.stores, { node, componentOf, clock });
    closers.push(() => directory.close());
    return directory;
  }

  async function cgroupPart(directory: PodDirectory | undefined) {
    if (!cgroup.enabled) return [];
    const configured = createConfiguredBuckets(
      [
        files,
        ...(configMaps === undefined || seen === undefined
          ? []
          : [createConfigMapSource({ pods: seen.stores.pods, componentOf, configMaps })]),
      ],
      clock,
    );
    closers.push(() => configured.close());
    const found = await cgroupFindings(
      { root: cgroup.root, hostName: node, directory, configs: configured, proc: options.proc, clock },
      signal,
    );
    findings.push(...found.findings);
    return found.trees;
  }

  function serversPart(): Promise<readonly DoctorFinding[]> {
    const { scrape } = gitaly;
    const access = { tls: scrape.tls, credentialsFile: scrape.credentialsFile };
    return serverFindings(
      {
        sources: [
          configuredTargets({
            gitaly: gitaly.target ?? [],
            praefect: settings.praefect.target ?? [],
            access,
            hostName,
            resolve: systemResolve,
          }),
          ...(isScraping ? [createPodTargets({ pods: seen.stores.pods, componentOf, tls: scrape.tls })] : []),
        ],
        limits: { timeoutMs: scrape.timeout, maxBytes: scrape.maxBytes, maxSamples: scrape.maxSeries },
        clock,
        resolve: systemResolve,
        readText,
      },
      signal,
    );
  }
}

async function webFindings({ web }: Settings): Promise<readonly DoctorFinding[]> {
  const { file } = web.config;
  if (file === undefined) return [];
  const { openWebConfig } = await import('../server/web-config/source.ts');
  const opened = openWebConfig(file);
  if (opened.ok) return [passed(accessChecks.webConfig, file)];
  return opened.problem
    .split('\n')
    .map((problem) =>
      failed(accessChecks.webConfig, 'fail', problem, [fixText('docs/web-configuration.md has its format.')]),
    );
}

function settingsFindings(sources: Awaited<ReturnType<typeof resolvePraefect>>): readonly DoctorFinding[] {
  if (sources.ok)
    return sources.value.database === undefined
      ? []
      : [passed(accessChecks.databaseSettings, sources.value.databaseText)];
  return sources.problems.map((problem) =>
    failed(accessChecks.databaseSettings, 'fail', problemText(problem), []),
  );
}
