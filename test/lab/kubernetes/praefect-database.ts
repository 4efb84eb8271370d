/**
 * Praefect's database of the demo, with its simulated Praefects, for an exporter in the lab. Prints HOST:PORT, and writes
 * the password of gitaly_exporter to a file.
 *
 *   node praefect-database.ts PASSWORD_FILE
 */
import { writeFile } from 'node:fs/promises';
import { startDemo } from '../../../demo/demo.ts';

const [passwordFile = 'password'] = process.argv.slice(2);
const ending = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => ending.abort());

const demo = await startDemo({
  settings: { repositories: 500, writesPerSecond: 8, seed: 1 },
  log: (line) => process.stderr.write(`${line}\n`),
  signal: ending.signal,
  async startExporter({ connection: { host, port, password } }) {
    await writeFile(passwordFile, (await password())?.reveal() ?? '', { mode: 0o600 });
    console.log(`${host}:${port}`);
    return { url: 'http://127.0.0.1:0/', stop: async () => undefined };
  },
});
await demo.stopped;
