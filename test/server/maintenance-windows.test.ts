import { expect, test } from '@jest/globals';
import { assess } from '../../src/server/assessment.ts';
import { renderPage } from '../../src/server/page/page.ts';
import { statusJson } from '../../src/server/status-json.ts';
import type { StatusView } from '../../src/server/status-view.ts';
import { healthy, now } from './support/status-fixtures.ts';

const page = (status: StatusView): string =>
  renderPage({ status, assessment: assess(status, now), telemetryPath: '/metrics', now }).replace(
    /<[^>]*>/g,
    '',
  );

test('planned work that is under way is told with its end, on the page and in the JSON', () => {
  const status = {
    ...healthy,
    maintenanceWindows: [{ name: 'weekly', endsAt: now + 60_000 }, { name: 'rollout:gitlab/gl-gitaly' }],
  };
  expect(page(status)).toMatch(
    /Planned work is under way: weekly, until \d\d:\d\d:\d\d UTC\. Alerts that it holds are held\./,
  );
  expect(page(status)).toContain('Planned work is under way: rollout:gitlab/gl-gitaly. Alerts');
  expect(statusJson(status, assess(status, now), now)).toMatchObject({
    maintenanceWindows: [
      { name: 'weekly', endsAt: new Date(now + 60_000).toISOString() },
      { name: 'rollout:gitlab/gl-gitaly' },
    ],
  });
  expect(page({ ...healthy, maintenanceWindows: [] })).not.toContain('Planned work');
});
