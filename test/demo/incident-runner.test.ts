/** Incidents start and end at run time, several at the same time unless they need the same resource. */
import { describe, expect, test } from '@jest/globals';
import type { SimulatedCluster } from '../../demo/cluster.ts';
import type { Incident, Scene } from '../../demo/incidents/incident.ts';
import { createIncidentRunner } from '../../demo/incidents/runner.ts';
import { systemClock } from '../../src/lib/clock.ts';

const text = { title: 'T', description: 'D', alerts: [], ends: 'E', watch: [] } as const;

function incident(name: string, needs: readonly string[], run: Incident['run']): Incident {
  return { ...text, name, needs, run };
}

const lasting = (undone: string[], name: string) => async (scene: Scene) => {
  scene.report('in progress');
  await scene.untilEnded();
  undone.push(name);
};

function createRunner(incidents: readonly Incident[]) {
  const lines: string[] = [];
  const runner = createIncidentRunner({
    incidents,
    cluster: { clock: systemClock } as SimulatedCluster,
    sql: { query: async () => [] },
    database: undefined as never,
    gitalys: undefined as never,
    node: undefined as never,
    kubernetes: undefined as never,
    log: (line) => lines.push(line),
  });
  const view = (name: string) => runner.list().find((one) => one.name === name)!;
  return { runner, lines, view };
}

describe('an incident', () => {
  test('is idle, running with its newest progress line, and idle again after it has ended and reverted its changes', async () => {
    const undone: string[] = [];
    const { runner, view, lines } = createRunner([incident('one', ['a'], lasting(undone, 'one'))]);
    expect(view('one')).toEqual({ ...text, name: 'one', state: 'idle' });

    expect(await runner.start('one')).toEqual({ ok: true, message: 'one started' });
    expect(view('one')).toMatchObject({ state: 'running', progress: 'in progress' });
    expect(view('one').runningSince).toBeLessThanOrEqual(Date.now());

    expect(await runner.stop('one')).toEqual({ ok: true, message: 'one ended' });
    expect(undone).toEqual(['one']);
    expect(view('one')).toMatchObject({ state: 'idle', progress: 'ended' });
    expect(view('one').runningSince).toBeUndefined();
    expect(lines).toEqual(['one: started', 'one: in progress', 'one: ended']);
  });

  test('ends by itself when its function returns', async () => {
    const { runner, view } = createRunner([incident('short', [], async () => undefined)]);
    await runner.start('short');
    await runner.stop('short');
    expect(view('short')).toMatchObject({ state: 'idle', progress: 'ended' });
  });

  test('that is started and ended twice runs once', async () => {
    const undone: string[] = [];
    const { runner } = createRunner([incident('one', [], lasting(undone, 'one'))]);
    await runner.start('one');
    expect(await runner.start('one')).toEqual({ ok: true, message: 'one is already running' });
    await Promise.all([runner.stop('one'), runner.stop('one')]);
    expect(await runner.stop('one')).toEqual({ ok: true, message: 'one is not running' });
    expect(undone).toEqual(['one']);
  });

  test('that fails shows the error and releases its resources', async () => {
    const undone: string[] = [];
    const { runner, view } = createRunner([
      incident('bad', ['a'], () => Promise.reject(new Error('no such table'))),
      incident('good', ['a'], lasting(undone, 'good')),
    ]);
    await runner.start('bad');
    await runner.stop('bad');
    expect(view('bad')).toMatchObject({ state: 'idle', progress: 'failed: Error: no such table' });
    expect((await runner.start('good')).ok).toBe(true);
    await runner.stopAll();
  });
});

describe('several incidents', () => {
  test('run at the same time when they need different resources', async () => {
    const undone: string[] = [];
    const { runner, view } = createRunner([
      incident('one', ['gitaly-1'], lasting(undone, 'one')),
      incident('two', ['gitaly-2'], lasting(undone, 'two')),
    ]);
    await runner.start('one');
    await runner.start('two');
    expect([view('one').state, view('two').state]).toEqual(['running', 'running']);
    await runner.stopAll();
    expect(undone.sort()).toEqual(['one', 'two']);
  });

  test('do not run at the same time when they need the same resource, which the view shows before the start', async () => {
    const { runner, view } = createRunner([
      incident('one', ['gitaly-1', 'gitaly-2'], lasting([], 'one')),
      incident('two', ['gitaly-2'], lasting([], 'two')),
    ]);
    await runner.start('one');
    expect(view('two').blockedBy).toBe('one');
    expect(await runner.start('two')).toEqual({
      ok: false,
      message: 'two cannot start while one runs: end one first',
    });
    await runner.stop('one');
    expect(view('two').blockedBy).toBeUndefined();
  });

  test('with an unknown name are rejected', async () => {
    const { runner } = createRunner([incident('one', [], lasting([], 'one'))]);
    const unknownIncident = { ok: false, message: 'unknown incident "zwei", expected one of one' };
    expect(await runner.start('zwei')).toEqual(unknownIncident);
    expect(await runner.stop('zwei')).toEqual(unknownIncident);
  });
});
