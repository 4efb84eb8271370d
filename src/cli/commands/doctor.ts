/** `doctor`: looks once whether everything is as it should be, says what is not, and how to mend it. */
import { hostname } from 'node:os';
import { Refusal } from '../../config/kinds/kind.ts';
import { listOf } from '../../config/kinds/lists.ts';
import { duration } from '../../config/kinds/quantities.ts';
import { oneOf, text } from '../../config/kinds/scalars.ts';
import type { Settings } from '../../config/sections/index.ts';
import { optional, type Section, setting, type ValuesOf } from '../../config/setting.ts';
import { closest } from '../../config/suggest.ts';
import { allChecks, look } from '../../doctor/look.ts';
import { exitCodeOf, jsonReport, textReport } from '../../doctor/report.ts';
import { systemClock } from '../../lib/clock.ts';
import type { CommandIo } from '../command.ts';
import { widthOf } from '../help.ts';

const ids: readonly string[] = allChecks.map(({ id }) => id);

function known(found: string): Refusal | undefined {
  if (ids.includes(found)) return undefined;
  const near = closest(found, ids);
  return new Refusal(near === undefined ? `the checks are ${ids.join(', ')}` : `did you mean ${near}?`);
}

const checkIds = listOf(text('<check>', known), 'list of checks');

export const options = {
  title: 'Doctor',
  settings: {
    namespace: optional(listOf(text('<namespace>'), 'list of namespaces'), {
      unset: 'as kubernetes.namespace says',
      help: 'Looks at Gitaly in this namespace of Kubernetes, whatever kubernetes.enabled and kubernetes.namespace say; may be repeated.',
      example: 'gitlab',
    }),
    only: optional(checkIds, {
      unset: 'all checks',
      help: 'Runs these checks alone; may be repeated.',
      example: 'database_tables',
    }),
    skip: optional(checkIds, {
      unset: 'none',
      help: 'Leaves these checks out; may be repeated.',
      example: 'servers_reachable',
    }),
    output: setting(oneOf(['table', 'json']), {
      default: 'table',
      help: 'A table for people, or JSON for programs.',
    }),
    timeout: setting(duration({ min: 1000, max: 600_000 }), {
      default: 30_000,
      help: 'Longest that all of it may take; what was not reached by then fails or is unknown.',
    }),
  },
} as const satisfies Section;

/**
 * 0: nothing fails. 1: something does, or not all was reached in time. 2: it was interrupted, or there was nothing to
 * check, which is no good news.
 */
export async function run(
  settings: Settings,
  io: CommandIo,
  { namespace, only, skip, output, timeout }: ValuesOf<(typeof options)['settings']>,
): Promise<number> {
  const late = new AbortController();
  const done = new AbortController();
  void systemClock.sleep(timeout, done.signal).then(() => {
    if (!done.signal.aborted) late.abort();
  });
  const { kubernetes } = settings;
  const report = await look(
    {
      settings:
        namespace === undefined
          ? settings
          : { ...settings, kubernetes: { ...kubernetes, enabled: true, namespace } },
      origins: io.origins,
      system: io.system,
      clock: systemClock,
      hostName: hostname(),
      proc: '/proc',
      wants: (id) => (only === undefined || only.includes(id)) && skip?.includes(id) !== true,
    },
    AbortSignal.any([io.signal, late.signal]),
  ).finally(() => done.abort());
  if (io.signal.aborted) {
    io.stderr.write('gitaly-exporter: doctor was interrupted\n');
    return 2;
  }
  const { env } = io.system;
  io.stdout.write(
    output === 'json'
      ? jsonReport(report, systemClock.now())
      : textReport(report, {
          width: widthOf(io.stdout),
          colour: io.stdout.isTTY === true && !env['NO_COLOR'] && env['TERM'] !== 'dumb',
        }),
  );
  if (report.findings.length === 0) return 2;
  return late.signal.aborted ? 1 : exitCodeOf(report);
}
