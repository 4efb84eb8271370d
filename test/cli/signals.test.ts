import { EventEmitter } from 'node:events';
import { describe, expect, test } from '@jest/globals';
import { catchHangUps, exitOnCrash, stopOnSignals } from '../../src/cli/signals.ts';
import { silentLog } from '../../src/lib/log.ts';

function start() {
  const source = new EventEmitter();
  const exits: number[] = [];
  let now = 0;
  const stop = stopOnSignals({ source, log: silentLog, exit: (code) => exits.push(code), now: () => now });
  return {
    source,
    exits,
    ...stop,
    send(ms: number, name: string) {
      now += ms;
      source.emit(name);
    },
  };
}

describe('signals', () => {
  test.each(['SIGINT', 'SIGTERM'])('the first %s asks for a clean stop', (name) => {
    const { signal, exits, send } = start();
    expect(signal.aborted).toBe(false);
    send(0, name);
    expect(signal.aborted).toBe(true);
    expect(exits).toEqual([]);
  });

  test('a second one does not wait', () => {
    const { exits, send } = start();
    send(0, 'SIGTERM');
    send(600, 'SIGINT');
    expect(exits).toEqual([130]);
  });

  test('the copy that npm passes on with a Ctrl-C is no second one', () => {
    const { exits, send } = start();
    send(0, 'SIGINT');
    send(20, 'SIGINT');
    expect(exits).toEqual([]);
    send(1000, 'SIGINT');
    expect(exits).toEqual([130]);
  });

  test("released, they are the system's again", () => {
    const { source, release } = start();
    release();
    expect([source.listenerCount('SIGINT'), source.listenerCount('SIGTERM')]).toEqual([0, 0]);
  });
});

test.each(['uncaughtException', 'unhandledRejection'])(
  'an %s is logged and ends the process with 2',
  (event) => {
    const source = new EventEmitter();
    const exits: number[] = [];
    const logged: object[] = [];
    const log = { ...silentLog, error: (fields: object) => logged.push(fields) };
    const release = exitOnCrash(source, log, (code) => exits.push(code));
    const error = new Error('a bug');
    source.emit(event, error);
    expect([exits, logged]).toEqual([[2], [{ err: error }]]);
    release();
    expect(source.listenerCount(event)).toBe(0);
  },
);

describe('hang-ups', () => {
  test('one that came before the first listener is passed on to it, once', () => {
    const source = new EventEmitter();
    const hangUps = catchHangUps(source);
    source.emit('SIGHUP');
    source.emit('SIGHUP');
    let calls = 0;
    const unsubscribe = hangUps.subscribe(() => calls++);
    expect(calls).toBe(1);
    source.emit('SIGHUP');
    expect(calls).toBe(2);
    unsubscribe();
    source.emit('SIGHUP');
    expect(calls).toBe(2);
  });

  test('a command that cannot reload gives the signal back', () => {
    const source = new EventEmitter();
    catchHangUps(source).release();
    expect(source.listenerCount('SIGHUP')).toBe(0);
  });
});
