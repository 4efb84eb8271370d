/** From recorded clusters to the results of checks: which facts are available, and why others are unknown. */
import { describe, expect, test } from '@jest/globals';
import { type CheckInputSources, readCheckInputs } from '../../src/app/check-inputs.ts';
import { known, unknown } from '../../src/lib/known.ts';
import { type CheckFilter, checksOfRole, evaluate } from '../../src/rules/checks/evaluate.ts';
import type { CgroupFactsReader } from '../../src/sources/cgroup/facts.ts';
import { createConfigMaps, type ReadConfigMap } from '../../src/sources/kubernetes/directory/config-maps.ts';
import { chartComponentOf } from '../../src/sources/kubernetes/gitaly-objects.ts';
import {
  configMapOf,
  disruptionBudgetOf,
  statefulSetOf,
} from '../../src/sources/kubernetes/objects/kinds.ts';
import type { KubeEvent } from '../../src/sources/kubernetes/objects/types.ts';
import { recordedNodes, recordedPods, testStore } from '../sources/kubernetes/directory/support.ts';
import { archive } from '../support/kubernetes-archive.ts';
import { createManualClock } from '../support/manual-clock.ts';

const { signal } = new AbortController();
const clock = createManualClock();

function parsed<T>(
  name: string,
  resource: string,
  parse: (raw: unknown) => { ok: true; object: T } | { ok: false; why: string },
): readonly T[] {
  return archive(name)
    .items(`at-rest/${resource}.json`)
    .map((raw) => {
      const result = parse(raw);
      if (!result.ok) throw new Error(result.why);
      return result.object;
    });
}

/** An exporter of role cluster on a recorded cluster. */
function sources(name: 'posture-good' | 'posture-chart-defaults') {
  const stores = {
    pods: testStore(recordedPods(name, 'at-rest')),
    nodes: testStore(recordedNodes(name, 'at-rest')),
    statefulSets: testStore(parsed(name, 'statefulsets', statefulSetOf)),
    disruptionBudgets: testStore(parsed(name, 'poddisruptionbudgets', disruptionBudgetOf)),
    events: testStore<KubeEvent>(),
  };
  const maps = parsed(name, 'configmaps', configMapOf);
  const read: ReadConfigMap = async (namespace, wanted) => ({
    ok: true,
    object: maps.find((map) => map.namespace === namespace && map.name === wanted),
  });
  const kubernetes = {
    stores,
    componentOf: chartComponentOf,
    configMaps: createConfigMaps(read, clock),
    otherPods: async () => known([{ namespace: 'x', name: 'other', priority: 0 }]),
    volumes: undefined,
  };
  const all: CheckInputSources = {
    clock,
    kubernetes,
    configFiles: undefined,
    storageSpace: { hostName: 'exporter', of: async () => unknown('not read') },
    cgroupFacts: undefined,
    isAgent: false,
    rotationSeconds: undefined,
    praefect: undefined,
    clientRetryWindow: undefined,
  };
  return { all, kubernetes, stores };
}

/** A host on which no Gitaly is found. */
const noServers: CgroupFactsReader = {
  read: async () => ({
    servers: [],
    node: {
      node: 'node-1',
      cgroupVersion: known('v2'),
      cgroupDriver: known('systemd'),
      nsdelegate: known(false),
      runcVersion: unknown('on the node only'),
      swapBytes: known(0),
      memoryBytes: known(64 * 1024 ** 3),
    },
  }),
};

/** The most severe result of each check. */
async function results(
  given: CheckInputSources,
  filter: CheckFilter = checksOfRole.cluster,
): Promise<Readonly<Record<string, string>>> {
  const { findings } = evaluate(await readCheckInputs(given, signal), filter);
  const worst: Record<string, string> = {};
  for (const { id, result, notApplicable } of findings) {
    const now = notApplicable ? 'n/a' : result;
    const before = worst[id];
    const rank = ['pass', 'n/a', 'unknown', 'fail'];
    if (before === undefined || rank.indexOf(now) > rank.indexOf(before)) worst[id] = now;
  }
  return worst;
}

