/** `doctor`: runs every check once, prints what fails and how to fix it. */
import { Refusal } from '../../config/kinds/kind.ts';
import { listOf } from '../../config/kinds/lists.ts';
import { duration } from '../../config/kinds/quantities.ts';
import { baseUrl, choice, filePath, integer, text } from '../../config/kinds/scalars.ts';
import { listedTitles, type Settings } from '../../config/sections/index.ts';
import { optional, type Section, setting, type ValuesOf } from '../../config/setting.ts';
import { closest } from '../../config/suggest.ts';
import { accessChecks } from '../../doctor/finding.ts';
import type { HistorySettings } from '../../doctor/sizing/from-prometheus.ts';
import { systemClock } from '../../lib/clock.ts';
import { silentLog } from '../../lib/log.ts';
import { checkIds as recommendationIds } from '../../rules/checks/check.ts';
import { type CommandIo, defineCommand, usesColor } from '../command.ts';
import { widthOf } from '../help.ts';
import { webConfigProblems } from '../setting-problems.ts';

const ids: readonly string[] = [...Object.values(accessChecks).map(({ id }) => id), ...recommendationIds];

function knownCheck(found: string): Refusal | undefined {
  if (ids.includes(found)) return undefined;
  const near = closest(found, ids);
  return new Refusal(near === undefined ? `the checks are ${ids.join(', ')}` : `did you mean ${near}?`);
}

const checkIds = listOf(text('<check>', knownCheck), 'list of checks');

const doctorOptions = {
  title: 'Doctor',
  settings: {
    namespace: optional(listOf(text('<namespace>'), 'list of namespaces'), {
      unset: 'kubernetes.namespace',
      help: 'Check Gitaly in this Kubernetes namespace, in place of kubernetes.enabled and kubernetes.namespace. Repeatable.',
      example: 'gitlab',
    }),
    only: optional(checkIds, {
      unset: 'all checks',
      help: 'Run only these checks. Repeatable.',
      example: 'database_tables',
    }),
    skip: optional(checkIds, {
      unset: 'none',
      help: 'Skip these checks. Repeatable.',
      example: 'servers_reachable',
    }),
    prometheusUrl: optional(baseUrl('https://prometheus.corp.example'), {
      unset: 'none: sizes are for the current usage',
      help: 'Base URL of a Prometheus that scrapes the exporter (or Thanos Query, Mimir). Sizes and limits are then proposed for the peaks of its history.',
      example: 'http://prometheus.example.com:9090',
    }),
    prometheusDays: setting(integer({ min: 1, max: 14 }), {
      default: 14,
      help: 'Days of history to read.',
    }),
    prometheusCredentialsFile: optional(filePath(), {
      unset: 'none',
      help: 'File whose single line is sent to Prometheus: user:password for basic authentication, or a bearer token.',
      example: '/etc/gitaly-exporter/prometheus-credentials',
    }),
    prometheusCaFile: optional(filePath(), {
      unset: "the system's authorities",
      help: 'Certificate authorities that are trusted for Prometheus, in PEM.',
      example: '/etc/gitaly-exporter/prometheus-ca.pem',
    }),
    prometheusCertFile: optional(filePath(), {
      unset: 'none',
      help: 'Client certificate for Prometheus, in PEM. Requires the key file.',
      example: '/etc/gitaly-exporter/prometheus.pem',
    }),
    prometheusKeyFile: optional(filePath(), {
      unset: 'none',
      help: 'Key of the client certificate, in PEM, without a passphrase.',
      example: '/etc/gitaly-exporter/prometheus-key.pem',
    }),
    output: setting(choice(['table', 'json']), {
      default: 'table',
      help: 'A table for people, or JSON for programs.',
    }),
    timeout: optional(duration({ min: 1000, max: 3_600_000 }), {
      unset: '30s, with prometheus-url 5m',
      help: 'Limit for the whole run; checks that were not reached by then fail or are unknown.',
      example: '2m',
    }),
  },
} as const satisfies Section;

export const doctor = defineCommand({
  name: 'doctor',
  summary: 'Run one-off health and configuration checks',
  description:
    "Tries everything that the exporter does (Praefect's database, the Kubernetes API, cgroups, every server's metrics) and runs every recommendation for Gitaly as a check. Prints what was found, what was expected and how to fix it. Changes nothing. Exit code 1 when a check fails.",
  options: doctorOptions,
  settings: listedTitles,
  readsSources: false,
  run,
});

type DoctorFlags = ValuesOf<(typeof doctorOptions)['settings']>;

/** Text: what is wrong with the flags. */
function historySettings({
  prometheusUrl: url,
  prometheusDays: days,
  prometheusCredentialsFile: credentialsFile,
  prometheusCaFile: caFile,
  prometheusCertFile: certFile,
  prometheusKeyFile: keyFile,
}: DoctorFlags): HistorySettings | string | undefined {
  const files = [credentialsFile, caFile, certFile, keyFile];
  if (url === undefined)
    return files.some((file) => file !== undefined)
      ? 'the flags --prometheus-* need --prometheus-url, the Prometheus that they are for'
      : undefined;
  if ((certFile === undefined) !== (keyFile === undefined))
    return '--prometheus-cert-file and --prometheus-key-file go together: set both or neither';
  return { url, days, access: { credentialsFile, tls: { caFile, certFile, keyFile } } };
}

/** @returns 0 nothing fails, 1 a check fails or was not reached in time, 2 interrupted, or nothing to check */
async function run(settings: Settings, io: CommandIo, options: DoctorFlags): Promise<number> {
  const { namespace, only, skip, output } = options;
  const history = historySettings(options);
  if (typeof history === 'string') {
    io.stderr.write(`gitaly-exporter: ${history}\n`);
    return 2;
  }
  const [{ processHost }, { runDoctor }, { exitCodeOf, jsonReport, textReport }] = await Promise.all([
    import('../../app/sources.ts'),
    import('../../doctor/run.ts'),
    import('../../doctor/report.ts'),
  ]);
  const timeout = options.timeout ?? (history === undefined ? 30_000 : 300_000);
  const late = AbortSignal.timeout(timeout);
  const { kubernetes } = settings;
  const report = await runDoctor(
    {
      settings:
        namespace === undefined
          ? settings
          : { ...settings, kubernetes: { ...kubernetes, enabled: true, namespace } },
      origins: io.origins,
      system: io.system,
      host: processHost(io.system, silentLog, systemClock),
      webConfigProblems,
      prometheus: history,
      isSelected: (id) => (only === undefined || only.includes(id)) && skip?.includes(id) !== true,
    },
    AbortSignal.any([io.signal, late]),
  );
  if (io.signal.aborted) {
    io.stderr.write('gitaly-exporter: doctor was interrupted\n');
    return 2;
  }
  io.stdout.write(
    output === 'json'
      ? jsonReport(report, systemClock.now())
      : textReport(report, {
          width: widthOf(io.stdout),
          color: usesColor(io.stdout, io.system.env),
        }),
  );
  if (report.findings.length === 0) return 2;
  return late.aborted ? 1 : exitCodeOf(report);
}
