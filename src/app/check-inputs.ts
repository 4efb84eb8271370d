/** Takes together what the posture's checks are run on: from the watch, ConfigMaps, files, cgroups and Praefect. */
import { type GitalyConfig, parseGitalyConfig } from '../config/gitaly/gitaly-config.ts';
import { templateToml } from '../config/gitaly/template.ts';
import { parsePraefectConfig } from '../config/praefect/praefect-config.ts';
import { problemText } from '../config/problem.ts';
import type { Clock } from '../lib/clock.ts';
import { type Known, known, notApplicable, present, unknown } from '../lib/known.ts';
import type { CheckInputs, PraefectConnection, PraefectFacts, ServerFacts } from '../rules/checks/inputs.ts';
import { unknownNode, unknownServer } from '../rules/checks/inputs.ts';
import type { CgroupFactsReader, CgroupServer, NodeFacts } from '../sources/cgroup/facts.ts';
import type { ConfigSource } from '../sources/gitaly/target.ts';
import type { Component } from '../sources/identity.ts';
import { type Identity, identityKey } from '../sources/identity.ts';
import type { ConfigMaps } from '../sources/kubernetes/directory/config-maps.ts';
import { configName, configsOfPods } from '../sources/kubernetes/directory/config-maps.ts';
import type { OtherPods } from '../sources/kubernetes/directory/other-pods.ts';
import type { VolumeStats } from '../sources/kubernetes/directory/volume-stats.ts';
import { type ComponentOf, podIdentity } from '../sources/kubernetes/gitaly-objects.ts';
import type { Pod } from '../sources/kubernetes/objects/types.ts';
import { notCurrent, type Store, type Stores, type WatchedResource } from '../sources/kubernetes/store.ts';
import { releasesOfVariant } from '../sources/praefect/variant.ts';

/** Each part that this exporter does not have is undefined, and what rests on it is then not known. */
export interface CheckSources {
  readonly clock: Clock;
  /** Undefined: no Kubernetes is watched. */
  readonly stores: Stores | undefined;
  /** An agent's watch: pods of other nodes are not in the stores. */
  readonly ownNodeOnly?: boolean;
  readonly componentOf: ComponentOf;
  /** Undefined: without kubernetes.scrape, or on an agent, which has no right to read them. */
  readonly configMaps: ConfigMaps | undefined;
  /** gitaly.config-file, of virtual machines. */
  readonly configFiles: ConfigSource | undefined;
  /** Undefined: only some namespaces are watched, so the priorities of the others are not known. */
  readonly otherPods: OtherPods | undefined;
  /** Undefined: without kubernetes.volume-stats. */
  readonly volumes: VolumeStats | undefined;
  /** Undefined: without cgroup.enabled. */
  readonly cgroups: CgroupFactsReader | undefined;
  /** Seconds from deletion to Ready at the last rotation that was seen whole. */
  readonly rotationSeconds: ((identity: Identity) => number | undefined) | undefined;
  readonly praefect: PraefectKnown | undefined;
  /** checks.client-retry-window */
  readonly clientRetrySeconds?: number | undefined;
}

/** What Praefect's database and files tell. */
export interface PraefectKnown {
  /** server_version, as connected. */
  readonly postgresqlVersion: () => string | undefined;
  /** `schema_variant` of the database's metrics; undefined while it is unknown. */
  readonly schemaVariant?: () => string | undefined;
  /** Of praefect.config-file. */
  readonly sslMode: string | undefined;
  /** [database] host of praefect.config-file. */
  readonly databaseHost?: string | undefined;
  /** Living Praefects by the database; undefined while that is not known. */
  readonly instances: () => number | undefined;
}

const noKubernetes = notApplicable('Kubernetes is not watched (kubernetes.enabled)');

