/** Reads what the checks are run on, from all sources: the watches, ConfigMaps, files, cgroups and Praefect. */
import { type GitalyConfig, parseGitalyConfig } from '../config/gitaly/gitaly-config.ts';
import type { Parameters } from '../config/postgres/keywords.ts';
import { parsePraefectConfig } from '../config/praefect/praefect-config.ts';
import { problemText, type SettingProblem } from '../config/problem.ts';
import type { Clock } from '../lib/clock.ts';
import {
  incompleteList,
  type Known,
  known,
  notApplicable,
  present,
  type Unknown,
  unknown,
  whole,
} from '../lib/known.ts';
import type { CheckInputs, PraefectConnection, PraefectFacts, ServerFacts } from '../rules/checks/inputs.ts';
import { unknownNode, unknownServer } from '../rules/checks/inputs.ts';
import type { CgroupServer, NodeFacts } from '../sources/cgroup/facts.ts';
import { type Component, type Identity, identityKey } from '../sources/identity.ts';
import { configName, configsOfPods } from '../sources/kubernetes/directory/config-maps.ts';
import { podIdentity } from '../sources/kubernetes/gitaly-objects.ts';
import type { KubeObject, Pod } from '../sources/kubernetes/objects/types.ts';
import {
  incompleteness,
  notCurrent,
  objectName,
  type Store,
  type Stores,
  type WatchedResource,
} from '../sources/kubernetes/store.ts';
import { releasesOfVariant } from '../sources/praefect/variant.ts';
import type { HealthSnapshot } from '../sources/praefect/view.ts';
import type { KubernetesAccess, Sources } from './sources.ts';

/** What is undefined is unknown to the checks. */
export interface CheckInputSources extends Pick<Sources, 'configFiles' | 'cgroupFacts'> {
  readonly clock: Clock;
  readonly kubernetes:
    | (Pick<KubernetesAccess, 'componentOf' | 'configMaps' | 'otherPods' | 'volumes'> & {
        readonly stores: Stores;
      })
    | undefined;
  /** An agent watches the pods of its own node only. */
  readonly isAgent: boolean;
  /** Seconds from deletion to Ready at the slowest of the last rotations that were observed from start to end. */
  readonly rotationSeconds: ((identity: Identity) => number | undefined) | undefined;
  /** Undefined: neither its database nor its configuration is known. */
  readonly praefect: PraefectState | undefined;
  /** checks.client-retry-window, in milliseconds. */
  readonly clientRetryWindow: number | undefined;
}

