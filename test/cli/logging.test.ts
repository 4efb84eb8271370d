import { describe, expect, test } from '@jest/globals';
import { createLog, type LogSettings, logfmt } from '../../src/cli/logging.ts';
import type { Log } from '../../src/lib/log.ts';
import { Secret } from '../../src/lib/secret.ts';

/** What is written for some log calls, with the time replaced. */
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

describe('forms', () => {
  const say = (log: Log) => log.warn({ collector: 'praefect_health', ageMs: 1500 }, 'no answer "yet"');

  test('logfmt, the default without a terminal', async () => {
    expect(await written({}, say)).toBe(
      'time=TIME level=warn msg="no answer \\"yet\\"" collector=praefect_health ageMs=1500\n',
    );
  });

  test('json', async () => {
    expect(await written({ format: 'json' }, say)).toBe(
      '{"level":"warn","time":"TIME","collector":"praefect_health","ageMs":1500,"msg":"no answer \\"yet\\""}\n',
    );
  });

  test('pretty, the default on a terminal', async () => {
    const text = await written({}, say, true);
    expect(text).toContain('no answer "yet"');
    expect(text).toContain('collector');
    expect(text).not.toContain('level=');
  });

  test('what is less severe than the level is not written', async () => {
    const all = (log: Log) => {
      log.debug({}, 'd');
      log.info({}, 'i');
      log.error({}, 'e');
    };
    expect(await written({ level: 'error' }, all)).toBe('time=TIME level=error msg=e\n');
    expect((await written({ level: 'debug' }, all)).split('\n').length).toBe(4);
  });
});

describe('errors', () => {
  test('come with what caused them', async () => {
    const error = new Error('cannot look', { cause: new Error('connection lost') });
    const line = JSON.parse(await written({ format: 'json' }, (log) => log.error({ err: error }, 'failed')));
    expect(line).toMatchObject({
      msg: 'failed',
      err: { type: 'Error', message: 'cannot look', cause: { message: 'connection lost' } },
    });
  });

  test('stay on one line of logfmt', async () => {
    const text = await written({}, (log) => log.error({ err: new Error('two\nlines') }, 'failed'));
    expect(text.match(/\n/g)?.length).toBe(1);
    expect(text).toContain('err.message="two\\nlines"');
  });
});

describe('secrets', () => {
  test.each(['json', 'logfmt', 'pretty'] as const)('are not in %s', async (format) => {
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
])('logfmt of %j', (fields, line) => {
  expect(logfmt(fields)).toBe(line);
});
