/** docs/doctor.md: every check of the exporter's own access has its section there, where its findings link to. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { accessChecks } from '../../src/doctor/finding.ts';

const page = readFileSync(join(import.meta.dirname, '../../docs/doctor.md'), 'utf8');

test('each check has a section of its name, and no section is of another', () => {
  const sections = [...page.matchAll(/^### (\w+)$/gm)].map(([, id]) => id);
  expect(sections.sort()).toEqual(
    Object.values(accessChecks)
      .map(({ id }) => id)
      .sort(),
  );
  for (const { id, runbook } of Object.values(accessChecks)) expect(runbook).toBe(`docs/doctor.md#${id}`);
});
