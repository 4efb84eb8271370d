import { describe, expect, test } from '@jest/globals';
import { parseGitalyConfig } from '../../../../src/config/gitaly/gitaly-config.ts';
import type { Failure } from '../../../../src/scheduler/outcome.ts';
import {
  type ConfigMaps,
  configsOfPods,
  createConfigMaps,
  type ReadConfigMap,
  readConfigTexts,
} from '../../../../src/sources/kubernetes/directory/config-maps.ts';
import { chartComponentOf } from '../../../../src/sources/kubernetes/gitaly-objects.ts';
import { configMapOf } from '../../../../src/sources/kubernetes/objects/kinds.ts';
import type { ConfigMap, Pod } from '../../../../src/sources/kubernetes/objects/types.ts';
import type { Store } from '../../../../src/sources/kubernetes/store.ts';
import { archive } from '../../../support/kubernetes-archive.ts';
import { createManualClock } from '../../../support/manual-clock.ts';
import { recordedPods, testStore } from './support.ts';

const pods = recordedPods('posture-good', 'at-rest');
const recorded = archive('posture-good')
  .items('at-rest/configmaps.json')
  .map((raw) => {
    const map = configMapOf(raw);
    if (!map.ok) throw new Error(map.why);
    return map.object;
  });
const { signal } = new AbortController();

function server(maps: readonly ConfigMap[] = recorded) {
  const requests: string[] = [];
  const state: { failure: Failure | undefined; maps: readonly ConfigMap[] } = { failure: undefined, maps };
  const read: ReadConfigMap = async (namespace, name) => {
    requests.push(`${namespace}/${name}`);
    if (state.failure !== undefined) return { ok: false, failure: state.failure };
    const object = state.maps.find((each) => each.namespace === namespace && each.name === name);
    return { ok: true, object };
  };
  const clock = createManualClock();
  return { requests, state, clock, maps: createConfigMaps(read, clock) };
}

const readTexts = (of: Store<Pod>, maps: ConfigMaps) => readConfigTexts(of, chartComponentOf, maps, signal);

test('the three pods of a StatefulSet share one configuration, which the parser accepts', async () => {
  const { maps, requests } = server();
  const { texts, failures } = await readTexts(testStore(pods), maps);
  expect(failures).toEqual([]);
  expect(texts.map(({ name }) => name)).toEqual(['ConfigMap gitlab/gl-gitaly-praefect, config.toml.tpl']);
  expect(texts[0]?.identities.map(({ namespace, pod }) => `${namespace}/${pod}`)).toEqual([
    'gitlab/gl-gitaly-default-0',
    'gitlab/gl-gitaly-default-1',
    'gitlab/gl-gitaly-default-2',
  ]);
  expect(parseGitalyConfig(texts[0]?.text ?? '', '').ok).toBe(true);
  expect(requests).toEqual(['gitlab/gl-gitaly-praefect']);
});

test("Praefect's configuration is found in the same way", async () => {
  const { maps } = server();
  const { configs } = await configsOfPods(pods, 'praefect', chartComponentOf, maps, signal);
  expect(configs.map(({ config, pods: mounting }) => [config.name, mounting.length])).toEqual([
    ['gl-praefect', 3],
  ]);
});

test('a ConfigMap is requested once a minute, and a change is visible then', async () => {
  const { maps, requests, clock, state } = server();
  const read = () => readTexts(testStore(pods), maps);
  const textNow = async () => (await read()).texts[0]?.text;
  await textNow();
  state.maps = recorded.map((map) => ({ ...map, data: { 'config.toml': 'changed = true' } }));
  await clock.advance(59_999);
  expect(await textNow()).not.toBe('changed = true');
  expect(requests).toHaveLength(1);
  await clock.advance(1);
  expect(await textNow()).toBe('changed = true');
  expect(requests).toHaveLength(2);
});

test('concurrent reads share one request', async () => {
  const { maps, requests } = server();
  const read = () => readTexts(testStore(pods), maps);
  await Promise.all([read(), read()]);
  expect(requests).toHaveLength(1);
});

test('mounted ConfigMaps without a configuration are skipped, and rarely requested again', async () => {
  const others = pods.map((pod) => ({
    ...pod,
    configMaps: ['kube-root-ca.crt', 'custom-ca', ...pod.configMaps],
  }));
  const custom = { ...(recorded[0] as ConfigMap), name: 'custom-ca', data: {} };
  const { maps, requests, clock } = server([custom, ...recorded]);
  const read = () => readTexts(testStore(others), maps);
  expect((await read()).texts).toHaveLength(1);
  await clock.advance(60_000);
  await read();
  expect(requests).toEqual(['gitlab/custom-ca', 'gitlab/gl-gitaly-praefect', 'gitlab/gl-gitaly-praefect']);
});

test('pods that are deleted, failed or not scheduled are omitted', async () => {
  const [first, second, third, ...rest] = pods.filter(({ name }) => name.includes('gitaly'));
  if (first === undefined || second === undefined || third === undefined)
    throw new Error('the recording has three Gitaly pods');
  const { maps } = server();
  const store = testStore([
    { ...first, deletion: { requestedAt: 0, graceSeconds: 6 } },
    { ...second, phase: 'Failed' },
    { ...third, node: '' },
    ...rest,
  ]);
  expect(await readTexts(store, maps)).toEqual({ texts: [], failures: [] });
});

describe('a failure', () => {
  const forbidden = {
    reason: 'permission',
    message: 'no right to get configmaps in namespace gitlab',
  } as const;

  test('is reported once for all pods', async () => {
    const { maps, state } = server();
    state.failure = forbidden;
    expect(await readTexts(testStore(pods), maps)).toEqual({
      texts: [],
      failures: [forbidden],
    });
  });

  test('keeps the last configuration for five minutes, and is retried every 15 seconds', async () => {
    const { maps, state, clock, requests } = server();
    const read = () => readTexts(testStore(pods), maps);
    const now = async () => {
      const { texts, failures } = await read();
      return [texts.length, failures.length];
    };
    expect(await now()).toEqual([1, 0]);
    state.failure = forbidden;
    await clock.advance(60_000);
    expect(await now()).toEqual([1, 1]);
    await clock.advance(14_999);
    expect(requests).toHaveLength(2);
    await clock.advance(240_001);
    expect(await now()).toEqual([0, 1]);
    state.failure = undefined;
    await clock.advance(15_000);
    expect(await now()).toEqual([1, 0]);
  });

  test('is reported for a ConfigMap that does not exist', async () => {
    const { maps } = server([]);
    const { failures } = await readTexts(testStore(pods), maps);
    expect(failures).toEqual([
      {
        reason: 'parse',
        message: expect.stringContaining('gitlab/gl-gitaly-praefect, which a pod mounts, does not exist'),
      },
    ]);
  });

  test('of the watch is reported, and pods that may have been removed are not', async () => {
    const { maps, requests } = server();
    const store = testStore(pods);
    store.set({ current: false, failure: forbidden });
    expect(await readTexts(store, maps)).toEqual({ texts: [], failures: [forbidden] });
    expect(requests).toEqual([]);
  });
});