test('the API alone verifies most recommendations in a cluster that follows all of them', async () => {
  const found = await results(sources('posture-good').all);
  expect(Object.entries(found).filter(([, result]) => result === 'fail')).toEqual([]);
  expect(found).toMatchObject({
    kubernetes_version: 'pass',
    container_runtime_version: 'pass',
    init_cgroups_ran: 'pass',
    git_memory_buffer: 'pass',
    qos_guaranteed: 'pass',
    gomemlimit: 'pass',
    priority_class: 'pass',
    safe_to_evict: 'pass',
    anti_affinity: 'pass',
    pdb_present: 'pass',
    concurrency_limits: 'pass',
    praefect_sslmode: 'pass',
    three_praefects: 'pass',
    volume_free_space: 'unknown',
    client_retry_window: 'unknown',
    postgresql_version: 'unknown',
  });
});

test("the chart's defaults fail the recommendations that they do not follow", async () => {
  const found = await results(sources('posture-chart-defaults').all);
  expect(Object.keys(found).filter((id) => found[id] === 'fail')).toEqual(
    expect.arrayContaining([
      'container_runtime_version',
      'init_cgroups_ran',
      'git_memory_buffer',
      'qos_guaranteed',
      'priority_class',
      'safe_to_evict',
      'fs_group_change_policy',
      'short_graceful_stop',
      'concurrency_limits',
      'praefect_sslmode',
      'three_praefects',
    ]),
  );
});

test('an agent verifies the checks of its node, from cgroups and configuration together', async () => {
  const { all, kubernetes, stores } = sources('posture-good');
  const [pod] = recordedPods('posture-good', 'at-rest').filter(({ name }) => name === 'gl-gitaly-default-0');
  if (pod === undefined) throw new Error('a pod');
  const agent: CheckInputSources = {
    ...all,
    kubernetes: { ...kubernetes, stores: { ...stores, pods: testStore([pod]) } },
    cgroupFacts: {
      read: async () => ({
        servers: [
          {
            identity: { namespace: pod.namespace, pod: pod.name, node: pod.node },
            facts: {
              layout: 'sibling',
              podMemoryMax: known(10 * 1024 ** 3),
              gitMemoryMax: known(8_589_934_592),
              enclosingMemoryMax: known({ path: 'kubepods.slice', max: 10 * 1024 ** 3 }),
              bucketMemoryMax: known(4 * 1024 ** 3),
              repositoryCgroups: known(12),
              hasGitRun: known(true),
              ownerUid: known(1000),
            },
          },
        ],
        node: {
          node: pod.node,
          cgroupVersion: known('v2'),
          cgroupDriver: known('systemd'),
          nsdelegate: known(true),
          runcVersion: unknown('on the node only'),
          swapBytes: known(0),
          memoryBytes: known(64 * 1024 ** 3),
        },
      }),
    },
  };
  expect(await results(agent, checksOfRole.agent)).toMatchObject({
    runc_version: 'unknown',
    cgroup_v2: 'pass',
    cgroup_driver_systemd: 'pass',
    cgroup_nsdelegate: 'fail',
    cgroup_owner: 'pass',
    git_cgroups_enabled: 'pass',
    pod_memory_bounded: 'pass',
  });
});

test('an agent on a node without Gitaly has no unknown result', async () => {
  const { all, kubernetes, stores } = sources('posture-good');
  const agent: CheckInputSources = {
    ...all,
    kubernetes: { ...kubernetes, stores: { ...stores, pods: testStore() }, configMaps: undefined },
    isAgent: true,
    cgroupFacts: noServers,
  };
  const open = Object.entries(await results(agent, checksOfRole.agent)).filter(([, each]) => each !== 'n/a');
  expect(open).toEqual([]);
  // For an exporter of the whole cluster, a selector without pods is a mistake.
  expect(await results({ ...agent, isAgent: false }, checksOfRole.agent)).toMatchObject({
    cgroup_v2: 'unknown',
  });
});

