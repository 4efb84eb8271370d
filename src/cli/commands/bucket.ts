/** `bucket`: which repositories share a bucket of Gitaly's cgroups, and which bucket a repository is in. */
import { hostname } from 'node:os';
import { readGitalys } from '../../buckets/sizes.ts';
import { integer, oneOf, text, toggle } from '../../config/kinds/scalars.ts';
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
import { type Asked, type BucketOptions, CannotAnswer, targetOf } from './bucket/asked.ts';
import { answerFromDatabase } from './bucket/from-database.ts';
import { answerFromPaths } from './bucket/from-paths.ts';

const bucketOptions = {
  title: 'Which bucket, and of which Gitaly',
  settings: {
    of: optional(text('<path or number>'), {
      unset: 'none',
      help: "A repository's relative path, to get its bucket, or a bucket's number, to get its repositories; may stand right behind the command. Without either, the bucket of each path from standard input is printed.",
    }),
    bucket: optional(integer({ min: 0 }), {
      unset: 'none',
      help: 'The same number by its own name: 17 of repos-17.',
    }),
    storage: optional(text('<name>'), {
      unset: 'all that are known',
      help: "The Gitaly's storage, as Gitaly itself calls it: `default` on a single GitLab server. The same repository is in different buckets on different storages.",
    }),
    count: optional(integer({ min: 1 }), {
      unset: "that of Gitaly's configuration, which gitaly.config-file names",
      help: 'How many buckets there are: [cgroups.repositories] count.',
    }),
    maxCgroupsPerRepo: optional(integer({ min: 1 }), {
      unset: "that of Gitaly's configuration, else 1",
      help: 'Among how many buckets one repository is spread by chance: [cgroups.repositories] max_cgroups_per_repo.',
    }),
    limit: setting(integer({ min: 1, max: 100_000 }), {
      default: 100,
      help: 'Repositories of each storage that are listed, the most written ones first; all are counted.',
    }),
    database: setting(toggle(), {
      default: true,
      help: "Ask Praefect's database, where one is configured. Without it, paths are taken as they are, and lists of them from standard input.",
    }),
    null: setting(toggle(), {
      default: false,
      help: 'Paths on standard input end with NUL (find -print0), and so do those that are printed. Short: -0.',
    }),
    output: setting(oneOf(['text', 'json']), {
      default: 'text',
      help: 'json is described in docs/buckets.md.',
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
    const asked: Asked = {
      io,
      options: chosen satisfies BucketOptions,
      target: targetOf(chosen),
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
    if (connection === undefined || !chosen.database || asked.target.kind === 'paths')
      return await answerFromPaths(asked);
    const database = createDatabase({
      connection,
      clock: systemClock,
      // Whoever asks by hand waits for the answer, and pays with that.
      budget: createBudget(1, systemClock),
      log: silentLog,
      applicationName: 'gitaly-exporter bucket',
    });
    try {
      return await answerFromDatabase(asked, {
        context: { database, variants: createVariantSource(database, createEventLog(systemClock)) },
        limits: { signal: io.signal, statementTimeoutMs: settings.praefect.database.statementTimeout },
        configuredStorages: configuredStorages?.flatMap(({ storages }) => storages),
      });
    } finally {
      await database.close();
    }
  } catch (error) {
    if (!(error instanceof CannotAnswer)) throw error;
    io.stderr.write(`gitaly-exporter: ${error.message}\n`);
    return 2;
  }
}
