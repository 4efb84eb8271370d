/** Gitaly's configuration from ConfigMaps: whose it is, how often it is asked for, and what a missing right does. */
import { describe, expect, test } from '@jest/globals';
import { parseGitalyConfig } from '../../../../src/config/gitaly/gitaly-config.ts';
import type { Failure } from '../../../../src/scheduler/outcome.ts';
import { chartComponentOf } from '../../../../src/sources/kubernetes/directory/component.ts';
import {
  createConfigMaps,
  type ReadConfigMap,
} from '../../../../src/sources/kubernetes/directory/config-maps.ts';
import {
  configsOfPods,
  kubernetesConfigs,
} from '../../../../src/sources/kubernetes/directory/kubernetes-configs.ts';
import { configMapOf } from '../../../../src/sources/kubernetes/objects/kinds.ts';
import type { ConfigMap } from '../../../../src/sources/kubernetes/objects/types.ts';
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
  const asked: string[] = [];
  const state: { failure: Failure | undefined; maps: readonly ConfigMap[] } = { failure: undefined, maps };
  const read: ReadConfigMap = async (namespace, name) => {
    asked.push(`${namespace}/${name}`);
    if (state.failure !== undefined) return { ok: false, failure: state.failure };
    const object = state.maps.find((each) => each.namespace === namespace && each.name === name);
    return { ok: true, object };
  };
  const clock = createManualClock();
  return { asked, state, clock, maps: createConfigMaps(read, clock) };
}

test('one text for the three pods of a StatefulSet, and it is configuration as the parser wants it', async () => {
  const { maps, asked } = server();
  const { texts, failures } = await kubernetesConfigs({
    pods: testStore(pods),
    componentOf: chartComponentOf,
    configMaps: maps,
  }).read(signal);
  expect(failures).toEqual([]);
  expect(texts.map(({ name }) => name)).toEqual(['ConfigMap gitlab/gl-gitaly-praefect, config.toml.tpl']);
  expect(texts[0]?.identities.map(({ namespace, pod }) => `${namespace}/${pod}`)).toEqual([
    'gitlab/gl-gitaly-default-0',
    'gitlab/gl-gitaly-default-1',
    'gitlab/gl-gitaly-default-2',
  ]);
  expect(parseGitalyConfig(texts[0]?.text ?? '', '').ok).toBe(true);
  expect(asked).toEqual(['gitlab/gl-gitaly-praefect']);
});

test("Praefect's configuration is found by the same way", async () => {
  const { maps } = server();
  const { configs } = await configsOfPods(pods, 'praefect', chartComponentOf, maps, signal);
  expect(configs.map(({ config, pods: mounting }) => [config.name, mounting.length])).toEqual([
    ['gl-praefect', 3],
  ]);
});

test('it is asked for once a minute, however often it is wanted, and a change is seen then', async () => {
  const { maps, asked, clock, state } = server();
  const source = kubernetesConfigs({
    pods: testStore(pods),
    componentOf: chartComponentOf,
    configMaps: maps,
  });
  const textNow = async () => (await source.read(signal)).texts[0]?.text;
  await textNow();
  state.maps = recorded.map((map) => ({ ...map, data: { 'config.toml': 'changed = true' } }));
  await clock.advance(59_999);
  expect(await textNow()).not.toBe('changed = true');
  expect(asked).toHaveLength(1);
  await clock.advance(1);
  expect(await textNow()).toBe('changed = true');
  expect(asked).toHaveLength(2);
});

test('two who ask at the same time share one question', async () => {
  const { maps, asked } = server();
  const source = kubernetesConfigs({
    pods: testStore(pods),
    componentOf: chartComponentOf,
    configMaps: maps,
  });
  await Promise.all([source.read(signal), source.read(signal)]);
  expect(asked).toHaveLength(1);
});

test('other ConfigMaps that are mounted beside are passed over, and hardly ever asked for again', async () => {
  const others = pods.map((pod) => ({
    ...pod,
    configMaps: ['kube-root-ca.crt', 'custom-ca', ...pod.configMaps],
  }));
  const custom = { ...(recorded[0] as ConfigMap), name: 'custom-ca', data: {} };
  const { maps, asked, clock } = server([custom, ...recorded]);
  const source = kubernetesConfigs({
    pods: testStore(others),
    componentOf: chartComponentOf,
    configMaps: maps,
  });
  expect((await source.read(signal)).texts).toHaveLength(1);
  await clock.advance(60_000);
  await source.read(signal);
  expect(asked).toEqual(['gitlab/custom-ca', 'gitlab/gl-gitaly-praefect', 'gitlab/gl-gitaly-praefect']);
});

test('pods that end, failed, or have no node yet are not among those that it is for', async () => {
  const [first, second, third, ...rest] = pods.filter(({ name }) => name.includes('gitaly'));
  if (first === undefined || second === undefined || third === undefined) throw new Error('three Gitalys');
  const { maps } = server();
  const store = testStore([
    { ...first, deletion: { requestedAt: 0, graceSeconds: 6 } },
    { ...second, phase: 'Failed' },
    { ...third, node: '' },
    ...rest,
  ]);
  expect(
    await kubernetesConfigs({ pods: store, componentOf: chartComponentOf, configMaps: maps }).read(signal),
  ).toEqual({ texts: [], failures: [] });
});

describe('a failure', () => {
  const forbidden = {
    reason: 'permission',
    message: 'may not get configmaps in namespace gitlab',
  } as const;

  test('names the right that is missing, once for all pods', async () => {
    const { maps, state } = server();
    state.failure = forbidden;
    expect(
      await kubernetesConfigs({
        pods: testStore(pods),
        componentOf: chartComponentOf,
        configMaps: maps,
      }).read(signal),
    ).toEqual({
      texts: [],
      failures: [forbidden],
    });
  });

  test('keeps what was read for five minutes, and is tried again every quarter of one', async () => {
    const { maps, state, clock, asked } = server();
    const source = kubernetesConfigs({
      pods: testStore(pods),
      componentOf: chartComponentOf,
      configMaps: maps,
    });
    const now = async () => {
      const { texts, failures } = await source.read(signal);
      return [texts.length, failures.length];
    };
    expect(await now()).toEqual([1, 0]);
    state.failure = forbidden;
    await clock.advance(60_000);
    expect(await now()).toEqual([1, 1]);
    await clock.advance(14_999);
    expect(asked).toHaveLength(2);
    await clock.advance(240_001);
    expect(await now()).toEqual([0, 1]);
    state.failure = undefined;
    await clock.advance(15_000);
    expect(await now()).toEqual([1, 0]);
  });

  test('of a ConfigMap that is not there says so', async () => {
    const { maps } = server([]);
    const { failures } = await kubernetesConfigs({
      pods: testStore(pods),
      componentOf: chartComponentOf,
      configMaps: maps,
    }).read(signal);
    expect(failures).toEqual([
      {
        reason: 'parse',
        message: expect.stringContaining('gitlab/gl-gitaly-praefect, which a pod mounts, does not exist'),
      },
    ]);
  });

  test('of the watch is told in place of pods that may be gone', async () => {
    const { maps, asked } = server();
    const store = testStore(pods);
    store.set({ current: false, failure: forbidden });
    expect(
      await kubernetesConfigs({ pods: store, componentOf: chartComponentOf, configMaps: maps }).read(signal),
    ).toEqual({ texts: [], failures: [forbidden] });
    expect(asked).toEqual([]);
  });
});