describe('an unknown fact never passes a check', () => {
  test('the checks of pods that are known by their cgroups only are unknown', async () => {
    const { all } = sources('posture-good');
    const found: CheckInputSources = {
      ...all,
      kubernetes: undefined,
      cgroupFacts: {
        async read(given) {
          const { node } = await noServers.read(given);
          const identity = { namespace: '', pod: '3f1c8d2a', node: node.node };
          const none = unknown('not read');
          const facts = {
            layout: 'none',
            ...{ podMemoryMax: none, gitMemoryMax: none, enclosingMemoryMax: none, bucketMemoryMax: none },
            ...{ repositoryCgroups: none, hasGitRun: none, ownerUid: none },
          } as const;
          return { servers: [{ identity, facts }], node };
        },
      },
    };
    expect(await results(found, checksOfRole.agent)).toMatchObject({
      ...{ cgroup_v2: 'unknown', pod_memory_bounded: 'unknown', git_cgroups_enabled: 'unknown' },
    });
  });

  test('without Kubernetes the checks of pods do not apply', async () => {
    const { all } = sources('posture-good');
    const inputs = await readCheckInputs({ ...all, kubernetes: undefined }, signal);
    expect(inputs.gitalyPods).toMatchObject({ notApplicable: true });
    expect(evaluate(inputs).findings.filter(({ result }) => result === 'pass')).toEqual([]);
  });

  test.each(['pods', 'nodes', 'statefulSets', 'disruptionBudgets'] as const)(
    'a stale watch of %s is the reason for unknown results of the checks that depend on it',
    async (store) => {
      const { all, stores } = sources('posture-good');
      stores[store].set({ current: false, failure: { reason: 'permission', message: 'no right to list' } });
      const { findings } = evaluate(await readCheckInputs(all, signal), checksOfRole.cluster);
      const unknowns = findings.filter(({ reason }) => reason === 'no right to list');
      expect(unknowns.length).toBeGreaterThan(0);
      expect(unknowns.every(({ result }) => result === 'unknown')).toBe(true);
    },
  );

  const malformedPod = { reason: 'parse', message: 'a malformed Pod: no uid' } as const;

  test('a malformed pod passes no check, and the others keep their results', async () => {
    const { all, stores } = sources('posture-good');
    stores.pods.set({ malformed: ['gitlab/gl-gitaly-default-1'], failure: malformedPod });
    const { findings } = evaluate(await readCheckInputs(all, signal), checksOfRole.cluster);
    const qos = findings.filter(({ id }) => id === 'qos_guaranteed');
    expect(qos.map(({ subject, result, reason }) => [subject, result, reason])).toEqual([
      ['cluster', 'unknown', malformedPod.message],
      ['gitlab/gl-gitaly-default-0', 'pass', undefined],
      ['gitlab/gl-gitaly-default-2', 'pass', undefined],
    ]);
    // Checks of all pods of a set do not pass either.
    expect(
      findings.filter(({ id, result }) => id === 'replicas_on_distinct_nodes' && result === 'pass'),
    ).toEqual([expect.objectContaining({ subject: 'gitlab/gl-praefect' })]);
  });

  test('a malformed object without a name may be any of them', async () => {
    const { all, stores } = sources('posture-good');
    stores.pods.set({ malformed: [''], failure: malformedPod });
    const { findings } = evaluate(await readCheckInputs(all, signal), checksOfRole.cluster);
    expect(findings.filter(({ result }) => result !== 'unknown')).toEqual([]);
  });

  test.each([
    ['nodes', 'kubernetes_version'],
    ['statefulSets', 'three_praefects'],
    ['disruptionBudgets', 'pdb_present'],
  ] as const)('malformed %s are the reason why %s is unknown', async (store, check) => {
    const { all, stores } = sources('posture-good');
    const failure = { reason: 'too_large', message: 'more objects than are kept' } as const;
    stores[store].set({ malformed: [''], failure });
    const { findings } = evaluate(await readCheckInputs(all, signal), checksOfRole.cluster);
    const found = findings.filter(({ id }) => id === check);
    expect(found.length).toBeGreaterThan(0);
    expect(found.map(({ result, reason }) => [result, reason])).toEqual(
      found.map(() => ['unknown', failure.message]),
    );
  });

  test('Praefect does not count as absent while its pods cannot be listed', async () => {
    const { all, stores } = sources('posture-good');
    stores.pods.set({ current: false, failure: { reason: 'permission', message: 'no right to list' } });
    const { praefect } = await readCheckInputs(all, signal);
    expect(praefect).toEqual({ unknown: 'no right to list' });
  });

  test('forbidden ConfigMaps are the reason for unknown results of the checks that depend on them', async () => {
    const { all, kubernetes } = sources('posture-good');
    const failure = { reason: 'permission', message: 'no right to get configmaps' } as const;
    const forbidden = createConfigMaps(async () => ({ ok: false, failure }), clock);
    const { findings } = evaluate(
      await readCheckInputs({ ...all, kubernetes: { ...kubernetes, configMaps: forbidden } }, signal),
      checksOfRole.cluster,
    );
    for (const check of ['concurrency_limits', 'praefect_sslmode', 'git_memory_buffer'])
      expect(findings.filter((each) => each.id === check)).toEqual(
        findings
          .filter((each) => each.id === check)
          .map(() => expect.objectContaining({ result: 'unknown', reason: 'no right to get configmaps' })),
      );
  });

  test('the priorities of other pods are unknown where they are not listed', async () => {
    const { all, kubernetes } = sources('posture-good');
    expect(await results({ ...all, kubernetes: { ...kubernetes, otherPods: undefined } })).toMatchObject({
      priority_class: 'unknown',
    });
  });
});

