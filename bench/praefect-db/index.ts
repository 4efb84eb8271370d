/**
 * The cost of a refresh for the database, compared with Praefect's own query for unavailable repositories.
 *
 *   node bench/praefect-db/index.ts [--repositories 1000000] [--serve-seconds 300]
 *
 * Seeds an embedded PostgreSQL, then measures in one run: that query, the first load, refreshes with 0, 100 and 10,000
 * changed rows, all other queries, and (with --serve-seconds) the built program at its default settings.
 */
import { fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { praefectSchema, startPostgres } from '../../test/support/postgres.ts';
import type { RunCommand, RunReport } from './collectors-process.ts';
import { heartbeat, nativeQuery, reportWrites, seed, write } from './seed.ts';

const { values } = parseArgs({
  options: {
    repositories: { type: 'string', default: '1000000' },
    'serve-seconds': { type: 'string', default: '0' },
  },
});
const repositories = Number(values.repositories);
const serveSeconds = Number(values['serve-seconds']);

/** The bundle (`npm run bundle` first) at its default settings, measured through its own /metrics. */
async function measureProgram(name: string): Promise<void> {
  const { user, password } = server.superuser;
  const program = fileURLToPath(new URL('../../bundle/bin/gitaly-exporter.js', import.meta.url));
  const port = 19_656;
  const url = `postgres://${user}:${password}@${server.host}:${server.port}/${name}?sslmode=disable`;
  const serving = spawn(
    process.execPath,
    [
      '--max-semi-space-size=4',
      program,
      'serve',
      `--praefect.database.url=${url}`,
      `--web.listen-address=127.0.0.1:${port}`,
    ],
    { stdio: 'ignore' },
  );
  const writer = await server.client(name);
  const heartbeats = setInterval(() => void writer.query(heartbeat), 1000);
  const scrape = async (): Promise<string> => (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
  const start = performance.now();
  while (!(await fetch(`http://127.0.0.1:${port}/-/ready`).catch(() => undefined))?.ok) await sleep(100);
  await scrape(); // each scrape resets the event loop's maximum: from here on it excludes the load
  await sleep(Math.max(1000, serveSeconds * 1000 - (performance.now() - start)));
  clearInterval(heartbeats);
  const text = await scrape();
  const value = (series: string): number =>
    Number(
      text
        .split('\n')
        .find((each) => each.startsWith(`${series} `))
        ?.split(' ')[1],
    );
  const spent = value('gitaly_exporter_database_time_seconds_total');
  const interval = value('gitaly_exporter_collector_interval_seconds{collector="praefect_repositories"}');
  console.log(`
default settings, first ${serveSeconds} s:
   database time, including the first load  ${spent.toFixed(2)} s, ${((spent / serveSeconds) * 100).toFixed(2)} %
   interval between refreshes              ${interval.toFixed(0)} s
   resident memory                         ${mib(value('process_resident_memory_bytes'))}
   longest event loop block after the load  ${ms(value('nodejs_eventloop_lag_max_seconds') * 1000)}`);
  serving.kill();
}

const median = (numbers: readonly number[]): number =>
  numbers.toSorted((a, b) => a - b)[numbers.length >> 1] ?? Number.NaN;
const ms = (value: number): string => `${value.toFixed(value < 100 ? 1 : 0)} ms`;
const mib = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(0)} MiB`;

// Sized like a small database server: the tables of a million repositories fit, sorts have the default memory.
const server = await startPostgres({ config: ['shared_buffers=1GB', 'autovacuum=off'] });
try {
  const database = await server.createDatabase(praefectSchema('19.0'));
  const client = await database.client();
  console.log(`seeding ${repositories.toLocaleString('en')} repositories x 3 replicas ...`);
  await seed(client, repositories);

  const native: number[] = [];
  for (let round = 0; round < 4; round++) {
    await client.query(heartbeat);
    const start = performance.now();
    await client.query(nativeQuery);
    if (round > 0) native.push(performance.now() - start); // the first one warms the cache
  }
  const nativeMs = median(native);
  console.log(`\nPraefect's own query for unavailable repositories (parallel): ${ms(nativeMs)}\n`);

  const startCollectors = (maxTimeRatio: number) =>
    fork(
      fileURLToPath(new URL('./collectors-process.ts', import.meta.url)),
      [
        String(server.port),
        database.name,
        server.superuser.user,
        server.superuser.password,
        String(maxTimeRatio),
      ],
      { execArgv: ['--max-semi-space-size=4'] },
    );
  const run = async (child: ReturnType<typeof startCollectors>, command: RunCommand): Promise<RunReport> => {
    child.send(command);
    const [report] = (await once(child, 'message')) as [RunReport];
    for (const failure of report.failures) console.log(`   FAILED ${failure}`);
    return report;
  };
  const line = (what: string, databaseMs: number, report: RunReport): void =>
    console.log(
      [
        what.padEnd(44),
        ms(databaseMs).padStart(10),
        `${(databaseMs / nativeMs).toFixed(3)} x`.padStart(10),
        mib(report.residentBytes).padStart(10),
        ms(report.longestBlockMs).padStart(10),
        ms(report.longestCpuMs).padStart(10),
      ].join(''),
    );

  console.log(
    ['', 'database', 'of native', 'resident', 'block', 'its CPU']
      .map((text, at) => (at === 0 ? text.padEnd(44) : text.padStart(10)))
      .join(''),
  );
  const child = startCollectors(1);
  await client.query(heartbeat);
  const idle = await run(child, { run: [] });
  line('at the start', 0, idle);
  await run(child, { run: ['praefect_database', 'praefect_health'] });
  const load = await run(child, { run: ['praefect_repositories'] });
  line('first load', load.databaseMs, load);
  for (const changed of [0, 100, 10_000]) {
    const reports: RunReport[] = [];
    for (let round = 0; round < 3; round++) {
      if (changed > 0) await write(client, changed, repositories);
      await client.query(heartbeat);
      reports.push(await run(child, { run: ['praefect_repositories'] }));
    }
    const middle = reports.toSorted((a, b) => a.databaseMs - b.databaseMs)[1] as RunReport;
    line(`refresh, ${changed.toLocaleString('en')} repositories written`, middle.databaseMs, middle);
  }
  await client.query('DELETE FROM repositories WHERE repository_id % 10007 = 0');
  await reportWrites(client);
  const deleted = await run(child, { run: ['praefect_repositories'] });
  line(`refresh, ${Math.floor(repositories / 10_007)} repositories deleted`, deleted.databaseMs, deleted);
  await client.query(heartbeat);
  await write(client, 1, repositories);
  const all = await run(child, { run: 'all' });
  line('all queries together', all.databaseMs, all);
  for (const [name, duration] of Object.entries(all.durations))
    console.log(`   ${name.padEnd(41)}${ms(duration).padStart(10)}`);
  child.kill();

  if (serveSeconds > 0) await measureProgram(database.name);
} finally {
  await server.stop();
}
process.exit(0);
