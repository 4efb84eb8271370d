import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  configMapOf,
  disruptionBudgetOf,
  eventOf,
  nodeOf,
  statefulSetOf,
} from '../../../../src/sources/kubernetes/objects/kinds.ts';
import { podOf } from '../../../../src/sources/kubernetes/objects/pod.ts';
import { archive } from '../../../support/kubernetes-archive.ts';

type Raw = {
  metadata: Record<string, unknown>;
  spec: Record<string, unknown>;
  status: Record<string, unknown>;
};

const good = archive('posture-good');
const pod = (): Raw => structuredClone(good.items('at-rest/pods.json')[0]) as Raw;

/** The pod with one change. */
function changed(change: (raw: Raw) => void) {
  const raw = pod();
  change(raw);
  return podOf(raw);
}

describe('an object is rejected with a reason when', () => {
  test.each<[string, (raw: Raw) => void, string]>([
    ['it has no name', ({ metadata }) => delete metadata['name'], 'metadata.name is missing'],
    ['its uid is a number', ({ metadata }) => (metadata['uid'] = 7), 'metadata.uid is 7'],
    [
      'its name is too long',
      ({ metadata }) => (metadata['name'] = 'x'.repeat(300)),
      `metadata.name is "${'x'.repeat(40)}..."`,
    ],
    [
      'its creationTimestamp is not a time',
      ({ metadata }) => (metadata['creationTimestamp'] = 'yesterday'),
      'metadata.creationTimestamp is not a time',
    ],
    [
      'its deletionTimestamp is not a time, so that a deleted pod never reads as one that stays',
      ({ metadata }) => (metadata['deletionTimestamp'] = 'soon'),
      'metadata.deletionTimestamp is not a time',
    ],
    [
      'a condition has an invalid status',
      ({ status }) => (status['conditions'] = [{ type: 'Ready', status: 'Maybe' }]),
      'condition Ready is neither True, False nor Unknown',
    ],
    [
      'restartCount is not a number',
      ({ status }) => (status['containerStatuses'] = [{ name: 'gitaly', restartCount: 'many' }]),
      'restartCount of container gitaly is "many"',
    ],
    [
      'restartCount is more than an int32',
      ({ status }) => (status['containerStatuses'] = [{ name: 'gitaly', restartCount: 1e15 }]),
      'restartCount of container gitaly is 1000000000000000',
    ],
    [
      'a condition occurs twice, once True and once False',
      ({ status }) =>
        (status['conditions'] = [
          { type: 'Ready', status: 'False' },
          { type: 'Ready', status: 'True' },
        ]),
      'condition Ready occurs twice',
    ],
    [
      'a termination has no exit code',
      ({ status }) =>
        (status['containerStatuses'] = [
          { name: 'gitaly', lastState: { terminated: { reason: 'OOMKilled' } } },
        ]),
      'the exit code of a container is not a number',
    ],
  ])('%s', (_name, change, why) => {
    expect(changed(change)).toEqual({ ok: false, why });
  });

  test('it is a StatefulSet without a template, which would otherwise expect no Gitaly', () => {
    const raw = structuredClone(good.items('at-rest/statefulsets.json')[0]) as Raw;
    delete raw.spec['template'];
    expect(statefulSetOf(raw)).toEqual({ ok: false, why: 'spec.template is missing' });
  });

  test.each([undefined, null, 1, 'Pod', [], {}])('it is %j', (raw: unknown) => {
    for (const parse of [podOf, nodeOf, eventOf, statefulSetOf, disruptionBudgetOf, configMapOf])
      expect(parse(raw)).toEqual({ ok: false, why: expect.any(String) });
  });

  test('it has another kind', () => {
    expect(podOf({ kind: 'Status', code: 410 })).toEqual({
      ok: false,
      why: 'expected kind Pod, found "Status"',
    });
  });
});

test('optional fields of a wrong type are absent', () => {
  const outcome = changed(({ metadata, spec, status }) => {
    metadata['labels'] = ['app'];
    metadata['annotations'] = { 'prometheus.io/port': 9236, 'prometheus.io/path': '/metrics' };
    spec['priority'] = 'high';
    spec['affinity'] = 'none';
    spec['securityContext'] = { runAsUser: '1000', fsGroupChangePolicy: true };
    spec['containers'] = [{ name: 'gitaly', resources: { limits: { memory: 'much', cpu: '2' } }, ports: 1 }];
    status['startTime'] = 12;
    status['podIP'] = null;
  });
  expect(outcome).toMatchObject({
    ok: true,
    object: {
      labels: {},
      annotations: { 'prometheus.io/path': '/metrics' },
      priority: undefined,
      antiAffinity: { required: [], preferred: [] },
      runAsUser: undefined,
      fsGroupChangePolicy: '',
      startTime: undefined,
      ip: '',
      containers: [{ name: 'gitaly', resources: { cpuLimit: 2 }, ports: {} }],
    },
  });
});

