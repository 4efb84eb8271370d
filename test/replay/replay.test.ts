/**
 * A few recorded incidents, from the metrics to the notification, with real programs. `npm run replay` runs all
 * of them.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, jest, test } from '@jest/globals';
import { incidents } from '../../demo/incidents/catalog.ts';
import { alertmanagerProgram } from '../../replay/alertmanager.ts';
import { expectations } from '../../replay/expected.ts';
import { replay } from '../../replay/outcome.ts';
import { capturedIncidents } from '../../replay/record/captured-incidents.ts';
import { readRecording, recordingNames } from '../../replay/recording.ts';
import { hasTool, testWith } from '../support/tools.ts';

jest.setTimeout(120_000);

const tool = hasTool('promtool') ? alertmanagerProgram : 'promtool';

/** One recording that pages, and two that must not. */
for (const name of ['captured-database', 'captured-healthy', 'captured-rollout'])
  testWith(tool)(`${name} notifies as expected`, async () => {
    const outcome = await replay(readRecording(name));
    expect(outcome.faults).toEqual([]);
    expect(outcome.pages.length).toBe(outcome.expected.pages?.length ?? 0);
  });

describe('recordings', () => {
  const all = [
    ...incidents.map(({ name }) => name),
    ...capturedIncidents.map(({ name }) => name),
    'ordinary',
  ];

  test('exist for every incident of the demo and every captured one', () => {
    expect(recordingNames()).toEqual(all.sort());
  });

  test('each have an expectation', () => {
    expect(all.filter((name) => !expectations.has(name))).toEqual([]);
  });

  test('are all in the document', () => {
    const text = readFileSync(join(import.meta.dirname, '../../docs/replays.md'), 'utf8');
    expect(all.filter((name) => !text.includes(`| ${name} |`))).toEqual([]);
  });
});
