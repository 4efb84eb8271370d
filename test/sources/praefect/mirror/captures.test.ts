/** The captured databases of real Praefects: the mirror has the values that Praefect itself exposed at that moment. */
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type pg from 'pg';
import { startPostgres, type TestPostgres } from '../../../support/postgres.ts';
import {
  capturesWithPage,
  incidentFolders,
  loadCapture,
  type PraefectCapture,
  praefectCapture,
  reloadCapture,
} from '../../../support/praefect-fixtures.ts';
import { createMirrorCollector, healthIn, valuesOf } from './support.ts';

/** Every capture with a metrics page of a Praefect. */
const captures = [
  ...capturesWithPage('13.5', ['praefect-1.prom']),
  ...capturesWithPage('14.9', ['praefect-1.db.prom']),
  ...incidentFolders('19').flatMap((folder) =>
    capturesWithPage(folder, ['praefect-1.db.prom', 'praefect-2.db.prom', 'praefect-3.db.prom']),
  ),
];

/** The values of a gauge by virtual storage, without zeros. */
function native(page: string, metric: string): Record<string, number> {
  const lines = readFileSync(page, 'utf8').matchAll(
    new RegExp(`^${metric}\\{virtual_storage="([^"]+)"\\} (\\S+)$`, 'gm'),
  );
  return Object.fromEntries(
    [...lines].map(([, name, value]) => [name, Number(value)]).filter(([, value]) => value !== 0),
  );
}

let server: TestPostgres;
beforeAll(async () => {
  server = await startPostgres();
}, 60_000);
afterAll(async () => server?.stop());

/** By version of the schema: each capture replaces the rows of the one before. */
const loaded = new Map<string, pg.Client>();

async function clientWith(capture: PraefectCapture): Promise<pg.Client> {
  const known = loaded.get(capture.version);
  if (known !== undefined) {
    await reloadCapture(known, capture);
    return known;
  }
  const client = await (await server.createDatabase()).client();
  await loadCapture(client, capture, 'now');
  loaded.set(capture.version, client);
  return client;
}

async function refresh(name: string) {
  const client = await clientWith(praefectCapture(name));
  const mirror = createMirrorCollector(client, { configured: 'from health' });
  mirror.setHealth(await healthIn(client));
  return mirror.run();
}

describe("unavailable and read-only repositories equal Praefect's own values", () => {
  test.each(captures)('$name', async ({ name, page }) => {
    const block = await refresh(name);
    const text = praefectCapture(name).page(page);
    if (name.startsWith('13.5')) {
      expect(valuesOf(block, 'repositories_read_only')).toEqual(
        native(text, 'gitaly_praefect_read_only_repositories'),
      );
      expect(valuesOf(block, 'repositories_unavailable')).toEqual({});
    } else {
      expect(valuesOf(block, 'repositories_unavailable')).toEqual(
        native(text, 'gitaly_praefect_unavailable_repositories'),
      );
      expect(valuesOf(block, 'repositories_read_only')).toEqual({});
    }
  });
});

/**
 * From the README of the captures: replicas that are behind, those of them without a live job, and primaries of
 * default.
 */
const documented = [
  {
    name: '13.5/02-replicating',
    outdated: { 'gitaly-2': 6, 'gitaly-3': 6 },
    unscheduled: {},
    primaries: { 'gitaly-1': 8 },
  },
  {
    name: '13.5/03-exhausted',
    outdated: { 'gitaly-3': 6 },
    unscheduled: { 'gitaly-3': 6 },
    primaries: { 'gitaly-1': 8 },
  },
  {
    name: '13.5/05-failed-over',
    outdated: { 'gitaly-1': 2, 'gitaly-2': 2, 'gitaly-3': 8 },
    unscheduled: { 'gitaly-2': 2, 'gitaly-3': 6 },
    primaries: { 'gitaly-2': 8 },
  },
  {
    name: '13.5/11-target-sick-failed',
    outdated: { 'gitaly-3': 2 },
    unscheduled: {},
    primaries: { 'gitaly-2': 8 },
  },
  {
    name: '14.9/02-replicating',
    outdated: { 'gitaly-2': 5, 'gitaly-3': 4 },
    unscheduled: { 'gitaly-3': 2 },
    primaries: { 'gitaly-1': 4, 'gitaly-2': 3, 'gitaly-3': 2 },
  },
  {
    name: '14.9/06-failed-over',
    outdated: { 'gitaly-1': 2, 'gitaly-2': 2, 'gitaly-3': 5 },
    unscheduled: { 'gitaly-2': 2, 'gitaly-3': 5 },
    primaries: { 'gitaly-1': 2, 'gitaly-2': 5, 'gitaly-3': 2 },
  },
] as const;

describe("lags, jobs and primaries equal those in the captures' README", () => {
  test.each(documented)('$name', async ({ name, outdated, unscheduled, primaries }) => {
    const block = await refresh(name);
    const ofDefault = (metric: string, suffix = ''): Record<string, number> =>
      Object.fromEntries(
        Object.entries(valuesOf(block, metric))
          .filter(([key]) => key.startsWith('default/') && key.endsWith(suffix))
          .map(([key, value]) => [key.slice('default/'.length, key.length - suffix.length), value]),
      );
    expect(ofDefault('replicas', ' outdated')).toEqual(outdated);
    expect(ofDefault('replicas_outdated_unscheduled')).toEqual(unscheduled);
    expect(ofDefault('primaries')).toEqual(primaries);
  });
});
