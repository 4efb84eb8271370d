/** `bucket`: the repositories that share a cgroup bucket, or the bucket of a repository. */
import { hostname } from 'node:os';
import { readGitalys } from '../../buckets/sizes.ts';
import { choice, integer, text, toggle } from '../../config/kinds/scalars.ts';
import { resolvePraefect } from '../../config/praefect/resolve.ts';
import type { Settings } from '../../config/sections/index.ts';
import { optional, type Section, setting, type ValuesOf } from '../../config/setting.ts';
import { systemClock } from '../../lib/clock.ts';
import { silentLog } from '../../lib/log.ts';
import { createBudget } from '../../scheduler/budget.ts';
import { createEventLog } from '../../scheduler/event-log.ts';
import { configFiles } from '../../sources/gitaly/configured.ts';
import { createDatabase } from '../../sources/praefect/connection/create-database.ts';
import { createVariantSource } from '../../sources/praefect/query.ts';
import { type CommandIo, defineCommand, type ExitCode } from '../command.ts';
import { printProblems } from '../setting-problems.ts';
import { lookUpInDatabase } from './bucket/from-database.ts';
import { lookUpPaths } from './bucket/from-paths.ts';
import { BucketError, type BucketOptions, type BucketRequest, targetOf } from './bucket/lookup.ts';

const bucketOptions = {
  title: 'Bucket',
  settings: {
    of: optional(text('<path or number>'), {
      unset: 'none',
      help: 'Relative path of a repository, to print its bucket, or number of a bucket, to print its repositories; can follow the command as a word. Without either: prints the bucket of each path on standard input.',
    }),
    storage: optional(text('<name>'), {
      unset: 'all known storages',
      help: 'Name of the Gitaly storage: `default` on a single GitLab server. A repository is in different buckets on different storages.',
    }),
    count: optional(integer({ min: 1 }), {
      unset: "from Gitaly's configuration (gitaly.config-file)",
      help: 'Number of buckets: [cgroups.repositories] count.',
    }),
    maxCgroupsPerRepo: optional(integer({ min: 1 }), {
      unset: "from Gitaly's configuration, else 1",
      help: 'Number of buckets among which the processes of one repository are spread: [cgroups.repositories] max_cgroups_per_repo.',
    }),
    limit: setting(integer({ min: 1, max: 100_000 }), {
      default: 100,
      help: 'Maximum number of repositories listed per storage, most writes first; all are counted.',
    }),
    database: setting(toggle(), {
      default: true,
      help: "Use Praefect's database, where one is configured. Without it, paths are used as given, and lists come from standard input.",
    }),
    null: setting(toggle(), {
      default: false,
      help: 'Separate paths with NUL on input and output (find -print0). Short: -0.',
    }),
    output: setting(choice(['text', 'json']), {
      default: 'text',
      help: 'Output format; docs/buckets.md describes the JSON.',
    }),
  },
} as const satisfies Section;

export const bucket = defineCommand({
  name: 'bucket',
  summary: 'Print the repositories that share a bucket, or the bucket of a repository',
  description:
    'Gitaly runs the Git processes of a repository in one of its cgroup buckets, repos-0, repos-1 and so on. "bucket 17 --storage gitaly-1" lists the repositories that share repos-17; "bucket @hashed/ab/cd/abcd.git" prints the bucket of one repository. Paths come from Praefect\'s database, or from standard input. Exit code 1 when there is no such repository.',
  argument: 'of',
  short: { 0: 'null' },
  options: bucketOptions,
  settings: ['Praefect', "Gitaly's and Praefect's own metrics"],
  readsSources: true,
  run,
});

/** @returns 0 found, 1 no such repository or none in that bucket, 2 the reason is on standard error */
async function run(
  settings: Settings,
  io: CommandIo,
  chosen: ValuesOf<(typeof bucketOptions)['settings']>,
): Promise<ExitCode> {
  const sources = await resolvePraefect(settings, io.origins, io.system);
  if (!sources.ok) {
    printProblems(sources.problems, io.stderr);
    return 2;
  }
  const { database: connection, configuredStorages } = sources.value;
  try {
    const request: BucketRequest = {
      io,
      options: chosen satisfies BucketOptions,
      target: targetOf(chosen.of),
      known: await readGitalys(
        [
          configFiles({
            files: settings.gitaly.configFile ?? [],
            hostName: hostname(),
            readText: (file) => io.system.files.readText(file),
          }),
        ],
        io.signal,
      ),
    };
    if (connection === undefined || !chosen.database || request.target.kind === 'paths')
      return await lookUpPaths(request);
    const database = createDatabase({
      connection,
      clock: systemClock,
      // A person waits for this one query, so it is not delayed by a budget.
      budget: createBudget(1, systemClock),
      log: silentLog,
      applicationName: 'gitaly-exporter bucket',
    });
    try {
      return await lookUpInDatabase(request, {
        context: { database, variants: createVariantSource(database, createEventLog(systemClock)) },
        limits: { signal: io.signal, statementTimeoutMs: settings.praefect.database.statementTimeout },
        configuredStorages: configuredStorages?.flatMap(({ storages }) => storages),
      });
    } finally {
      await database.close();
    }
  } catch (error) {
    if (!(error instanceof BucketError)) throw error;
    io.stderr.write(`gitaly-exporter: ${error.message}\n`);
    return 2;
  }
}
