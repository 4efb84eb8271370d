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

describe('a signal that ends the program', () => {
  test.each(['SIGINT', 'SIGTERM'])('the first %s requests a clean shutdown', (name) => {
    const { signal, exits, send } = start();
    expect(signal.aborted).toBe(false);
    send(0, name);
    expect(signal.aborted).toBe(true);
    expect(exits).toEqual([]);
  });

  test('a second one exits immediately', () => {
    const { exits, send } = start();
    send(0, 'SIGTERM');
    send(600, 'SIGINT');
    expect(exits).toEqual([130]);
  });

  test('the copy that npm forwards after Ctrl-C does not count as a second one', () => {
    const { exits, send } = start();
    send(0, 'SIGINT');
    send(20, 'SIGINT');
    expect(exits).toEqual([]);
    send(1000, 'SIGINT');
    expect(exits).toEqual([130]);
  });

  test('after release the default handling applies again', () => {
    const { source, release } = start();
    release();
    expect([source.listenerCount('SIGINT'), source.listenerCount('SIGTERM')]).toEqual([0, 0]);
  });
});

test.each(['uncaughtException', 'unhandledRejection'])('an %s is logged and exits with code 2', (event) => {
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
});

describe('SIGHUP', () => {
  test('before the first listener is passed on to that listener, once', () => {
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

  test('has its default effect again in a command that cannot reload', () => {
    const source = new EventEmitter();
    catchHangUps(source).release();
    expect(source.listenerCount('SIGHUP')).toBe(0);
  });
});