describe('the size of an object is bounded', () => {
  test('labels: at most 64, well-known ones first; a long label is dropped, not cut', () => {
    const outcome = changed(({ metadata }) => {
      const odd = Array.from({ length: 500 }, (_, i) => [`a${i}.example/b`, 'c']);
      metadata['labels'] = {
        ...Object.fromEntries(odd),
        app: 'gitaly',
        release: 'gl',
        long: 'x'.repeat(300),
      };
    });
    if (!outcome.ok) throw new Error(outcome.why);
    expect(outcome.object.labels).toMatchObject({ app: 'gitaly', release: 'gl' });
    expect(outcome.object.labels).not.toHaveProperty('long');
    expect(Object.keys(outcome.object.labels)).toHaveLength(64);
  });

  test('messages are cut to 500 bytes', () => {
    const [line = ''] = archive('drain').watch('events');
    const { object: raw } = JSON.parse(line) as { object: object };
    const outcome = eventOf({ ...raw, message: 'é'.repeat(1_000_000) });
    expect(outcome).toMatchObject({ ok: true, object: { message: `${'é'.repeat(248)}...` } });
  });

  test('no text of an object has control characters', () => {
    const odd = 'a\u001b[2J\u202eb\nc';
    const outcome = changed(({ metadata, spec, status }) => {
      metadata['annotations'] = { 'gitaly-exporter/maintenance-until': odd };
      metadata['labels'] = { app: odd };
      spec['nodeName'] = odd;
      status['reason'] = odd;
      status['conditions'] = [{ type: 'Ready', status: 'False', reason: odd }];
    });
    if (!outcome.ok) throw new Error(outcome.why);
    expect(JSON.stringify(outcome.object)).not.toMatch(/\\u00|\\n|\u202e/);
  });

  test('a configuration of more than 1 MiB is absent', () => {
    const [raw] = good.items('at-rest/configmaps.json') as { data: object }[];
    const big = { ...raw, data: { 'config.toml': 'x'.repeat(1024 * 1024 + 1), 'config.toml.tpl': 'ok' } };
    expect(configMapOf(big)).toMatchObject({ ok: true, object: { data: { 'config.toml.tpl': 'ok' } } });
  });
});

describe('anti-affinity counts when its term matches the pod itself', () => {
  const term = (extra: object, labels: object = { app: 'gitaly' }) => ({
    requiredDuringSchedulingIgnoredDuringExecution: [
      { topologyKey: 'kubernetes.io/hostname', labelSelector: { matchLabels: labels }, ...extra },
    ],
  });
  test.each<[string, object, string[]]>([
    ['a selector of its own labels', term({}), ['kubernetes.io/hostname']],
    ['a selector of other labels', term({}, { app: 'redis' }), []],
    ['a list with its own namespace', term({ namespaces: ['gitlab'] }), ['kubernetes.io/hostname']],
    ['a list of other namespaces', term({ namespaces: ['other'] }), []],
    ['all namespaces', term({ namespaceSelector: {} }), ['kubernetes.io/hostname']],
    [
      'namespaces by their labels, which are unknown here',
      term({ namespaceSelector: { matchLabels: { a: 'b' } } }),
      [],
    ],
  ])('%s', (_name, podAntiAffinity, required) => {
    expect(changed(({ spec }) => (spec['affinity'] = { podAntiAffinity }))).toMatchObject({
      ok: true,
      object: { antiAffinity: { required } },
    });
  });
});

describe('recorded objects with random values in random places', () => {
  const arbitrary = fc.oneof(
    fc.constantFrom<unknown>(null, undefined, '', 0, -1, Number.NaN, 1e300, true, [], {}, '__proto__', '9Zi'),
    fc.anything({ maxDepth: 2 }),
    fc.string({ size: 'large' }),
  );
  const kinds = [
    ['pods', podOf],
    ['statefulsets', statefulSetOf],
    ['poddisruptionbudgets', disruptionBudgetOf],
    ['nodes', nodeOf],
    ['events', eventOf],
    ['configmaps', configMapOf],
  ] as const;

  test.each(kinds)('%s: parsing never throws, and the result is bounded', (resource, parse) => {
    const items = good.items(`at-rest/${resource}.json`).map((raw) => {
      const { metadata, ...rest } = raw as Raw;
      const { managedFields: _dropped, ...kept } = metadata;
      return { ...rest, metadata: kept };
    });
    fc.assert(
      fc.property(
        fc.nat(items.length - 1),
        fc.array(fc.tuple(fc.nat(), arbitrary), { minLength: 1, maxLength: 4 }),
        (which, changes) => {
          const raw: unknown = structuredClone(items[which]);
          for (const [seed, value] of changes) replace(raw, seed, value);
          const outcome = parse(raw);
          if (!outcome.ok) expect(outcome.why.length).toBeLessThan(500);
          else expect(JSON.stringify(outcome.object).length).toBeLessThan(100_000);
        },
      ),
      { numRuns: 300 },
    );
  });
});

/** Replaces one of all the nested values. */
function replace(raw: unknown, seed: number, value: unknown): void {
  const places: [Record<string, unknown>, string][] = [];
  const walk = (at: unknown): void => {
    if (typeof at !== 'object' || at === null) return;
    for (const key of Object.keys(at)) {
      places.push([at as Record<string, unknown>, key]);
      walk((at as Record<string, unknown>)[key]);
    }
  };
  walk(raw);
  const place = places[seed % Math.max(1, places.length)];
  if (place !== undefined) place[0][place[1]] = value;
}

test('a StatefulSet without replicas has one, as in the API', () => {
  const raw = structuredClone(good.items('at-rest/statefulsets.json')[0]) as Raw;
  delete raw.spec['replicas'];
  expect(statefulSetOf(raw)).toMatchObject({ ok: true, object: { replicas: 1 } });
});

test('a budget whose status is of an earlier generation allows no disruption, as the Eviction API rejects it', () => {
  const raw = structuredClone(good.items('at-rest/poddisruptionbudgets.json')[0]) as Raw;
  const allowed = (generation: number) => {
    raw.metadata['generation'] = generation;
    raw.status = { ...raw.status, observedGeneration: 3, disruptionsAllowed: 1 };
    const budget = disruptionBudgetOf(raw);
    return budget.ok ? budget.object.disruptionsAllowed : budget.why;
  };
  expect([allowed(3), allowed(4)]).toEqual([1, 0]);
});
