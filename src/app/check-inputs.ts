/** Reads what the checks are run on, from all sources: the watches, ConfigMaps, files, cgroups and Praefect. */
import { type GitalyConfig, parseGitalyConfig } from '../config/gitaly/gitaly-config.ts';
import type { Clock } from '../lib/clock.ts';
import { incompleteList, type Known, known, notApplicable, present, unknown } from '../lib/known.ts';
import type { CheckInputs, ServerFacts } from '../rules/checks/inputs.ts';
import { unknownNode, unknownServer } from '../rules/checks/inputs.ts';
import type { CgroupServer } from '../sources/cgroup/facts.ts';
import type { NodeFacts } from '../sources/cgroup/node-facts.ts';
import { type Component, type Identity, identityKey } from '../sources/identity.ts';
import { configName, configsOfPods } from '../sources/kubernetes/directory/config-maps.ts';
import { podIdentity } from '../sources/kubernetes/gitaly-objects.ts';
import type { KubeObject, Pod } from '../sources/kubernetes/objects/types.ts';
import {
  incompleteness,
  notCurrent,
  objectName,
  type Store,
  type WatchedResource,
} from '../sources/kubernetes/store.ts';
import type { HealthSnapshot } from '../sources/praefect/view.ts';
import { knownConfig, type PraefectInputSources, praefectFacts, valueOr } from './praefect-inputs.ts';
import type { Sources } from './sources.ts';

/** What is undefined is unknown to the checks. */
export interface CheckInputSources
  extends PraefectInputSources,
    Pick<Sources, 'configFiles' | 'cgroupFacts' | 'storageSpace'> {
  readonly clock: Clock;
  /** An agent watches the pods of its own node only. */
  readonly isAgent: boolean;
  /** Seconds from deletion to Ready at the slowest of the last rotations that were observed from start to end. */
  readonly rotationSeconds: ((identity: Identity) => number | undefined) | undefined;
  /** checks.client-retry-window, in milliseconds. */
  readonly clientRetryWindow: number | undefined;
}

/** Praefects that contacted a storage of any virtual storage within 60 s. */
export const livePraefects = (health: readonly HealthSnapshot[]): number =>
  new Set(
    health.flatMap(({ praefects }) => praefects.filter(({ alive }) => alive).map(({ praefect }) => praefect)),
  ).size;

const noKubernetes = notApplicable('Kubernetes is not watched (kubernetes.enabled)');

/** Never rejects: what could not be read is unknown, with its reason. */
export async function readCheckInputs(sources: CheckInputSources, signal: AbortSignal): Promise<CheckInputs> {
  const { clientRetryWindow, clock, kubernetes } = sources;
  const stores = kubernetes?.stores;
  const here = await sources.cgroupFacts?.read(signal);
  const cgroups = here?.servers ?? [];
  const gitalyPods = gitalyPodsOf(sources, cgroups);
  const praefectPods = podsOf(sources, 'praefect');
  const [onKubernetes, onMachines, otherPods, praefect] = await Promise.all([
    serversOfPods(sources, valueOr(gitalyPods), cgroups, signal),
    serversOfMachines(sources, cgroups, signal),
    readOtherPods(sources, valueOr(gitalyPods), signal),
    praefectFacts(sources, praefectPods, signal),
  ]);
  return {
    now: clock.now(),
    gitalyPods,
    praefectPods,
    statefulSets: objectsOf(stores?.statefulSets, 'statefulsets'),
    disruptionBudgets: objectsOf(stores?.disruptionBudgets, 'poddisruptionbudgets'),
    nodes: objectsOf(stores?.nodes, 'nodes'),
    otherPods,
    servers: [...onKubernetes, ...onMachines],
    nodeFacts: nodeFactsOf(here?.node, valueOr(gitalyPods)),
    clientRetrySeconds: present(
      clientRetryWindow === undefined ? undefined : clientRetryWindow / 1000,
      "how long GitLab's Rails and Sidekiq retry is in their own configuration, which is not read: set checks.client-retry-window",
    ),
    praefect,
  };
}

function objectsOf<T extends KubeObject>(
  store: Store<T> | undefined,
  resource: WatchedResource,
): Known<readonly T[]> {
  if (store === undefined) return noKubernetes;
  const failure = notCurrent(store, resource);
  if (failure !== undefined) return unknown(failure.message);
  const incomplete = incompleteness(store.state());
  if (incomplete === undefined) return known(store.all());
  // Their state before is kept for a while, but a check is about the present one.
  const malformed = new Set(store.state().malformed);
  const readable = malformed.has('')
    ? []
    : store.all().filter((object) => !malformed.has(objectName(object)));
  return incompleteList(readable, incomplete.message);
}

function podsOf({ kubernetes }: CheckInputSources, component: Component): Known<readonly Pod[]> {
  const pods = objectsOf(kubernetes?.stores.pods, 'pods');
  return 'unknown' in pods
    ? pods
    : { ...pods, value: pods.value.filter((pod) => kubernetes?.componentOf(pod) === component) };
}

function gitalyPodsOf(sources: CheckInputSources, here: readonly CgroupServer[]): Known<readonly Pod[]> {
  const pods = podsOf(sources, 'gitaly');
  if (sources.kubernetes === undefined && here.some(({ identity }) => identity.pod !== ''))
    return foundByCgroups;
  if ('unknown' in pods || !sources.isAgent || pods.value.length > 0 || pods.incomplete !== undefined)
    return pods;
  return notApplicable('no Gitaly pod is on this node');
}

