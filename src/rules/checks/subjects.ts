/** What is checked: Gitaly's pods and servers on virtual machines, their nodes, their StatefulSets. */

import { isUnknown, type Known, known, unknown } from '../../lib/known.ts';
import type { NodeFacts } from '../../sources/cgroup/node-facts.ts';
import { mainContainer } from '../../sources/kubernetes/gitaly-objects.ts';
import type { Node, Pod, StatefulSet } from '../../sources/kubernetes/objects/types.ts';
import {
  type CheckSubject,
  type CheckVerdict,
  type SubjectCheck,
  type SubjectVerdict,
  undecided,
  wholeCluster,
} from './check.ts';
import { type CheckInputs, type ServerFacts, unknownNode, unknownServer } from './inputs.ts';
import { imageVersion, type Version } from './version.ts';

const noPods = unknown('no Gitaly pod found: check that kubernetes.gitaly-selector matches their labels');
const apiOnly = unknown('only the Kubernetes API was read for this pod');
const noAgent = unknown(
  "read from the node's files, and no exporter on that node reported them: run the agent there",
);

type PodVerdict = (pod: Pod, facts: ServerFacts, inputs: CheckInputs) => CheckVerdict;

/** Each Gitaly pod that runs or is about to, with what else is known of it. */
export const perGitalyPod = (verdict: PodVerdict): SubjectCheck => ({
  scope: 'pod',
  run: (inputs) => podVerdicts(inputs, verdict),
});

function podVerdicts(inputs: CheckInputs, verdict: PodVerdict): readonly SubjectVerdict[] {
  const { gitalyPods } = inputs;
  if (isUnknown(gitalyPods)) return [{ subject: wholeCluster, ...undecided(gitalyPods) }];
  const pods = gitalyPods.value.filter(isLive);
  const unread = unreadPods(gitalyPods);
  if (pods.length === 0)
    return unread.length > 0 ? unread : [{ subject: wholeCluster, ...undecided(noPods) }];
  const facts = new Map(inputs.servers.map((server) => [keyOf(server.identity), server]));
  const judged = pods.map((pod) => {
    const own = { namespace: pod.namespace, pod: pod.name, node: pod.node };
    const result = verdict(pod, facts.get(keyOf(own)) ?? unknownServer(own, apiOnly), inputs);
    return { ...result, subject: subjectOf(pod), version: gitlabVersionOf(pod) };
  });
  return [...judged, ...unread];
}

/** Pods that exist in a form that cannot be read pass nothing. */
const unreadPods = (pods: Known<readonly Pod[]>): readonly SubjectVerdict[] =>
  isUnknown(pods) || pods.incomplete === undefined
    ? []
    : [{ subject: wholeCluster, ...undecided(pods.incomplete) }];

/** Each Gitaly, on Kubernetes or not. `pod` is undefined on a virtual machine. */
export const perServer = (
  verdict: (facts: ServerFacts, pod: Pod | undefined, inputs: CheckInputs) => CheckVerdict,
): SubjectCheck => ({
  scope: 'pod',
  run(inputs) {
    const machines = inputs.servers.filter(({ identity }) => identity.pod === '');
    const onMachines = machines.map((server) => ({
      subject: { namespace: '', pod: '', node: server.identity.node, workload: '' },
      ...verdict(server, undefined, inputs),
    }));
    const noKubernetes = isUnknown(inputs.gitalyPods) && inputs.gitalyPods.notApplicable === true;
    return onMachines.length > 0 && noKubernetes
      ? onMachines
      : [...onMachines, ...podVerdicts(inputs, (pod, facts) => verdict(facts, pod, inputs))];
  },
});

/** The node of each Gitaly pod, as the API and its own files report it. */
export const perNode = (
  verdict: (node: Known<Node>, facts: NodeFacts, server: ServerFacts) => CheckVerdict,
): SubjectCheck => ({
  scope: 'node',
  run: (inputs) =>
    podVerdicts(inputs, ({ node }, server) =>
      node === ''
        ? undecided('the pod is not scheduled to a node yet')
        : verdict(nodeOf(inputs.nodes, node), factsOfNode(inputs, node), server),
    ),
});

export const factsOfNode = ({ nodeFacts }: CheckInputs, name: string): NodeFacts =>
  nodeFacts.find(({ node }) => node === name) ?? unknownNode(name, noAgent);

function nodeOf(nodes: CheckInputs['nodes'], name: string): Known<Node> {
  if (isUnknown(nodes)) return nodes;
  const node = nodes.value.find((each) => each.name === name);
  if (node !== undefined) return known(node);
  return unknown(nodes.incomplete ?? `the API reports no node ${name}`);
}

/** The pods of one StatefulSet, and the StatefulSet itself where it is known. */
export interface GitalyWorkload {
  readonly pods: readonly Pod[];
  readonly set: Known<StatefulSet>;
}

/**
 * The workloads of all pods of the lists. Those of a list that is unknown are one unknown subject, and so is a list of
 * Gitaly's pods without any.
 */
export const perWorkload = (
  lists: readonly ('gitalyPods' | 'praefectPods')[],
  verdict: (workload: GitalyWorkload, inputs: CheckInputs) => CheckVerdict,
): SubjectCheck => ({
  scope: 'workload',
  run: (inputs) =>
    lists.flatMap((list) => {
      const pods = inputs[list];
      if (isUnknown(pods)) return [{ subject: wholeCluster, ...undecided(pods) }];
      const live = pods.value.filter(isLive);
      const unread = unreadPods(pods);
      if (live.length === 0 && unread.length === 0 && list === 'gitalyPods')
        return [{ subject: wholeCluster, ...undecided(noPods) }];
      const groups = Map.groupBy(live, ({ namespace, name, owner }) =>
        JSON.stringify([namespace, owner?.name ?? name]),
      );
      const judged = [...groups.values()].map((members) => ({
        subject: workloadOf(members),
        ...verdict({ pods: members, set: setOf(inputs.statefulSets, members) }, inputs),
      }));
      return [...judged, ...unread];
    }),
});

const workloadOf = ([first]: readonly Pod[]): CheckSubject =>
  first === undefined
    ? wholeCluster
    : { namespace: first.namespace, pod: '', node: '', workload: first.owner?.name ?? first.name };

function setOf(sets: CheckInputs['statefulSets'], [first]: readonly Pod[]): Known<StatefulSet> {
  if (isUnknown(sets)) return sets;
  const set = sets.value.find(
    ({ namespace, name }) => namespace === first?.namespace && name === first.owner?.name,
  );
  if (set !== undefined) return known(set);
  return unknown(sets.incomplete ?? 'the pods belong to no StatefulSet that the API reports');
}

/** The version of GitLab that a Gitaly pod runs, where its image shows it. */
export const gitlabVersionOf = (pod: Pod): Version | undefined =>
  imageVersion(mainContainer(pod)?.image ?? '');

/** A failed or evicted pod stays listed next to its replacement, which has the same name. */
const isLive = ({ phase }: Pod): boolean => phase !== 'Failed' && phase !== 'Succeeded';

const subjectOf = (pod: Pod): CheckSubject => ({
  namespace: pod.namespace,
  pod: pod.name,
  node: pod.node,
  workload: pod.owner?.name ?? '',
});

const keyOf = ({ namespace, pod }: { readonly namespace: string; readonly pod: string }): string =>
  JSON.stringify([namespace, pod]);
