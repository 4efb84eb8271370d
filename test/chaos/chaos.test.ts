/** `npm test` runs the scenarios that take under a second or so; `npm run chaos` runs all of them. */
import { expect, jest, test } from '@jest/globals';
import { cgroupScenarios, settingsScenarios } from './cgroup-scenarios.ts';
import { violations } from './harness.ts';
import { httpScenarios } from './http-scenarios.ts';
import { postgresScenarios } from './postgres-scenarios.ts';

jest.setTimeout(90_000);

const scenarios = [...httpScenarios, ...postgresScenarios, ...cgroupScenarios, ...settingsScenarios];
const runsAll = process.env['CHAOS'] === 'all';
const chosen = scenarios.filter(({ isSlow }) => runsAll || isSlow !== true);

test('there are at least 150 scenarios, each with a name of its own', () => {
  expect(scenarios.length).toBeGreaterThanOrEqual(150);
  expect(new Set(scenarios.map(({ name }) => name)).size).toBe(scenarios.length);
});

test.each(chosen.map((scenario) => [scenario.name, scenario] as const))('%s', async (_name, scenario) => {
  expect(await violations(scenario)).toEqual([]);
});
