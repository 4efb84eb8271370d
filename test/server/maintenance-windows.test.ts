import { expect, test } from '@jest/globals';
import { statusJson } from '../../src/server/api.ts';
import { assessStatus } from '../../src/server/assessment.ts';
import { renderPage } from '../../src/server/page/page.ts';
import type { StatusView } from '../../src/server/status-view.ts';
import { healthy, now } from './support/status-fixtures.ts';

const page = (status: StatusView): string =>
  renderPage({ status, assessment: assessStatus(status, now), telemetryPath: '/metrics', now }).replace(
    /<[^>]*>/g,
    '',
  );

test('an open maintenance window is shown with its end, on the page and in the JSON', () => {
  const status = {
    ...healthy,
    maintenanceWindows: [{ name: 'weekly', endsAt: now + 60_000 }, { name: 'rollout:gitlab/gl-gitaly' }],
  };
  expect(page(status)).toMatch(
    /Maintenance window open: weekly, until \d\d:\d\d:\d\d UTC\. The alerts that it covers are suppressed\./,
  );
  expect(page(status)).toContain('Maintenance window open: rollout:gitlab/gl-gitaly. The alerts');
  expect(statusJson(status, assessStatus(status, now), now)).toMatchObject({
    maintenanceWindows: [
      { name: 'weekly', endsAt: new Date(now + 60_000).toISOString() },
      { name: 'rollout:gitlab/gl-gitaly' },
    ],
  });
  expect(page({ ...healthy, maintenanceWindows: [] })).not.toContain('Maintenance window');
});
