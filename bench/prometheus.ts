/** A real Prometheus with the synthetic cluster of world.ts, for benches. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

export interface BenchPrometheus {
  /** CPU time so far, in milliseconds; Linux counts it in hundredths of a second. */
  cpu(): Promise<number>;
  /** Reads its configuration and rules again. */
  reload(): void;
  stop(): Promise<void>;
}

/**
 * Makes blocks of the OpenMetrics file, removes it, and starts Prometheus on them. It responds some seconds later.
 * @param folder for its data and configuration
 */
export async function startPrometheusOn(
  world: string,
  { folder, address, configuration }: { folder: string; address: string; configuration: string },
): Promise<BenchPrometheus> {
  const data = join(folder, 'data');
  const blocks = spawnSync('promtool', ['tsdb', 'create-blocks-from', 'openmetrics', '-q', world, data]);
  if (blocks.status !== 0) throw new Error(String(blocks.stderr));
  await rm(world);
  await writeFile(join(folder, 'prometheus.yml'), configuration);
  const child = spawn(
    'prometheus',
    [
      `--config.file=${folder}/prometheus.yml`,
      `--storage.tsdb.path=${data}`,
      `--web.listen-address=${address}`,
      '--storage.tsdb.retention.time=30d',
    ],
    { stdio: 'ignore' },
  );
  return {
    async cpu() {
      const fields = (await readFile(`/proc/${child.pid}/stat`, 'utf8')).split(' ');
      return 10 * (Number(fields[13]) + Number(fields[14]));
    },
    reload() {
      child.kill('SIGHUP');
    },
    async stop() {
      const ended = child.exitCode === null && child.signalCode === null ? once(child, 'exit') : undefined;
      child.kill();
      await ended;
    },
  };
}
