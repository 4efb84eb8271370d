/** Runs doctor's checks once, on the sources that the exporter would use, in the order in which they depend on each other. */
import { type CheckInputSources, readCheckInputs } from '../app/check-inputs.ts';
import {
  createSources,
  excludedBySettings,
  type HostContext,
  nodeName,
  openKubernetes,
  openPodsFile,
  type Sources,
} from '../app/sources.ts';
import { createConfiguredBuckets } from '../buckets/sizes.ts';
import { type Origins, type ResolvedPraefect, resolvePraefect } from '../config/praefect/resolve.ts';
import { problemText } from '../config/problem.ts';
import type { Settings } from '../config/sections/index.ts';
import type { System } from '../config/system.ts';
import { checksOfRole, evaluate } from '../rules/checks/evaluate.ts';
import type { ServerFacts } from '../rules/checks/inputs.ts';
import { fixText } from '../rules/finding.ts';
import { judgmentOf } from '../rules/judgment.ts';
import { systemResolve } from '../sources/gitaly/resolve.ts';
import { cgroupFindings } from './cgroups.ts';
import { checkDatabase } from './database.ts';
import {
  accessChecks,
  type DoctorCheck,
  type DoctorFinding,
  type DoctorGroup,
  notPassed,
  passed,
  recommendationChecks,
  recommendationFindings,
} from './finding.ts';
import { kubernetesFindings } from './kubernetes.ts';
import type { DoctorReport } from './report.ts';
import { configFindings, serverFindings } from './servers.ts';
import { type HistorySettings, historySizing } from './sizing/from-prometheus.ts';
import { momentSizing } from './sizing/moment.ts';

/** Those of the exporter's own access first. */
export const allChecks: readonly DoctorCheck[] = [
  ...Object.values(accessChecks),
  ...recommendationChecks.values(),
];

export interface DoctorOptions {
  readonly settings: Settings;
  readonly origins: Origins;
  readonly system: System;
  readonly host: HostContext;
  /** Empty for a valid web configuration file. */
  readonly webConfigProblems: (file: string) => Promise<readonly string[]>;
  /** The selected checks. Sources that none of them needs are not read. */
  readonly isSelected: (id: string) => boolean;
  /** For right-sizing from history. */
  readonly prometheus?: HistorySettings | undefined;
}

