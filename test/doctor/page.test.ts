/** docs/doctor.md has a section for every check of the exporter's own access, to which the findings link. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { accessChecks } from '../../src/doctor/finding.ts';

const page = readFileSync(join(import.meta.dirname, '../../docs/doctor.md'), 'utf8');

test('each access check has a section named after its id, and there are no other sections', () => {
  const sections = [...page.matchAll(/^### (\w+)$/gm)].map(([, id]) => id);
  expect(sections.sort()).toEqual(
    Object.values(accessChecks)
      .map(({ id }) => id)
      .sort(),
  );
  for (const { id, runbook } of Object.values(accessChecks)) expect(runbook).toBe(`docs/doctor.md#${id}`);
});
