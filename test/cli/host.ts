/** A process for the command line under test: records its output and sends it signals. */
import { EventEmitter } from 'node:events';
import type { HostProcess } from '../../src/cli/main.ts';
import { type MemoryFiles, memorySystem } from '../config/memory-system.ts';

export interface TestHost extends HostProcess {
  readonly signals: EventEmitter;
  readonly exits: number[];
  out(): string;
  err(): string;
}

export function testHost(files: MemoryFiles = {}, env: Record<string, string> = {}, columns = 80): TestHost {
  let out = '';
  let err = '';
  const exits: number[] = [];
  return {
    system: memorySystem(files, env),
    stdout: {
      columns,
      write: (text) => {
        out += text;
      },
    },
    stderr: {
      write: (text) => {
        err += text;
      },
    },
    signals: new EventEmitter(),
    exit: (code) => exits.push(code),
    exits,
    out: () => out,
    err: () => err,
  };
}
