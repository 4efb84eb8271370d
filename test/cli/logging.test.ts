import { describe, expect, test } from '@jest/globals';
import { createLog, type LogSettings, logfmt } from '../../src/cli/logging.ts';
import type { Log } from '../../src/lib/log.ts';
import { Secret } from '../../src/lib/secret.ts';

/** The output of some log calls, with the time replaced. */
async function written(
  settings: Partial<LogSettings>,
  calls: (log: Log) => void,
  isTTY = false,
): Promise<string> {
  let text = '';
  const output = {
    isTTY,
    write: (more: string) => {
      text += more;
    },
  };
  calls(await createLog({ level: 'info', format: undefined, ...settings }, output));
  return text.replaceAll(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z/g, 'TIME');
}

describe('a log format', () => {
  const logOnce = (log: Log) => log.warn({ collector: 'praefect_health', ageMs: 1500 }, 'no response "yet"');

  test('logfmt is the default without a terminal', async () => {
    expect(await written({}, logOnce)).toBe(
      'time=TIME level=warn msg="no response \\"yet\\"" collector=praefect_health ageMs=1500\n',
    );
  });

  test('json is one object per line', async () => {
    expect(await written({ format: 'json' }, logOnce)).toBe(
      '{"level":"warn","time":"TIME","collector":"praefect_health","ageMs":1500,"msg":"no response \\"yet\\""}\n',
    );
  });

  test('pretty is the default on a terminal', async () => {
    const text = await written({}, logOnce, true);
    expect(text).toContain('no response "yet"');
    expect(text).toContain('collector');
    expect(text).not.toContain('level=');
  });

  test('omits entries below the level', async () => {
    const all = (log: Log) => {
      log.debug({}, 'd');
      log.info({}, 'i');
      log.error({}, 'e');
    };
    expect(await written({ level: 'error' }, all)).toBe('time=TIME level=error msg=e\n');
    expect((await written({ level: 'debug' }, all)).split('\n').length).toBe(4);
  });
});

describe('a logged error', () => {
  test('has its cause', async () => {
    const error = new Error('cannot read', { cause: new Error('connection lost') });
    const line = JSON.parse(await written({ format: 'json' }, (log) => log.error({ err: error }, 'failed')));
    expect(line).toMatchObject({
      msg: 'failed',
      err: { type: 'Error', message: 'cannot read', cause: { message: 'connection lost' } },
    });
  });

  test('stays on one line of logfmt', async () => {
    const text = await written({}, (log) => log.error({ err: new Error('two\nlines') }, 'failed'));
    expect(text.match(/\n/g)?.length).toBe(1);
    expect(text).toContain('err.message="two\\nlines"');
  });
});

describe('a secret', () => {
  test.each(['json', 'logfmt', 'pretty'] as const)('is not in %s', async (format) => {
    const fields = {
      url: new Secret('SENTINEL'),
      password: 'SENTINEL',
      headers: { authorization: 'SENTINEL' },
      connection: { database: { password: 'SENTINEL' } },
      list: [new Secret('SENTINEL')],
    };
    const text = await written({ format }, (log) => log.info(fields, 'hello'));
    expect(text).not.toContain('SENTINEL');
    expect(text).toContain('<secret>');
  });
});

test.each([
  [{ a: 1, b: true, c: null }, 'a=1 b=true c=null'],
  [{ a: '', b: 'x y', c: 'x=y', d: '"', e: 'a\\b', f: 'ü' }, 'a="" b="x y" c="x=y" d="\\"" e="a\\\\b" f=ü'],
  [{ a: { b: { c: 1 } }, 'a b': 2 }, 'a.b.c=1 a_b=2'],
  [{ list: [1, 'two'] }, 'list="[1,\\"two\\"]"'],
  [{ msg: 'm', level: 'info', time: 't' }, 'time=t level=info msg=m'],
])('%j is encoded as logfmt', (fields, line) => {
  expect(logfmt(fields)).toBe(line);
});
