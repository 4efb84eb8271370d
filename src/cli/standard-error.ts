/**
 * Standard error for the log. A full disk, or a reader that has closed the pipe, costs log lines and never the process:
 * process.stderr would emit an error and be destroyed, so the descriptor is written directly.
 */
import { writeSync } from 'node:fs';
import { isatty } from 'node:tty';
import { codeOf } from '../lib/errors.ts';
import type { Output } from './command.ts';

export interface StandardError extends Output {
  /** Writes that failed since the start: lines of the log that are lost. */
  lostLines(): number;
}

/** A pipe in non-blocking mode that is full is tried again for this long in all. */
const retryMs = 5;
const maxRetries = 20;

export function createStandardError(descriptor = 2): StandardError {
  let lost = 0;
  return {
    isTTY: isatty(descriptor),
    write(text) {
      try {
        writeWhole(descriptor, Buffer.from(text));
      } catch {
        lost += 1;
      }
    },
    lostLines: () => lost,
  };
}

function writeWhole(descriptor: number, bytes: Buffer): void {
  let written = 0;
  for (let retries = 0; written < bytes.length; ) {
    try {
      written += writeSync(descriptor, bytes, written);
    } catch (error) {
      if (codeOf(error) !== 'EAGAIN' || retries >= maxRetries) throw error;
      retries += 1;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, retryMs);
    }
  }
}
