/** A real Prometheus on a free port, for tests. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { freePort } from '../../demo/address.ts';
import { until } from './until.ts';

export interface TestPrometheus {
  /** The address of its HTTP API, without a trailing slash. */
  readonly url: string;
  /** The number of series of an expression at a time, in seconds since 1970. */
  count(expression: string, at: number): Promise<number>;
  stop(): Promise<void>;
}

/** @param folder of its configuration, rules and data. @param configuration of `prometheus.yml`: JSON is YAML */
export async function startPrometheus(folder: string, configuration: object): Promise<TestPrometheus> {
  await writeFile(join(folder, 'prometheus.yml'), JSON.stringify(configuration));
  const address = `127.0.0.1:${await freePort()}`;
  const prometheus = spawn(
    'prometheus',
    [
      '--config.file=prometheus.yml',
      '--storage.tsdb.path=data',
      // Recorded incidents get older than the default retention.
      '--storage.tsdb.retention.time=100y',
      `--web.listen-address=${address}`,
    ],
    { cwd: folder, stdio: 'ignore' },
  );
  const url = `http://${address}`;
  await until(async () => (await fetch(`${url}/-/ready`).catch(() => undefined))?.ok === true, 45_000);
  return {
    url,
    async count(expression, at) {
      const response = await fetch(`${url}/api/v1/query`, {
        method: 'POST',
        body: new URLSearchParams({ query: expression, time: String(at) }),
      });
      const body = (await response.json()) as {
        readonly status: string;
        readonly error?: string;
        readonly data?: { readonly result: readonly unknown[] };
      };
      if (body.status !== 'success') throw new Error(`${body.error}\n${expression}`);
      return body.data?.result.length ?? 0;
    },
    async stop() {
      const ended = once(prometheus, 'exit');
      prometheus.kill();
      await ended;
    },
  };
}

/** Creates the blocks of `data` from OpenMetrics text with timestamps. */
export async function createBlocks(folder: string, text: string): Promise<void> {
  await writeFile(join(folder, 'history.om'), text);
  const { status, stderr } = spawnSync(
    'promtool',
    [
      'tsdb',
      'create-blocks-from',
      'openmetrics',
      '--quiet',
      '--max-block-duration=768h',
      'history.om',
      'data',
    ],
    { cwd: folder, encoding: 'utf8' },
  );
  if (status !== 0) throw new Error(`promtool: ${stderr}`);
}

/** @returns the address of a server on a free port of the loopback */
export async function listening(of: Server): Promise<string> {
  of.listen(0, '127.0.0.1');
  await once(of, 'listening');
  return `127.0.0.1:${(of.address() as AddressInfo).port}`;
}
