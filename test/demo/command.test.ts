/** The demo as people start it: one command, an address, incidents from another terminal, and a clean end. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
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

interface Program {
  readonly child: ChildProcess;
  /** Both streams, as on a terminal. */
  said(): string;
  saying(what: RegExp): Promise<RegExpExecArray>;
  ended(): Promise<number | null>;
}

function launch(args: readonly string[], through: readonly string[] = []): Program {
  const [file = '', ...rest] = [...through, process.execPath, bin, ...args];
  const env = { ...process.env, TMPDIR: scratch, HOME: scratch, npm_lifecycle_event: '' };
  const child = spawn(file, rest, { stdio: ['ignore', 'pipe', 'pipe'], env });
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
    said: () => text,
    ended: async () => (await exit)[0],
    async saying(what) {
      for (const deadline = performance.now() + 60_000; performance.now() < deadline; ) {
        const found = what.exec(text);
        if (found !== null) return found;
        if (child.exitCode !== null) break;
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
      throw new Error(`it never said ${what}:\n${text}`);
    },
  };
}

const demo = (...args: readonly string[]) => launch(['demo', '--repositories=100', ...args]);
const addressOf = async (program: Program): Promise<string> => (await program.saying(/Page +(\S+)\/\n/))[1]!;

async function incident(...args: readonly string[]): Promise<{ code: number | null; said: string }> {
  const program = launch(['demo', 'incident', ...args]);
  const code = await program.ended();
  return { code, said: program.said().trim() };
}

/** Of the demos of this file: their folders, and servers whose data lie there. */
function leftovers(): readonly string[] {
  const folders = readdirSync(scratch).filter((name) => name.startsWith('gitaly-exporter-demo-'));
  const servers = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        const line = readFileSync(`/proc/${pid}/cmdline`, 'utf8');
        return line.includes(scratch) && line.includes('postgres');
      } catch {
        return false; // it has ended
      }
    });
  return [...folders, ...servers];
}

describe('a demo', () => {
  test('says where it is, serves the metrics of its cluster, takes incidents, and ends at Ctrl-C without a trace', async () => {
    const program = demo('--web.listen-address=127.0.0.1:0');
    const url = await addressOf(program);
    expect(program.said()).toContain(`Metrics  ${url}/metrics\n`);
    expect(program.said()).toContain('gitaly-exporter demo incident storage-dies');

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

    expect(await incident('storage-dies', `--url=${url}`)).toEqual({ code: 0, said: 'storage-dies begins' });
    await program.saying(/storage-dies: gitaly-1 is killed/);
    expect(await incident('rollout', `--url=${url}`)).toEqual({
      code: 1,
      said: "rollout can't run beside storage-dies: end that one first",
    });
    expect((await incident('--list', `--url=${url}`)).said).toMatch(/^storage-dies: .* \(going on\)$/m);
    const page = await (await fetch(`${url}/`)).text();
    expect(page).toContain('action="demo/incidents/storage-dies/end"');
    expect(page).toContain('action="demo/incidents/database-stops"');
    expect(await incident('storage-dies', '--stop', `--url=${url}`)).toEqual({
      code: 0,
      said: 'storage-dies is over',
    });
    await incident('database-stops', `--url=${url}`);

    program.child.kill('SIGINT');
    expect(await program.ended()).toBe(0);
    expect(program.said()).toContain('the demo has ended');
    expect(leftovers()).toEqual([]);
  });

  const asNobody =
    process.getuid?.() === 0 ? ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups'] : [];
  testWith(asNobody[0] ?? 'sh')(
    'runs twice at once, and for a user without rights, on a free port',
    async () => {
      const first = demo();
      const firstUrl = await addressOf(first);
      const second = launch(['demo', '--repositories=100'], asNobody);
      const secondUrl = await addressOf(second);
      expect(second.said()).toMatch(/port 9656 is taken: this demo listens on a free one/);
      expect(secondUrl).not.toBe(firstUrl);
      expect((await fetch(`${firstUrl}/-/healthy`)).status).toBe(200);
      expect((await fetch(`${secondUrl}/-/healthy`)).status).toBe(200);

      // Told to listen where the first one does, a third one can't start.
      const third = demo(`--web.listen-address=${firstUrl.replace('http://', '')}`);
      expect(await third.ended()).toBe(2);
      expect(third.said()).toMatch(/web\.listen-address: cannot listen on .*another process/);

      for (const program of [first, second]) program.child.kill('SIGTERM');
      expect(await Promise.all([first.ended(), second.ended()])).toEqual([0, 0]);
      expect(leftovers()).toEqual([]);
    },
  );

  test('ended in the midst of its start leaves nothing', async () => {
    const program = demo('--web.listen-address=127.0.0.1:0');
    while (leftovers().length === 0) await new Promise((resolve) => setTimeout(resolve, 20));
    program.child.kill('SIGTERM');
    expect(await program.ended()).toBe(0);
    expect(leftovers()).toEqual([]);
  });
});

describe('the command for incidents', () => {
  test('explains all of them without a demo', async () => {
    const { code, said } = await incident('--list', '--url=http://127.0.0.1:1');
    expect(code).toBe(0);
    expect(said.match(/^[a-z-]+: [A-Z]/gm)).toHaveLength(20);
    expect(said).toMatch(/^ {4}praefect_db_storage_healthy: gitaly-1 turns 0/m);
  });

  test.each([
    [['storage-dis'], /there is no incident "storage-dis"; did you mean storage-dies\?$/],
    [['storage-dies', '--url=http://127.0.0.1:1'], /no demo answers at http:\/\/127\.0\.0\.1:1: start one/],
    [['storage-dies', '--url=nowhere'], /--url: found "nowhere", expected http:\/\/host:port$/],
  ])('%j is refused with what to do', async (args, message) => {
    const { code, said } = await incident(...args);
    expect(code).toBe(2);
    expect(said).toMatch(message);
  });
});
