import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTestEnvironment } from './test/support/environment.js';

const cacheDirectory = join(tmpdir(), 'gitaly-exporter-jest'); // not in the folder of temporary files, which each run removes
setTestEnvironment();

/** @type {import('jest').Config} */
export default {
  testEnvironment: 'node',
  extensionsToTreatAsEsm: ['.ts'],
  transform: { '\\.ts$': './test/support/strip-types.js' },
  testMatch: ['<rootDir>/test/**/*.test.ts'],
  coverageProvider: 'v8',
  testTimeout: 30_000,
  cacheDirectory,
  globalTeardown: './test/support/environment.js',
  testSequencer: './test/support/sequencer.js',
  // Many tests wait for processes and timers: with one worker per core, a quarter of the processor time is idle.
  maxWorkers: Math.ceil(availableParallelism() * 1.5), // jest reads a percentage over 100 as a number of workers
};
