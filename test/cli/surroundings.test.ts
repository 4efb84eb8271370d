/** The real program keeps running when its log cannot be written, and when signals arrive at any time. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { openSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, expect, jest, test } from '@jest/globals';
import { freePort } from '../../demo/address.ts';
import { until } from '../support/until.ts';

jest.setTimeout(60_000);

const bin = join(import.meta.dirname, '../../bin/gitaly-exporter.ts');
const children: ChildProcess[] = [];
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
});

async function serve(stderr: 'pipe' | number): Promise<{ child: ChildProcess; url: string }> {
  const port = await freePort();
  const args = [bin, 'serve', `--web.listen-address=127.0.0.1:${port}`, '--log.level=debug'];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'ignore', stderr] });
  children.push(child);
  return { child, url: `http://127.0.0.1:${port}` };
}

const isHealthy = async (url: string): Promise<boolean> =>
  (await fetch(`${url}/-/healthy`).catch(() => undefined))?.status === 200;

async function expectToRunAndStop({ child, url }: { child: ChildProcess; url: string }): Promise<void> {
  await until(() => isHealthy(url));
  expect(child.exitCode).toBeNull();
  const exit = once(child, 'exit');
  child.kill('SIGTERM');
  expect(await exit).toEqual([0, null]);
}

test('a log on a full disk loses log lines and does not end the process', async () => {
  const running = await serve(openSync('/dev/full', 'w'));
  await until(() => isHealthy(running.url));
  const metrics = await (await fetch(`${running.url}/metrics`)).text();
  expect(metrics).toMatch(/^gitaly_exporter_log_lines_lost_total [1-9]/m);
  await expectToRunAndStop(running);
});

test('a closed log pipe loses log lines and does not end the process', async () => {
  const running = await serve('pipe');
  await once(running.child.stderr!, 'data');
  running.child.stderr!.destroy();
  await until(() => isHealthy(running.url));
  for (let hangUps = 0; hangUps < 3; hangUps++) running.child.kill('SIGHUP');
  await expectToRunAndStop(running);
});

test('SIGHUP during the start does not end the process', async () => {
  const running = await serve('pipe');
  await once(running.child.stderr!, 'data');
  for (let healthy = false; !healthy; healthy = await isHealthy(running.url)) running.child.kill('SIGHUP');
  await expectToRunAndStop(running);
});
