/**
 * The scenarios of promtool in alerts/tests. Each file is evaluated with the shipped rules that its alerts need: the
 * alerts it names and the recording rules they read, as all of them together would cost six times the time.
 */
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, describe, expect } from '@jest/globals';
import { testWith } from '../support/tools.ts';
import { readScenarios, scenarioFiles, writeReduced } from './scenario-files.ts';

const scratch = mkdtempSync(join(tmpdir(), 'scenarios-'));
afterAll(() => rmSync(scratch, { recursive: true }));

describe('promtool scenarios', () => {
  for (const file of scenarioFiles) {
    testWith('promtool')(
      file,
      async () => {
        const { stdout } = await promisify(execFile)('promtool', [
          'test',
          'rules',
          writeReduced(scratch, file, readScenarios(file)),
        ]);
        expect(stdout).toContain('SUCCESS');
      },
      120_000,
    );
  }
});
