/** Incidents are started and ended at run time, several at once where they do not need the same thing. */
import { describe, expect, test } from '@jest/globals';
import type { Cluster } from '../../demo/cluster.ts';
import { createDirector } from '../../demo/incidents/director.ts';
import type { Incident, Scene } from '../../demo/incidents/incident.ts';
import { systemClock } from '../../src/lib/clock.ts';

const text = { title: 'T', description: 'D', alerts: [], ends: 'E', watch: [] } as const;

function incident(name: string, needs: readonly string[], run: Incident['run']): Incident {
  return { ...text, name, needs, run };
}

const lasting = (undone: string[], name: string) => async (scene: Scene) => {
  scene.say('it goes on');
  await scene.untilEnded();
  undone.push(name);
};

function stage(incidents: readonly Incident[]) {
  const lines: string[] = [];
  const director = createDirector({
    incidents,
    cluster: { clock: systemClock } as Cluster,
    sql: { query: async () => [] },
    database: undefined as never,
    say: (line) => lines.push(line),
  });
  const view = (name: string) => director.list().find((one) => one.name === name)!;
  return { director, lines, view };
}

describe('an incident', () => {
  test('is idle, runs with what it said last, and is idle again when it was ended and has undone its work', async () => {
    const undone: string[] = [];
    const { director, view, lines } = stage([incident('one', ['a'], lasting(undone, 'one'))]);
    expect(view('one')).toEqual({ ...text, name: 'one', state: 'idle' });

    expect(await director.start('one')).toEqual({ ok: true, message: 'one begins' });
    expect(view('one')).toMatchObject({ state: 'running', progress: 'it goes on' });
    expect(view('one').runningSince).toBeLessThanOrEqual(Date.now());

    expect(await director.stop('one')).toEqual({ ok: true, message: 'one is over' });
    expect(undone).toEqual(['one']);
    expect(view('one')).toMatchObject({ state: 'idle', progress: 'is over' });
    expect(view('one').runningSince).toBeUndefined();
    expect(lines).toEqual(['one: begins', 'one: it goes on', 'one: is over']);
  });

  test('ends by itself when its course is over', async () => {
    const { director, view } = stage([incident('short', [], async () => undefined)]);
    await director.start('short');
    await director.stop('short');
    expect(view('short')).toMatchObject({ state: 'idle', progress: 'is over' });
  });

  test('can be started and ended twice without harm', async () => {
    const undone: string[] = [];
    const { director } = stage([incident('one', [], lasting(undone, 'one'))]);
    await director.start('one');
    expect(await director.start('one')).toEqual({ ok: true, message: 'one is going on already' });
    await Promise.all([director.stop('one'), director.stop('one')]);
    expect(await director.stop('one')).toEqual({ ok: true, message: 'one is not going on' });
    expect(undone).toEqual(['one']);
  });

  test('that fails says so and frees what it needed', async () => {
    const undone: string[] = [];
    const { director, view } = stage([
      incident('bad', ['a'], () => Promise.reject(new Error('no such table'))),
      incident('good', ['a'], lasting(undone, 'good')),
    ]);
    await director.start('bad');
    await director.stop('bad');
    expect(view('bad')).toMatchObject({ state: 'idle', progress: 'ended with an error: no such table' });
    expect((await director.start('good')).ok).toBe(true);
    await director.stopAll();
  });
});

describe('several incidents', () => {
  test('run at once when they need different things', async () => {
    const undone: string[] = [];
    const { director, view } = stage([
      incident('one', ['gitaly-1'], lasting(undone, 'one')),
      incident('two', ['gitaly-2'], lasting(undone, 'two')),
    ]);
    await director.start('one');
    await director.start('two');
    expect([view('one').state, view('two').state]).toEqual(['running', 'running']);
    await director.stopAll();
    expect(undone.sort()).toEqual(['one', 'two']);
  });

  test('do not when they need the same; the page can tell beforehand', async () => {
    const { director, view } = stage([
      incident('one', ['gitaly-1', 'gitaly-2'], lasting([], 'one')),
      incident('two', ['gitaly-2'], lasting([], 'two')),
    ]);
    await director.start('one');
    expect(view('two').blockedBy).toBe('one');
    expect(await director.start('two')).toEqual({
      ok: false,
      message: "two can't run beside one: end that one first",
    });
    await director.stop('one');
    expect(view('two').blockedBy).toBeUndefined();
  });

  test('are unknown by names that are not theirs', async () => {
    const { director } = stage([incident('one', [], lasting([], 'one'))]);
    const refusal = { ok: false, message: 'no incident zwei; there are one' };
    expect(await director.start('zwei')).toEqual(refusal);
    expect(await director.stop('zwei')).toEqual(refusal);
  });
});
