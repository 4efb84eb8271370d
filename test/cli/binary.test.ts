/** The real executable, started as an operator would start it. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { compileCache } from '../support/tools.ts';

const executable = fileURLToPath(new URL('../../bin/gitaly-exporter.ts', import.meta.url));
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'gitaly-exporter-'));
});

afterAll(() => rm(folder, { recursive: true }));

function start(args: readonly string[], env: Record<string, string> = {}): ChildProcess {
  return spawn(process.execPath, [executable, ...args], {
    env: { HOME: folder, ...compileCache, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

async function run(
  args: readonly string[],
  env: Record<string, string> = {},
): Promise<{ code: number | null; out: string; err: string }> {
  const child = start(args, env);
  let out = '';
  let err = '';
  child.stdout?.on('data', (text) => {
    out += text;
  });
  child.stderr?.on('data', (text) => {
    err += text;
  });
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, out, err };
}

test('config check reads files from disk, with a password file', async () => {
  const config = join(folder, 'config.yml');
  await writeFile(join(folder, 'password'), 'SENTINEL\n');
  await writeFile(
    config,
    'praefect:\n  database:\n    url: postgres://reader@db/praefect\n    password-file: password\n',
  );
  const { code, out, err } = await run(['config', 'check'], { GITALY_EXPORTER_CONFIG_FILE: config });
  expect({ code, err }).toEqual({ code: 0, err: '' });
  expect(out).toContain(`  # file: ${config}  # GITALY_EXPORTER_CONFIG_FILE\n`);
  expect(out).toContain(`    password-file: ${folder}/password  # ${config}:4\n`);
  expect(out).toContain(
    `# database praefect at db:5432 as reader, sslmode prefer, address from praefect.database.url, password from the file ${folder}/password\n`,
  );
  expect(out).not.toContain('SENTINEL');
});

test('config check reads the web configuration file too', async () => {
  const web = join(folder, 'web.yml');
  await writeFile(web, 'basic_auth_user:\n  someone: SENTINEL\n');
  const { code, out, err } = await run([
    'config',
    'check',
    `--web.config.file=${web}`,
    '--praefect.config-file=/gone',
  ]);
  expect({ code, out }).toEqual({ code: 2, out: '' });
  expect(err).toContain('2 problems with the configuration\n');
  expect(err).toContain('  --web.config.file: ');
  expect(err).toContain('basic_auth_user');
  expect(err).not.toContain('SENTINEL');
});

test('invalid settings are reported on standard error only, with exit code 2', async () => {
  const { code, out, err } = await run(['--log.level=loud', `--config.file=${folder}/gone.yml`]);
  expect({ code, out }).toEqual({ code: 2, out: '' });
  expect(err).toBe(
    `gitaly-exporter: 2 problems with the configuration\n  --config.file: the configuration file ${folder}/gone.yml does not exist\n  --log.level: found "loud", expected one of debug, info, warn, error\n`,
  );
});

test('--version and --help exit quickly', async () => {
  expect(await run(['--version'])).toMatchObject({ code: 0, err: '' });
  expect(await run(['--help'])).toMatchObject({
    code: 0,
    err: '',
    out: expect.stringContaining('Usage: gitaly-exporter'),
  });
});

describe('a signal', () => {
  test.each(['SIGTERM', 'SIGINT'] as const)('%s shuts it down cleanly', async (signal) => {
    const child = start(['serve', '--web.listen-address=127.0.0.1:0', '--log.format=json']);
    await once(child.stderr!, 'data');
    child.kill(signal);
    expect(await once(child, 'exit')).toEqual([0, null]);
  });
});
