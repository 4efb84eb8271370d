/** The demo as a user starts it: one command, an address, incidents from another terminal, and a clean end. */
import { type ChildProcess, type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { testWith } from '../support/tools.ts';

jest.setTimeout(90_000);

const bin = join(dirname(fileURLToPath(import.meta.url)), '../../bin/gitaly-exporter.ts');
let scratch: string;
const launched: ChildProcess[] = [];

beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'gitaly-exporter-test-'));
  await chmod(scratch, 0o777);
});
afterAll(async () => {
  for (const child of launched) child.kill('SIGKILL');
  await rm(scratch, { recursive: true, force: true });
});

interface RunningProgram {
  readonly child: ChildProcess;
  /** Both streams, as on a terminal. */
  output(): string;
  untilOutput(pattern: RegExp): Promise<RegExpExecArray>;
  ended(): Promise<number | null>;
}

function launch(args: readonly string[], through: readonly string[] = []): RunningProgram {
  const [file = '', ...rest] = [...through, process.execPath, bin, ...args];
  const env = { ...process.env, TMPDIR: scratch, HOME: scratch, npm_lifecycle_event: '' };
  return observe(spawn(file, rest, { stdio: ['ignore', 'pipe', 'pipe'], env }));
}

function observe(child: ChildProcessByStdio<null, Readable, Readable>): RunningProgram {
  launched.push(child);
  const exit = once(child, 'exit') as Promise<[number | null]>;
  let text = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (chunk) => {
      text += chunk;
    });
  }
  return {
    child,
    output: () => text,
    ended: async () => (await exit)[0],
    async untilOutput(pattern) {
      for (const deadline = performance.now() + 60_000; performance.now() < deadline; ) {
        const found = pattern.exec(text);
        if (found !== null) return found;
        if (child.exitCode !== null) break;
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
      throw new Error(`no output matches ${pattern}:\n${text}`);
    },
  };
}

const demo = (...args: readonly string[]) => launch(['demo', '--repositories=100', ...args]);
const addressOf = async (program: RunningProgram): Promise<string> =>
  (await program.untilOutput(/Page +(\S+)\/\n/))[1]!;

async function incident(...args: readonly string[]): Promise<{ code: number | null; output: string }> {
  const program = launch(['demo', 'incident', ...args]);
  const code = await program.ended();
  return { code, output: program.output().trim() };
}

/** The folders of this file's demos, and PostgreSQL processes with data there. */
function leftovers(): readonly string[] {
  const folders = readdirSync(scratch).filter((name) => name.startsWith('gitaly-exporter-demo-'));
  const servers = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        const line = readFileSync(`/proc/${pid}/cmdline`, 'utf8');
        return line.includes(scratch) && line.includes('postgres');
      } catch {
        return false; // the process has ended
      }
    });
  return [...folders, ...servers];
}