/** Never rejects: what could not be read is unknown, with its reason. */
export async function readCheckInputs(sources: CheckSources, signal: AbortSignal): Promise<CheckInputs> {
  const { clock, stores } = sources;
  const here = await sources.cgroups?.read(signal);
  const cgroups = here?.servers ?? [];
  const gitalyPods = gitalyPodsOf(sources, cgroups);
  const praefectPods = podsOf(sources, 'praefect');
  const [onKubernetes, onMachines, otherPods, praefect] = await Promise.all([
    serversOfPods(sources, valueOr(gitalyPods), cgroups, signal),
    serversOfMachines(sources, cgroups, signal),
    othersOf(sources, valueOr(gitalyPods), signal),
    praefectOf(sources, valueOr(praefectPods), signal),
  ]);
  return {
    now: clock.now(),
    gitalyPods,
    praefectPods,
    statefulSets: heldBy(stores?.statefulSets, 'statefulsets'),
    disruptionBudgets: heldBy(stores?.disruptionBudgets, 'poddisruptionbudgets'),
    nodes: heldBy(stores?.nodes, 'nodes'),
    otherPods,
    servers: [...onKubernetes, ...onMachines],
    nodeFacts: nodesOf(here?.node, valueOr(gitalyPods)),
    clientRetrySeconds: present(
      sources.clientRetrySeconds,
      "how long GitLab's Rails and Sidekiq try again stands in their own configuration, which is not read: set checks.client-retry-window",
    ),
    praefect,
  };
}

function heldBy<T>(store: Store<T> | undefined, resource: WatchedResource): Known<readonly T[]> {
  if (store === undefined) return noKubernetes;
  const failure = notCurrent(store, resource);
  return failure === undefined ? known(store.all()) : unknown(failure.message);
}

function podsOf({ stores, componentOf }: CheckSources, component: Component): Known<readonly Pod[]> {
  const pods = heldBy(stores?.pods, 'pods');
  return 'unknown' in pods ? pods : known(pods.value.filter((pod) => componentOf(pod) === component));
}

function gitalyPodsOf(sources: CheckSources, here: readonly CgroupServer[]): Known<readonly Pod[]> {
  const pods = podsOf(sources, 'gitaly');
  if (sources.stores === undefined && here.some(({ identity }) => identity.pod !== '')) return apiNotAsked;
  if ('unknown' in pods || sources.ownNodeOnly !== true || pods.value.length > 0) return pods;
  return notApplicable("no pod of Gitaly's is on this node");
}

/** The recommendations are for them all the same. */
const apiNotAsked = unknown(
  "Gitaly's pods were found by their cgroups alone; what they are judged by stands in the Kubernetes API: set kubernetes.enabled",
);

const valueOr = <T>(fact: Known<readonly T[]>): readonly T[] => ('unknown' in fact ? [] : fact.value);

async function serversOfPods(
  sources: CheckSources,
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
        volume: (await sources.volumes?.of(pod, signal)) ?? volumesOff,
        rotationSeconds: rotationOf(sources, identity),
      };
    }),
  );
}

const volumesOff = unknown(
  'the kubelets are not asked: set kubernetes.volume-stats, and grant nodes/proxy; Prometheus has it as kubelet_volume_stats_available_bytes, too',
);

const noCgroup = ({ cgroups }: CheckSources): string =>
  cgroups === undefined
    ? "it stands in files of the pod's node: the agent there tells of it"
    : "no cgroups of this pod were found on this host: the agent of the pod's own node tells of it";

function rotationOf({ rotationSeconds }: CheckSources, identity: Identity): Known<number> {
  const seconds = rotationSeconds?.(identity);
  return seconds === undefined ? unknown('no rotation of this pod was seen whole yet') : known(seconds);
}

/** Of each pod its configuration, or why it is not known. */
async function podConfigs(
  { configMaps, componentOf }: CheckSources,
  pods: readonly Pod[],
  signal: AbortSignal,
): Promise<(pod: Pod) => Known<GitalyConfig>> {
  if (configMaps === undefined)
    return () => unknown('ConfigMaps are not read here (kubernetes.scrape, and not by an agent)');
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
  if (parsed.ok) return known(parsed.value);
  const [first] = parsed.problems;
  return unknown(first === undefined ? `${name} is not understood` : problemText(first));
}