test("PostgreSQL's version and the live Praefects come from Praefect's database", async () => {
  const { all, kubernetes } = sources('posture-good');
  const sslmode = { value: 'disable', origin: { source: 'default' } } as const;
  const praefect = {
    ...{ postgresqlVersion: '16.4', schemaVariant: undefined, instances: 3 },
    connection: { sslmode },
  };
  expect(await results({ ...all, praefect })).toMatchObject({
    postgresql_version: 'pass',
    // From praefect.config-file, next to the ConfigMap.
    praefect_sslmode: 'fail',
  });
  // Without the image of a pod, the GitLab versions that have this schema.
  const schemaVariant = '15.0';
  const noPraefectPods: CheckInputSources = {
    ...all,
    kubernetes: {
      ...kubernetes,
      componentOf: (pod) => (chartComponentOf(pod) === 'gitaly' ? 'gitaly' : undefined),
    },
  };
  for (const [version, result] of [
    ['16.4', 'pass'],
    ['15.18', 'unknown'],
    ['12.1', 'fail'],
  ] as const)
    expect(
      await results({
        ...noPraefectPods,
        praefect: { ...praefect, schemaVariant, postgresqlVersion: version },
      }),
    ).toMatchObject({ postgresql_version: result });
  expect(await results({ ...all, praefect: { ...praefect, postgresqlVersion: undefined } })).toMatchObject({
    postgresql_version: 'unknown',
  });
});

describe("the database connection of every Praefect's configuration is checked", () => {
  /** Three Praefects with a configuration each; undefined: its ConfigMap may not be read. */
  async function connectionsOf(...modes: readonly (string | undefined)[]) {
    const { all, kubernetes } = sources('posture-good');
    const recordedPraefects = recordedPods('posture-good', 'at-rest').filter(
      (pod) => chartComponentOf(pod) === 'praefect',
    );
    const praefects = recordedPraefects.map((pod, i) => ({ ...pod, configMaps: [`praefect-${i}`] }));
    const read: ReadConfigMap = async (namespace, name) => {
      const mode = modes[Number(name.split('-').at(-1))];
      if (mode === undefined)
        return { ok: false, failure: { reason: 'permission', message: `no right to get ${name}` } };
      const data = { 'config.toml': `[database]\nhost = 'db'\nsslmode = '${mode}'\n` };
      const meta = {
        uid: name,
        createdAt: 0,
        deletion: undefined,
        labels: {},
        annotations: {},
        owner: undefined,
      };
      return { ok: true, object: { kind: 'ConfigMap', namespace, name, ...meta, data } };
    };
    const { findings } = evaluate(
      await readCheckInputs(
        {
          ...all,
          kubernetes: {
            ...kubernetes,
            stores: { ...kubernetes.stores, pods: testStore(praefects) },
            configMaps: createConfigMaps(read, clock),
          },
        },
        signal,
      ),
    );
    return findings.find(({ id }) => id === 'praefect_sslmode');
  }

  test.each([
    [['require', 'disable', 'disable'], 'fail', 'ConfigMap gitlab/praefect-1, config.toml: sslmode disable'],
    [['require', undefined, 'disable'], 'fail', 'ConfigMap gitlab/praefect-2, config.toml: sslmode disable'],
    [
      ['require', 'verify-full', 'require'],
      'pass',
      'ConfigMap gitlab/praefect-0, config.toml: sslmode require',
    ],
  ] as const)('%j: %s', async (modes, result, detail) => {
    expect(await connectionsOf(...modes)).toMatchObject({ result, detail });
  });

  test('an unreadable ConfigMap leaves the result unknown', async () => {
    expect(await connectionsOf('require', undefined, 'require')).toMatchObject({
      result: 'unknown',
      reason: 'no right to get praefect-1',
    });
  });
});

