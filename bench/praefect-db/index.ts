/**
 * What a look costs the database, against the question that Praefect itself asks for unavailable repositories.
 *
 *   node bench/praefect-db/index.ts [--repositories 1000000] [--serve-seconds 300]
 *
 * Seeds an embedded PostgreSQL, then measures in one run: that question, the first load, looks with 0, 100 and
 * 10,000 changed rows, all other questions, and (with --serve-seconds) the program itself at its default settings.
 */
import { fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { praefectSchema, startPostgres } from '../../test/support/postgres.ts';
import type { Command, Report } from './exporter.ts';
import { heartbeat, nativeQuestion, seed, write } from './seed.ts';

const { values } = parseArgs({
  options: {
    repositories: { type: 'string', default: '1000000' },
    'serve-seconds': { type: 'string', default: '0' },
  },
});
const repositories = Number(values.repositories);
const serveSeconds = Number(values['serve-seconds']);

/** The program as it is installed (`npm run build` first), at its default settings, watched through its own /metrics. */
async function serveForReal(name: string): Promise<void> {
  const { user, password } = server.superuser;
  const program = fileURLToPath(new URL('../../dist/bin/gitaly-exporter.js', import.meta.url));
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
  const beat = await server.client(name);
  const beats = setInterval(() => void beat.query(heartbeat), 1000);
  const scrape = async (): Promise<string> => (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
  const began = performance.now();
  while (!(await fetch(`http://127.0.0.1:${port}/-/ready`).catch(() => undefined))?.ok) await sleep(100);
  await scrape(); // each scrape begins the measure of the event loop anew: from here on, after the load
  await sleep(Math.max(1000, serveSeconds * 1000 - (performance.now() - began)));
  clearInterval(beats);
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
at the default settings, ${serveSeconds} s from the start on:
   database's time, first load included    ${spent.toFixed(2)} s, ${((spent / serveSeconds) * 100).toFixed(2)} %
   from one look to the next               ${interval.toFixed(0)} s
   resident memory                         ${mib(value('process_resident_memory_bytes'))}
   longest block since the load            ${ms(value('nodejs_eventloop_lag_max_seconds') * 1000)}`);
  serving.kill();
}

const median = (numbers: readonly number[]): number =>
  numbers.toSorted((a, b) => a - b)[numbers.length >> 1] ?? Number.NaN;
const ms = (value: number): string => `${value.toFixed(value < 100 ? 1 : 0)} ms`;
const mib = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(0)} MiB`;

// Sized as a small database server would be: the tables of a million repositories fit, sorts have the default.
const server = await startPostgres({ config: ['shared_buffers=1GB', 'autovacuum=off'] });
try {
  const database = await server.createDatabase(praefectSchema('19.0'));
  const client = await database.client();
  console.log(`seeding ${repositories.toLocaleString('en')} repositories x 3 replicas ...`);
  await seed(client, repositories);

  const native: number[] = [];
  for (let round = 0; round < 4; round++) {
    await client.query(heartbeat);
    const began = performance.now();
    await client.query(nativeQuestion);
    if (round > 0) native.push(performance.now() - began); // the first warms the cache
  }
  const rival = median(native);
  console.log(
    `\nPraefect's own question for unavailable repositories (parallel as it likes): ${ms(rival)}\n`,
  );

  const start = (share: number) =>
    fork(
      fileURLToPath(new URL('./exporter.ts', import.meta.url)),
      [String(server.port), database.name, server.superuser.user, server.superuser.password, String(share)],
      { execArgv: ['--max-semi-space-size=4'] },
    );
  const tell = async (child: ReturnType<typeof start>, command: Command): Promise<Report> => {
    child.send(command);
    const [report] = (await once(child, 'message')) as [Report];
    for (const failure of report.failures) console.log(`   FAILED ${failure}`);
    return report;
  };
  const line = (what: string, databaseMs: number, report: Report): void =>
    console.log(
      [
        what.padEnd(44),
        ms(databaseMs).padStart(10),
        `${(databaseMs / rival).toFixed(3)} x`.padStart(10),
        mib(report.residentBytes).padStart(10),
        ms(report.longestBlockMs).padStart(10),
      ].join(''),
    );

  console.log(
    ['', 'database', 'of theirs', 'resident', 'longest block']
      .map((text, at) => (at === 0 ? text.padEnd(44) : text.padStart(at === 4 ? 15 : 10)))
      .join(''),
  );
  const child = start(1);
  await client.query(heartbeat);
  const idle = await tell(child, { run: [] });
  line('before anything', 0, idle);
  await tell(child, { run: ['praefect_database', 'praefect_health'] });
  const load = await tell(child, { run: ['praefect_repositories'] });
  line('first load', load.databaseMs, load);
  for (const changed of [0, 100, 10_000]) {
    const reports: Report[] = [];
    for (let round = 0; round < 3; round++) {
      if (changed > 0) await write(client, changed, repositories);
      await client.query(heartbeat);
      reports.push(await tell(child, { run: ['praefect_repositories'] }));
    }
    const middle = reports.toSorted((a, b) => a.databaseMs - b.databaseMs)[1] as Report;
    line(`look, ${changed.toLocaleString('en')} repositories written`, middle.databaseMs, middle);
  }
  await client.query('DELETE FROM repositories WHERE repository_id % 10007 = 0');
  const vanished = await tell(child, { run: ['praefect_repositories'] });
  line('look, 99 repositories deleted', vanished.databaseMs, vanished);
  await client.query(heartbeat);
  const all = await tell(child, { run: 'all' });
  line('all questions together', all.databaseMs, all);
  for (const [name, took] of Object.entries(all.took))
    console.log(`   ${name.padEnd(41)}${ms(took).padStart(10)}`);
  child.kill();

  if (serveSeconds > 0) await serveForReal(database.name);
} finally {
  await server.stop();
}
process.exit(0);
