/**
 * From captured databases to exposition text, through the real program. UPDATE_GOLDEN=1 writes the files again:
 * review their diff before you commit it, as each line is a claim about a real cluster.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { loadCapture, praefectCapture, startPostgres, type TestPostgres } from '../support/postgres.ts';
import { testWith } from '../support/tools.ts';
import { startExporter, until } from './exporter-process.ts';

const captures = [
  '13.5/01-healthy',
  '13.5/05-failed-over',
  '13.5/06-demoted',
  '14.9/01-healthy',
  '14.9/06-failed-over',
  '19/healthy/during',
  '19/gitaly-down/down-later',
  '19/unavailable/unavailable',
  '19/replica-lost/found',
  '19/stuck-replica/queue-empty',
];

let server: TestPostgres;
beforeAll(async () => {
  server = await startPostgres({ version: 15 });
}, 60_000);
afterAll(async () => server?.stop());

/** Masks what differs from run to run, and keeps everything about the cluster. */
function masked(text: string): string {
  return `${text
    .split('\n')
    .filter((line) => /^(# (TYPE|HELP) )?praefect_db_/.test(line))
    .map((line) =>
      line
        .replace(
          /^(praefect_db_\S*(?:timestamp|duration|skew|longest)_?\S*_seconds(?:\{.*\})?) \S+$/,
          '$1 <varies>',
        )
        .replace(
          /^(praefect_db_(?:connections|table_size_bytes|table_dead_rows|table_live_rows|transactions_to_wraparound|blocked_backends)(?:\{.*\})?) \S+$/,
          '$1 <varies>',
        )
        .replace(/server_version="[^"]*"/, 'server_version="<varies>"'),
    )
    .join('\n')}\n`;
}

const texts = new Map<string, string>();

async function exposition(name: string): Promise<string> {
  const known = texts.get(name);
  if (known !== undefined) return known;
  const capture = praefectCapture(name);
  const database = await server.createDatabase();
  const client = await database.client();
  await loadCapture(client, capture, 'now');
  // Heartbeats do not advance in a dump: a storage that was healthy then is healthy only while the exporter starts.
  await client.query(
    "UPDATE node_status SET last_contact_attempt_at = last_contact_attempt_at + interval '4 s', last_seen_active_at = last_seen_active_at + interval '4 s'",
  );
  const { user, password } = server.superuser;
  const exporter = await startExporter([
    `--praefect.database.url=postgres://${user}:${password}@${server.host}:${server.port}/${database.name}?sslmode=disable`,
  ]);
  try {
    await until(
      async () => ((await exporter.get('/-/ready')).status === 200 ? true : undefined),
      'every first run',
    );
    const { text } = await exporter.get('/metrics');
    texts.set(name, text);
    return text;
  } finally {
    await exporter.stop();
  }
}

describe('the exposition of a captured database', () => {
  test.each(captures)('%s', async (name) => {
    const file = join(import.meta.dirname, 'golden', `${name.replaceAll('/', '_')}.prom`);
    const text = masked(await exposition(name));
    if (process.env['UPDATE_GOLDEN'] === '1' || (!existsSync(file) && !process.env['CI']))
      writeFileSync(file, text);
    expect(text).toBe(readFileSync(file, 'utf8'));
  });

  testWith('promtool')('promtool check metrics finds nothing in any of them', async () => {
    for (const name of captures) {
      const check = spawnSync('promtool', ['check', 'metrics'], {
        input: await exposition(name),
        encoding: 'utf8',
      });
      expect(`${name}: ${check.stdout}${check.stderr}`).toBe(`${name}: `);
    }
  });
});