interface PraefectState {
  /** server_version. */
  readonly postgresqlVersion: string | undefined;
  /** The first GitLab release with this form of the schema. */
  readonly schemaVariant: string | undefined;
  /** Praefect's own connection, of praefect.config-file. */
  readonly connection: Parameters | undefined;
  /** Live Praefects according to the database. */
  readonly instances: number | undefined;
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

const valueOr = <T>(fact: Known<readonly T[]>): readonly T[] => ('unknown' in fact ? [] : fact.value);

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
      const parsed = parsedConfig(config.text, configName(config));
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

function parsedConfig(text: string, name: string): Known<GitalyConfig> {
  const parsed = parseGitalyConfig(text, name);
  if (parsed.ok && parsed.value.incomplete !== undefined) return unknown(parsed.value.incomplete);
  if (parsed.ok) return known(parsed.value);
  return unparsed(name, parsed.problems);
}

function unparsed(name: string, [first, ...others]: readonly SettingProblem[]): Unknown {
  const more = others.length === 0 ? '' : ` (and ${others.length} more)`;
  return unknown(first === undefined ? `${name} cannot be parsed` : `${problemText(first)}${more}`);
}

/** Gitalys on virtual machines whose configuration file or cgroups are known. */
async function serversOfMachines(
  { configFiles }: CheckInputSources,
  here: readonly CgroupServer[],
  signal: AbortSignal,
): Promise<readonly ServerFacts[]> {
  const machines = new Map<string, ServerFacts>();
  const add = (identity: Identity, facts: Partial<ServerFacts>): void => {
    const key = identityKey(identity);
    const before = machines.get(key) ?? {
      ...unknownServer(identity, unknown('not read on this host')),
      config: unknown('gitaly.config-file names no configuration of this host'),
      volume: unknown('reported by node_exporter as node_filesystem_avail_bytes'),
      rotationSeconds: notApplicable('a virtual machine has no pod'),
    };
    machines.set(key, { ...before, ...facts });
  };
  for (const { identity, facts } of here) if (identity.pod === '') add(identity, { cgroup: known(facts) });
  const { texts } = (await configFiles?.read(signal)) ?? { texts: [] };
  for (const { name, text, identities } of texts)
    for (const identity of identities) add(identity, { config: parsedConfig(text, name) });
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
    return unknown('an agent does not list the pods of other nodes (kubernetes.role)');
  // Without a class the check fails whatever the others have: the list would be for nothing.
  if (gitalyPods.every(({ priorityClass }) => priorityClass === ''))
    return unknown('no Gitaly pod has a PriorityClass to compare');
  return kubernetes.otherPods(signal);
}

async function praefectFacts(
  sources: CheckInputSources,
  praefectPods: Known<readonly Pod[]>,
  signal: AbortSignal,
): Promise<Known<PraefectFacts>> {
  const { praefect } = sources;
  if (praefect === undefined && valueOr(praefectPods).length === 0) {
    const pods = whole(praefectPods);
    return 'unknown' in pods && pods.notApplicable !== true
      ? pods
      : notApplicable('there is no Praefect: neither its database nor its pods are watched');
  }
  return known({
    connections: await connectionsOf(sources, praefectPods, signal),
    postgresqlVersion:
      praefect === undefined
        ? unknown("Praefect's database is not configured (praefect.database.url)")
        : present(praefect.postgresqlVersion, "Praefect's database has not responded yet"),
    gitlabVersion: unknown('no Praefect image shows the version'),
    schemaReleases: schemaReleasesOf(praefect),
    instances: present(praefect?.instances, 'the live Praefects are unknown'),
  });
}

function schemaReleasesOf(praefect: PraefectState | undefined): PraefectFacts['schemaReleases'] {
  const releases = releasesOfVariant(praefect?.schemaVariant ?? '');
  return releases === undefined ? unknown("the schema of Praefect's database is unknown") : known(releases);
}

/** Of praefect.config-file, and of the ConfigMaps of all Praefect pods: each installation may have its own. */
async function connectionsOf(
  { praefect, kubernetes }: CheckInputSources,
  praefectPods: Known<readonly Pod[]>,
  signal: AbortSignal,
): Promise<PraefectFacts['connections']> {
  const pods = valueOr(praefectPods);
  const others = whole(praefectPods);
  const unseen = 'unknown' in others && others.notApplicable !== true ? [others] : [];
  const own =
    praefect?.connection?.sslmode === undefined
      ? []
      : [known(connectionOf('praefect.config-file', praefect.connection))];
  if (kubernetes?.configMaps === undefined || pods.length === 0)
    return own.length + unseen.length > 0
      ? [...own, ...unseen]
      : [
          unknown(
            "Praefect's configuration is not read: set praefect.config-file, or grant get on ConfigMaps",
          ),
        ];
  const { componentOf, configMaps } = kubernetes;
  const { configs, failures } = await configsOfPods(pods, 'praefect', componentOf, configMaps, signal);
  const read = configs.map(({ config }) => connectionIn(config.text, configName(config)));
  const covered = new Set(configs.flatMap(({ pods: mounting }) => mounting.map(({ uid }) => uid)));
  const without = pods.filter(({ uid, phase }) => phase === 'Running' && !covered.has(uid));
  const unread =
    failures.length > 0
      ? failures.map(({ message }) => unknown(message))
      : without.map(({ namespace, name }) =>
          unknown(`pod ${namespace}/${name} mounts no ConfigMap with a config.toml`),
        );
  return [...own, ...read, ...unread, ...unseen];
}

function connectionIn(text: string, name: string): Known<PraefectConnection> {
  const parsed = parsePraefectConfig(text, name);
  if (parsed.ok && parsed.value.incomplete !== undefined) return unknown(parsed.value.incomplete);
  if (parsed.ok) return known(connectionOf(name, parsed.value.database));
  return unparsed(name, parsed.problems);
}

const connectionOf = (configuration: string, database: Parameters | undefined): PraefectConnection => ({
  configuration,
  sslMode: database?.sslmode?.value ?? '',
  host: database?.host?.value ?? '',
});