test('known volumes and rotations are inputs of their checks', async () => {
  const { all, kubernetes } = sources('posture-good');
  const volume = { capacityBytes: 100, availableBytes: 10, inodes: known({ total: 10, free: 9 }) };
  const inputs = await readCheckInputs(
    {
      ...all,
      kubernetes: { ...kubernetes, volumes: { of: async () => known(volume) } },
      rotationSeconds: () => 42,
    },
    signal,
  );
  expect(inputs.servers[0]).toMatchObject({ volume: { value: volume }, rotationSeconds: { value: 42 } });
  expect(evaluate(inputs).findings.find(({ id }) => id === 'volume_free_space')).toMatchObject({
    result: 'fail',
  });
});

test("a virtual machine's configuration file and cgroups are one server", async () => {
  const identity = { namespace: '', pod: '', node: 'vm-1' };
  const facts = {
    layout: 'sibling',
    podMemoryMax: unknown(''),
    gitMemoryMax: known(1024 ** 3),
    enclosingMemoryMax: known({ path: '', max: 'max' as const }),
    bucketMemoryMax: known('max' as const),
    repositoryCgroups: known(3),
    hasGitRun: known(true),
    ownerUid: unknown(''),
  } as const;
  const inputs = await readCheckInputs(
    {
      ...sources('posture-good').all,
      kubernetes: undefined,
      configFiles: {
        read: async () => ({
          failures: [],
          texts: [
            {
              name: '/etc/gitaly/config.toml',
              identities: [identity],
              text: '[cgroups]\nmemory_bytes = 1073741824\n[cgroups.repositories]\ncount = 10\n',
            },
          ],
        }),
      },
      cgroupFacts: {
        read: async () => ({
          servers: [{ identity, facts }],
          node: {
            node: 'vm-1',
            cgroupVersion: known('v2'),
            cgroupDriver: unknown(''),
            nsdelegate: known(false),
            runcVersion: unknown(''),
            swapBytes: known(0),
            memoryBytes: known(64 * 1024 ** 3),
          },
        }),
      },
    },
    signal,
  );
  expect(inputs.servers).toHaveLength(1);
  expect(
    evaluate(inputs)
      .findings.filter(({ result }) => result !== 'unknown')
      .map(({ id, result }) => [id, result]),
  ).toEqual(
    expect.arrayContaining([
      ['git_cgroups_enabled', 'pass'],
      ['concurrency_limits', 'fail'],
    ]),
  );
});

test("the space of a virtual machine's storages is read for this host's own configuration alone", async () => {
  const identity = (node: string) => ({ namespace: '', pod: '', node });
  const text = '[[storage]]\nname = "default"\npath = "/mnt/git"\n';
  const requested: (readonly string[])[] = [];
  const full = { capacityBytes: 100, availableBytes: 5, inodes: known({ total: 10, free: 9 }) };
  const inputs = await readCheckInputs(
    {
      ...sources('posture-good').all,
      kubernetes: undefined,
      storageSpace: {
        hostName: 'vm-1',
        of: async (paths) => {
          requested.push(paths);
          return known(full);
        },
      },
      configFiles: {
        read: async () => ({
          failures: [],
          texts: ['vm-1', 'vm-2'].map((node) => ({
            name: 'config.toml',
            identities: [identity(node)],
            text,
          })),
        }),
      },
    },
    signal,
  );
  expect(requested).toEqual([['/mnt/git']]);
  expect(inputs.servers.map(({ volume }) => 'value' in volume)).toEqual([true, false]);
  const found = evaluate(inputs).findings.filter(({ id }) => id === 'volume_free_space');
  expect(found.map(({ result }) => result).sort()).toEqual(['fail', 'unknown']);
});