describe('a demo', () => {
  test('prints its addresses, serves its metrics, runs incidents, and leaves no process and no folder after Ctrl-C', async () => {
    const program = demo('--web.listen-address=127.0.0.1:0');
    const url = await addressOf(program);
    expect(program.output()).toContain(`Metrics    ${url}/metrics\n`);
    expect(program.output()).toContain(`gitaly-exporter demo incident storage-dies --url=${url}\n`);

    let metrics = '';
    for (const begun = performance.now(); performance.now() - begun < 20_000; ) {
      metrics = await (await fetch(`${url}/metrics`)).text();
      if (metrics.includes('praefect_db_repositories{')) break;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    expect(metrics).toMatch(
      /^praefect_db_storage_healthy\{virtual_storage="default",storage="gitaly-1"\} 1$/m,
    );
    expect(metrics).toMatch(/^praefect_db_repositories\{virtual_storage="default"\} (89|90|91)$/m);
    expect(metrics).toMatch(/^praefect_db_info\{.*schema_variant="19.0".*\} 1$/m);
    expect(
      metrics.match(/^gitaly_server_pod_ready\{namespace="gitlab",pod="gitaly-\d",node="worker-\d"\} 1$/gm),
    ).toHaveLength(3);
    expect(metrics.match(/^gitaly_exporter_kubernetes_watch_current\{.*\} 1$/gm)).toHaveLength(5);
    expect(
      metrics.match(
        /^gitaly_server_scrape_up\{namespace="gitlab",pod="gitaly-\d",node="worker-\d",component="gitaly"\} 1$/gm,
      ),
    ).toHaveLength(3);

    expect(await incident('storage-dies', `--url=${url}`)).toEqual({
      code: 0,
      output: 'storage-dies started',
    });
    await program.untilOutput(/storage-dies: gitaly-1 is killed/);
    expect(await incident('rollout', `--url=${url}`)).toEqual({
      code: 1,
      output: 'rollout cannot start while storage-dies runs: end storage-dies first',
    });
    expect((await incident('--list', `--url=${url}`)).output).toMatch(/^storage-dies: .* \(running\)$/m);
    const page = await (await fetch(`${url}/`)).text();
    expect(page).toContain('action="demo/incidents/storage-dies/end"');
    expect(page).toContain('action="demo/incidents/database-stops"');
    expect(await incident('storage-dies', '--stop', `--url=${url}`)).toEqual({
      code: 0,
      output: 'storage-dies ended',
    });
    await incident('database-stops', `--url=${url}`);

    program.child.kill('SIGINT');
    expect(await program.ended()).toBe(0);
    expect(program.output()).toContain('the demo has stopped');
    expect(leftovers()).toEqual([]);
  });

  const asNobody =
    process.getuid?.() === 0 ? ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups'] : [];
  testWith(asNobody[0] ?? 'sh')(
    'runs twice at the same time, also for a user without privileges, on a free port',
    async () => {
      const first = demo();
      const firstUrl = await addressOf(first);
      const second = launch(['demo', '--repositories=100'], asNobody);
      const secondUrl = await addressOf(second);
      expect(second.output()).toMatch(/port 9656 is in use, using a free port/);
      expect(secondUrl).not.toBe(firstUrl);
      expect((await fetch(`${firstUrl}/-/healthy`)).status).toBe(200);
      expect((await fetch(`${secondUrl}/-/healthy`)).status).toBe(200);

      // A third demo cannot start on the address of the first one.
      const third = demo(`--web.listen-address=${firstUrl.replace('http://', '')}`);
      expect(await third.ended()).toBe(2);
      expect(third.output()).toMatch(/web\.listen-address: cannot listen on .*another process/);

      for (const program of [first, second]) program.child.kill('SIGTERM');
      expect(await Promise.all([first.ended(), second.ended()])).toEqual([0, 0]);
      expect(leftovers()).toEqual([]);
    },
  );

  test('stops when npm, which started it, is killed without forwarding a signal', async () => {
    const shell = ['sh', '-c', 'npm_lifecycle_event=start "$@" & wait', 'npm'];
    const program = launch(['demo', '--repositories=100', '--web.listen-address=127.0.0.1:0'], shell);
    const url = await addressOf(program);
    expect(program.output()).toContain(`npm start -- incident storage-dies --url=${url}\n`);
    program.child.kill('SIGKILL');
    await program.untilOutput(/the demo has stopped/);
    expect(leftovers()).toEqual([]);
  });

  // The terminal's Ctrl-C under `su -c` reaches su alone, which ends the shell above npm.
  (process.platform === 'linux' ? test : test.skip)(
    'on a terminal it stops when the shell above npm has ended, and npm has not',
    async () => {
      const script = `'${process.execPath}' '${bin}' demo --repositories=100 --web.listen-address=127.0.0.1:0; true`;
      const npm = 'npm_lifecycle_event=start sh -c "$SCRIPT"; true';
      const above = `echo "above $$"; sh -c '${npm}'; true`;
      // As su does: a session of its own, without a controlling terminal.
      const terminal = 'setsid -w sh -c "$ABOVE"; read -r _';
      const env = { ...process.env, TMPDIR: scratch, HOME: scratch, ABOVE: above, SCRIPT: script };
      const program = observe(
        spawn('script', ['-qefc', terminal, '/dev/null'], { env, stdio: ['ignore', 'pipe', 'pipe'] }),
      );
      const [, pid] = await program.untilOutput(/above (\d+)/);
      await program.untilOutput(/Page +\S+/);
      process.kill(Number(pid), 'SIGKILL');
      for (const deadline = performance.now() + 20_000; performance.now() < deadline; ) {
        if (leftovers().length === 0) break;
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
      expect(leftovers()).toEqual([]);
    },
  );

  test('stops when npm start gets SIGTERM', async () => {
    const args = ['start', '--', '--repositories=100', '--web.listen-address=127.0.0.1:0'];
    const env = { ...process.env, TMPDIR: scratch, HOME: scratch };
    const program = observe(
      spawn('npm', args, { cwd: dirname(dirname(bin)), env, stdio: ['ignore', 'pipe', 'pipe'] }),
    );
    await addressOf(program);
    program.child.kill('SIGTERM');
    await program.untilOutput(/the demo has stopped/);
    expect(leftovers()).toEqual([]);
  });

  test('leaves no process and no folder when it is stopped during its start', async () => {
    const program = demo('--web.listen-address=127.0.0.1:0');
    while (leftovers().length === 0) await new Promise((resolve) => setTimeout(resolve, 20));
    program.child.kill('SIGTERM');
    expect(await program.ended()).toBe(0);
    expect(leftovers()).toEqual([]);
  });
});

describe('demo incident', () => {
  test('lists all incidents without a running demo', async () => {
    const { code, output } = await incident('--list', '--url=http://127.0.0.1:1');
    expect(code).toBe(0);
    expect(output.match(/^[a-z-]+: [A-Z]/gm)).toHaveLength(27);
    expect(output).toMatch(/^ {4}praefect_db_storage_healthy: 0 for gitaly-1 /m);
  });

  test.each([
    [['storage-dis'], /unknown incident "storage-dis", did you mean storage-dies\?$/],
    [['storage-dies', '--url=http://127.0.0.1:1'], /no demo responds at http:\/\/127\.0\.0\.1:1: start one/],
    [['storage-dies', '--url=nowhere'], /--url: found "nowhere", expected http:\/\/host:port$/],
  ])('%j is rejected with a hint', async (args, message) => {
    const { code, output } = await incident(...args);
    expect(code).toBe(2);
    expect(output).toMatch(message);
  });
});