/** Never rejects for what it finds. When the signal aborts, it returns what it has. */
export async function runDoctor(options: DoctorOptions, signal: AbortSignal): Promise<DoctorReport> {
  const { host, isSelected, settings } = options;
  const { cgroup, kubernetes, gitaly } = settings;
  const needs = (...groups: readonly DoctorGroup[]): boolean =>
    allChecks.some(({ id, group }) => groups.includes(group) && isSelected(id));
  const findings: DoctorFinding[] = await webFindings(options);
  const notes: string[] = [];

  const resolved = await resolvePraefect(settings, options.origins, options.system);
  findings.push(...databaseSettingsFindings(resolved));
  const praefect = needs("Praefect's database", 'Recommendations')
    ? await checkPraefect(resolved.ok ? resolved.value : undefined)
    : undefined;

  const opened = {
    kubernetes: needs('Kubernetes API', 'Cgroups', 'Servers', 'Recommendations', 'Settings')
      ? openKubernetes(settings, host)
      : undefined,
    podsFile: openPodsFile(settings, host),
  };
  try {
    const sources = createSources(settings, host, { ...opened, kubernetes: await reachableKubernetes() });
    if (sources.podsFile !== undefined) {
      await sources.podsFile.ready;
      findings.push(podsFileFinding(cgroup.podsFile ?? '', sources.podsFile.pods()));
    }
    const trees = cgroup.enabled ? await checkCgroups(sources) : [];
    notes.push(...excludedBySettings(settings));
    if (needs('Servers')) await checkServers(sources);
    if (isSelected(accessChecks.gitalyConfig.id))
      findings.push(...(await configFindings(sources.configs, signal)));
    const servers = needs('Recommendations') ? await checkRecommendations(sources) : [];
    if (!cgroup.enabled && needs('Cgroups', 'Recommendations'))
      notes.push(
        'Cgroups and other files of the host (cgroup.enabled is false): run doctor where the agent runs, with `kubectl exec` in its pod.',
      );
    const skipped = allChecks.filter(({ id }) => !isSelected(id)).length;
    if (skipped > 0) notes.push(`${skipped} of ${allChecks.length} checks, by --only or --skip.`);
    const history = await readSizes();
    if (signal.aborted) notes.push('Checks that were not reached in time (--timeout).');
    const pods = sources.kubernetes?.stores.pods.all() ?? [];
    return {
      findings: findings.filter(({ check }) => isSelected(check.id)),
      notes,
      rightSizing: history ?? momentSizing({ root: cgroup.root, trees, servers, pods }),
    };
  } finally {
    await opened.kubernetes?.close();
    opened.podsFile?.close();
  }

  async function checkPraefect(value: ResolvedPraefect | undefined): Promise<CheckInputSources['praefect']> {
    if (value?.database === undefined) {
      notes.push(value?.databaseText ?? "Praefect's database: its settings are invalid.");
      return undefined;
    }
    const { thresholds } = judgmentOf(settings);
    const report = await checkDatabase(value.database, host.clock, signal, thresholds);
    findings.push(...report.findings);
    return {
      postgresqlVersion: report.postgresqlVersion,
      schemaVariant: report.schemaVariant,
      connection: value.config?.database,
      instances: report.livePraefects,
    };
  }

  /** Undefined where the API is disabled or unreachable: everything that depends on it is then not applicable. */
  async function reachableKubernetes(): Promise<Sources['kubernetes']> {
    const access = opened.kubernetes;
    if (access === undefined) {
      if (!kubernetes.enabled)
        notes.push(
          'Kubernetes (kubernetes.enabled is false): enable it with --namespace, or with --kubernetes.enabled for all namespaces.',
        );
      return undefined;
    }
    const { isReachable, findings: found } = await kubernetesFindings(
      access,
      settings,
      nodeName(settings, host),
      signal,
    );
    findings.push(...found);
    return isReachable ? access : undefined;
  }

  /** Undefined without a Prometheus, or without history. */
  async function readSizes() {
    if (options.prometheus === undefined) return undefined;
    const { clock, readText } = host;
    const { sizing, finding } = await historySizing(options.prometheus, { clock, readText }, signal);
    findings.push(finding);
    return sizing;
  }

  async function checkServers({ targets }: Sources): Promise<void> {
    const { timeout, maxBytes, maxSeries } = gitaly.scrape;
    const report = await serverFindings(
      {
        sources: targets,
        limits: { timeoutMs: timeout, maxBytes, maxSamples: maxSeries },
        clock: host.clock,
        resolve: systemResolve,
        readText: host.readText,
      },
      signal,
    );
    findings.push(...report.findings);
    notes.push(...report.excluded);
  }

  async function checkCgroups({ configs, podDirectory }: Sources) {
    const configured = createConfiguredBuckets(configs, host.clock);
    try {
      const report = await cgroupFindings(
        {
          root: cgroup.root,
          hostName: nodeName(settings, host),
          directory: podDirectory,
          configs: configured,
          proc: host.proc,
          clock: host.clock,
        },
        signal,
      );
      findings.push(...report.findings);
      return report.trees;
    } finally {
      configured.close();
    }
  }

  async function checkRecommendations(sources: Sources): Promise<readonly ServerFacts[]> {
    const inputs = await readCheckInputs(
      {
        ...sources,
        clock: host.clock,
        isAgent: kubernetes.role === 'agent',
        rotationSeconds: undefined,
        praefect,
        clientRetryWindow: settings.checks.clientRetryWindow,
      },
      signal,
    );
    const role = kubernetes.role === 'all' && !cgroup.enabled ? 'cluster' : kubernetes.role;
    const recommendations = recommendationFindings(evaluate(inputs, checksOfRole[role]));
    findings.push(...recommendations.findings);
    const others = recommendations.notApplicable.filter(isSelected);
    if (kubernetes.enabled && others.length > 0)
      notes.push(`Not applicable to this installation: ${others.join(', ')}.`);
    return inputs.servers;
  }
}

function podsFileFinding(
  file: string,
  { pods, failure }: ReturnType<NonNullable<Sources['podsFile']>['pods']>,
): DoctorFinding {
  return failure === undefined
    ? passed(accessChecks.podsFile, `${file} lists ${pods.length} pods`)
    : notPassed(accessChecks.podsFile, 'fail', failure.message, []);
}

async function webFindings({ settings, webConfigProblems }: DoctorOptions): Promise<DoctorFinding[]> {
  const { file } = settings.web.config;
  if (file === undefined) return [];
  const problems = await webConfigProblems(file);
  if (problems.length === 0) return [passed(accessChecks.webConfig, file)];
  return problems.map((problem) =>
    notPassed(accessChecks.webConfig, 'fail', problem, [
      fixText('docs/web-configuration.md describes the format.'),
    ]),
  );
}

function databaseSettingsFindings(
  resolved: Awaited<ReturnType<typeof resolvePraefect>>,
): readonly DoctorFinding[] {
  if (!resolved.ok)
    return resolved.problems.map((problem) =>
      notPassed(accessChecks.databaseSettings, 'fail', problemText(problem), []),
    );
  const { config, database, databaseText, problems } = resolved.value;
  const leftOut = problems.map((problem) =>
    notPassed(accessChecks.databaseSettings, 'warn', problemText(problem), []),
  );
  if (database !== undefined) return [passed(accessChecks.databaseSettings, databaseText), ...leftOut];
  // With Praefect's configuration at hand, a database was expected.
  return config === undefined
    ? []
    : [notPassed(accessChecks.databaseSettings, 'warn', databaseText, []), ...leftOut];
}
