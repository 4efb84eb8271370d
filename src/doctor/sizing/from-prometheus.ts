/** Right-sizing from the history of `--prometheus-url`, and whether that could be read, as a check. */
import type { Clock } from '../../lib/clock.ts';
import type { ReadText } from '../../lib/files.ts';
import { durationText } from '../../lib/format.ts';
import { fixText } from '../../rules/finding.ts';
import { readCredentials } from '../../sources/gitaly/credentials.ts';
import type { TargetAccess } from '../../sources/gitaly/target.ts';
import { accessChecks, type DoctorFinding, notPassed, passed } from '../finding.ts';
import { adviceOf } from './advice.ts';
import { readHistory } from './history.ts';
import { createPrometheus } from './prometheus.ts';
import type { SizingReport } from './report.ts';

export interface HistorySettings {
  /** Base URL, without a trailing slash. */
  readonly url: string;
  /** At most 14. */
  readonly days: number;
  readonly access: TargetAccess;
}

interface Host {
  readonly clock: Clock;
  readonly readText: ReadText;
}

/** @returns no sizing where there is no history */
export async function historySizing(
  { url, days, access }: HistorySettings,
  { clock, readText }: Host,
  signal: AbortSignal,
): Promise<{ readonly sizing?: SizingReport; readonly finding: DoctorFinding }> {
  const check = accessChecks.prometheusHistory;
  const credentials = await readCredentials(access, url.startsWith('https:'), readText);
  if (!credentials.ok) return { finding: notPassed(check, 'fail', credentials.failure.message, []) };
  const prometheus = createPrometheus({ url, credentials: credentials.value, clock });
  try {
    const result = await readHistory({ prometheus, days, clock }, signal);
    if (!result.ok) return { finding: notPassed(check, 'fail', `${url} ${result.message}`, [urlFix]) };
    const { history } = result;
    const groups = adviceOf(history);
    if (groups.length === 0)
      return {
        finding: notPassed(
          check,
          'warn',
          `${url} has no series gitaly_server_info and gitaly_server_scrape_up of the last ${days} days`,
          [fixText('Let it scrape the exporter with honor_labels: true (docs/scraping.md).')],
        ),
      };
    const seconds = Math.max(...groups.map(({ historySeconds }) => historySeconds));
    const found = `${durationText(seconds * 1000)} of ${days} days of ${history.servers.length} servers`;
    return {
      sizing: {
        basis: `Sizes and limits for the usage of the last ${days} days in ${url}. docs/checks.md#right-sizing explains the rules.`,
        groups,
        problems: history.problems,
      },
      finding:
        history.problems.length === 0
          ? passed(check, found)
          : notPassed(check, 'warn', `${found}; ${history.problems.join(' ')}`, []),
    };
  } finally {
    prometheus.close();
  }
}

const urlFix = fixText(
  'Set --prometheus-url to the base URL of Prometheus, Thanos Query or Mimir (with its /prometheus), and --prometheus-credentials-file and --prometheus-ca-file if it needs them.',
);