/** Gitalys on virtual machines, of which a configuration file or cgroups are known. */
async function serversOfMachines(
  { configFiles }: CheckSources,
  here: readonly CgroupServer[],
  signal: AbortSignal,
): Promise<readonly ServerFacts[]> {
  const machines = new Map<string, ServerFacts>();
  const noPod = notApplicable('a virtual machine has no pod');
  const add = (identity: Identity, facts: Partial<ServerFacts>): void => {
    const key = identityKey(identity);
    const before = machines.get(key) ?? {
      ...unknownServer(identity, unknown('it is not read here')),
      config: unknown('gitaly.config-file names no configuration of this host'),
      volume: unknown("the host's own metrics have it: node_filesystem_avail_bytes"),
      rotationSeconds: noPod,
    };
    machines.set(key, { ...before, ...facts });
  };
  for (const { identity, facts } of here) if (identity.pod === '') add(identity, { cgroup: known(facts) });
  const { texts } = (await configFiles?.read(signal)) ?? { texts: [] };
  for (const { name, text, identities } of texts)
    for (const identity of identities) add(identity, { config: parsedConfig(text, name) });
  return [...machines.values()];
}

/** This host's from its own files; of the others only that their agents know, and that the API may tell of swap. */
function nodesOf(own: NodeFacts | undefined, gitalyPods: readonly Pod[]): readonly NodeFacts[] {
  const agent = unknown('it stands in files of the node: the agent there tells of it');
  const others = new Set(
    gitalyPods.map(({ node }) => node).filter((node) => node !== '' && node !== own?.node),
  );
  return [
    ...(own === undefined ? [] : [own]),
    ...[...others].map((node) => ({
      ...unknownNode(node, agent),
      swapBytes: notApplicable('its kubelet may tell'),
    })),
  ];
}

async function othersOf(
  { otherPods, stores }: CheckSources,
  gitalyPods: readonly Pod[],
  signal: AbortSignal,
): Promise<CheckInputs['otherPods']> {
  if (stores === undefined) return noKubernetes;
  if (otherPods === undefined)
    return unknown(
      'only some namespaces are watched (kubernetes.namespace): what priority the pods of others have is not known',
    );
  // Without a class the answer is known, and the list would be for nothing.
  if (gitalyPods.every(({ priorityClass }) => priorityClass === ''))
    return unknown("no pod of Gitaly's has a PriorityClass to compare");
  return otherPods(signal);
}

async function praefectOf(
  sources: CheckSources,
  praefectPods: readonly Pod[],
  signal: AbortSignal,
): Promise<Known<PraefectFacts>> {
  const { praefect } = sources;
  if (praefect === undefined && praefectPods.length === 0)
    return notApplicable('there is no Praefect: neither its database nor pods of its own are watched');
  return known({
    connections: await connectionsOf(sources, praefectPods, signal),
    postgresqlVersion:
      praefect === undefined
        ? unknown("Praefect's database is not watched (praefect.database.url)")
        : present(praefect.postgresqlVersion(), "Praefect's database did not respond yet"),
    gitlabVersion: unknown("no image of a Praefect pod shows GitLab's version"),
    schemaReleases: schemaReleasesOf(praefect),
    instances: present(praefect?.instances(), 'which Praefects are alive is not known'),
  });
}

function schemaReleasesOf(praefect: PraefectKnown | undefined): PraefectFacts['schemaReleases'] {
  const releases = releasesOfVariant(praefect?.schemaVariant?.() ?? '');
  return releases === undefined ? unknown("the schema of Praefect's database is unknown") : known(releases);
}

/** Of praefect.config-file, and of the ConfigMaps of all Praefect pods: each installation may have its own. */
async function connectionsOf(
  { praefect, configMaps, componentOf }: CheckSources,
  pods: readonly Pod[],
  signal: AbortSignal,
): Promise<PraefectFacts['connections']> {
  const own =
    praefect?.sslMode === undefined
      ? []
      : [
          known({
            configuration: 'praefect.config-file',
            sslMode: praefect.sslMode,
            host: praefect.databaseHost ?? '',
          }),
        ];
  if (configMaps === undefined || pods.length === 0)
    return own.length > 0
      ? own
      : [
          unknown(
            "Praefect's configuration is not read: set praefect.config-file, or grant the right to get ConfigMaps",
          ),
        ];
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
  return [...own, ...read, ...unread];
}

function connectionIn(text: string, name: string): Known<PraefectConnection> {
  const parsed = parsePraefectConfig(templateToml(text), name);
  if (parsed.ok) {
    const { sslmode, host } = parsed.value.database ?? {};
    return known({ configuration: name, sslMode: sslmode?.value ?? '', host: host?.value ?? '' });
  }
  const [problem] = parsed.problems;
  return unknown(problem === undefined ? `${name} could not be parsed` : problemText(problem));
}