/** The recommendations apply to these pods, but cannot be checked. */
const foundByCgroups = unknown(
  'Gitaly pods were found by their cgroups only; their settings are in the Kubernetes API: set kubernetes.enabled',
);

async function serversOfPods(
  sources: CheckInputSources,
  pods: readonly Pod[],
  here: readonly CgroupServer[],
  signal: AbortSignal,
): Promise<readonly ServerFacts[]> {
  const configs = await podConfigs(sources, pods, signal);
  const cgroups = new Map(here.map((server) => [identityKey(server.identity), server.facts]));
  return Promise.all(
    pods.map(async (pod): Promise<ServerFacts> => {
      const identity = podIdentity(pod);
      const cgroup = cgroups.get(identityKey(identity));
      return {
        identity,
        config: configs(pod),
        cgroup: cgroup === undefined ? unknown(noCgroup(sources)) : known(cgroup),
        volume: (await sources.kubernetes?.volumes?.of(pod, signal)) ?? volumesDisabled,
        rotationSeconds: present(
          sources.rotationSeconds?.(identity),
          'no rotation of this pod was observed from start to end yet',
        ),
      };
    }),
  );
}

const volumesDisabled = unknown(
  'the kubelets are not queried: set kubernetes.volume-stats and grant nodes/proxy, or use kubelet_volume_stats_available_bytes in Prometheus',
);

const noCgroup = ({ cgroupFacts }: CheckInputSources): string =>
  cgroupFacts === undefined
    ? "read from files of the pod's node, by the agent on that node"
    : "no cgroups of this pod on this host; the agent on the pod's node reports them";

/** The configuration of each pod, or why it is unknown. */
async function podConfigs(
  { kubernetes }: CheckInputSources,
  pods: readonly Pod[],
  signal: AbortSignal,
): Promise<(pod: Pod) => Known<GitalyConfig>> {
  if (kubernetes?.configMaps === undefined)
    return () => unknown('this exporter does not read ConfigMaps (kubernetes.scrape, kubernetes.role)');
  const { componentOf, configMaps } = kubernetes;
  const { configs, failures } = await configsOfPods(pods, 'gitaly', componentOf, configMaps, signal);
  const byPod = new Map(
    configs.flatMap(({ config, pods: mounting }) => {
      const parsed = knownConfig(parseGitalyConfig(config.text, configName(config)));
      return mounting.map((pod) => [pod.uid, parsed] as const);
    }),
  );
  const noConfig = unknown('the pod mounts no ConfigMap with a config.toml');
  return ({ uid, namespace, configMaps: mounted }) => {
    // Another pod's failure may have the same cause, such as a missing right.
    const failure =
      failures.find(({ message }) => mounted.some((name) => message.includes(`${namespace}/${name}`))) ??
      failures[0];
    return byPod.get(uid) ?? (failure === undefined ? noConfig : unknown(failure.message));
  };
}

/** Gitalys on virtual machines whose configuration file or cgroups are known. */
async function serversOfMachines(
  { configFiles, storageSpace }: CheckInputSources,
  here: readonly CgroupServer[],
  signal: AbortSignal,
): Promise<readonly ServerFacts[]> {
  const machines = new Map<string, ServerFacts>();
  const add = (identity: Identity, facts: Partial<ServerFacts>): void => {
    const key = identityKey(identity);
    const before = machines.get(key) ?? {
      ...unknownServer(identity, unknown('not read on this host')),
      config: unknown('gitaly.config-file names no configuration of this host'),
      volume: unknown(
        "read on its own host, by the paths in Gitaly's config.toml (gitaly.config-file); node_exporter reports it as node_filesystem_avail_bytes",
      ),
      rotationSeconds: notApplicable('a virtual machine has no pod'),
    };
    machines.set(key, { ...before, ...facts });
  };
  for (const { identity, facts } of here) if (identity.pod === '') add(identity, { cgroup: known(facts) });
  const { texts } = (await configFiles?.read(signal)) ?? { texts: [] };
  for (const { name, text, identities } of texts) {
    const config = knownConfig(parseGitalyConfig(text, name));
    for (const identity of identities) {
      add(identity, { config });
      // The paths of another host's file would be those of another file system here.
      if ('value' in config && identity.node === storageSpace.hostName)
        add(identity, { volume: await storageSpace.of(config.value.storagePaths, signal) });
    }
  }
  return [...machines.values()];
}

/** This host's from its own files. Of others only their agents know, except for swap, which the API may report. */
function nodeFactsOf(own: NodeFacts | undefined, gitalyPods: readonly Pod[]): readonly NodeFacts[] {
  const agent = unknown("read from the node's files, by the agent on that node");
  const others = new Set(
    gitalyPods.map(({ node }) => node).filter((node) => node !== '' && node !== own?.node),
  );
  return [
    ...(own === undefined ? [] : [own]),
    ...[...others].map((node) => ({
      ...unknownNode(node, agent),
      swapBytes: notApplicable('its kubelet may report it'),
    })),
  ];
}

async function readOtherPods(
  { kubernetes }: CheckInputSources,
  gitalyPods: readonly Pod[],
  signal: AbortSignal,
): Promise<CheckInputs['otherPods']> {
  if (kubernetes === undefined) return noKubernetes;
  if (kubernetes.otherPods === undefined)
    return unknown(
      'this exporter does not list the pods of all nodes and namespaces (kubernetes.role, kubernetes.namespace)',
    );
  // Without a class the check fails whatever the others have: the list would be for nothing.
  if (gitalyPods.every(({ priorityClass }) => priorityClass === ''))
    return unknown('no Gitaly pod has a PriorityClass to compare');
  return kubernetes.otherPods(signal);
}
