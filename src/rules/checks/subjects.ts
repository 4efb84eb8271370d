/** Who is judged: Gitaly's pods, its servers on virtual machines too, the nodes below, the StatefulSets above. */

import { isUnknown, type Known, known, unknown } from '../../lib/known.ts';
import type { NodeFacts } from '../../sources/cgroup/facts.ts';
import type { Container, Node, Pod, StatefulSet } from '../../sources/kubernetes/objects/types.ts';
import { cannotTell, type Judged, type Subject, type Verdict, wholeCluster } from './check.ts';
import { type CheckInputs, nodeNotKnown, type ServerFacts, serverNotKnown } from './inputs.ts';
import { imageVersion } from './version.ts';

const none = unknown("no pod of Gitaly's is there: does kubernetes.gitaly-selector fit its labels?");
const notTold = unknown('nothing of it was read but what the API says');
const noAgent = unknown('it stands in files of the node, and no exporter there told of it: run the agent');

/** Each of Gitaly's pods that runs or is to run, with what else is known of it. */
export function perGitalyPod(
  inputs: CheckInputs,
  verdict: (pod: Pod, facts: ServerFacts) => Verdict,
): readonly Judged[] {
  const { gitalyPods } = inputs;
  if (isUnknown(gitalyPods)) return [{ subject: wholeCluster, ...cannotTell(gitalyPods) }];
  const pods = gitalyPods.value.filter(isLive);
  if (pods.length === 0) return [{ subject: wholeCluster, ...cannotTell(none) }];
  const facts = new Map(inputs.servers.map((server) => [keyOf(server.identity), server]));
  return pods.map((pod) => {
    const own = { namespace: pod.namespace, pod: pod.name, node: pod.node };
    const judged = verdict(pod, facts.get(keyOf(own)) ?? serverNotKnown(own, notTold));
    return { ...judged, subject: subjectOf(pod), version: imageVersion(gitalyContainer(pod)?.image ?? '') };
  });
}

/** Each Gitaly, on Kubernetes or not. `pod` is undefined on a virtual machine. */
export function perServer(
  inputs: CheckInputs,
  verdict: (facts: ServerFacts, pod: Pod | undefined) => Verdict,
): readonly Judged[] {
  const machines = inputs.servers.filter(({ identity }) => identity.pod === '');
  const onMachines = machines.map((server) => ({
    subject: { namespace: '', pod: '', node: server.identity.node, workload: '' },
    ...verdict(server, undefined),
  }));
  const noKubernetes = isUnknown(inputs.gitalyPods) && inputs.gitalyPods.notApplicable === true;
  return onMachines.length > 0 && noKubernetes
    ? onMachines
    : [...onMachines, ...perGitalyPod(inputs, (pod, facts) => verdict(facts, pod))];
}

/** The node of each of Gitaly's pods, as the API tells of it. */
export function perNode(
  inputs: CheckInputs,
  verdict: (node: Known<Node>, facts: NodeFacts) => Verdict,
): readonly Judged[] {
  return perGitalyPod(inputs, (pod) => {
    if (pod.node === '') return cannotTell('the pod is on no node yet');
    const facts = inputs.nodeFacts.find(({ node }) => node === pod.node) ?? nodeNotKnown(pod.node, noAgent);
    return verdict(nodeOf(inputs.nodes, pod.node), facts);
  });
}

function nodeOf(nodes: CheckInputs['nodes'], name: string): Known<Node> {
  if (isUnknown(nodes)) return nodes;
  const node = nodes.value.find((each) => each.name === name);
  return node === undefined ? unknown(`the API shows no node ${name}`) : known(node);
}

/** The pods of one StatefulSet, and itself as far as it is known. */
export interface Workload {
  readonly pods: readonly Pod[];
  readonly set: Known<StatefulSet>;
}

/** @param lists of pods; workloads of one that is not known are unknown as one */
export function perWorkload(
  inputs: CheckInputs,
  lists: readonly Known<readonly Pod[]>[],
  verdict: (workload: Workload) => Verdict,
): readonly Judged[] {
  return lists.flatMap((pods) => {
    if (isUnknown(pods)) return [{ subject: wholeCluster, ...cannotTell(pods) }];
    const groups = Map.groupBy(pods.value.filter(isLive), ({ namespace, name, owner }) =>
      JSON.stringify([namespace, owner?.name ?? name]),
    );
    return [...groups.values()].map((members) => ({
      subject: workloadOf(members),
      ...verdict({ pods: members, set: setOf(inputs.statefulSets, members) }),
    }));
  });
}

const workloadOf = ([first]: readonly Pod[]): Subject =>
  first === undefined
    ? wholeCluster
    : { namespace: first.namespace, pod: '', node: '', workload: first.owner?.name ?? first.name };

function setOf(sets: CheckInputs['statefulSets'], [first]: readonly Pod[]): Known<StatefulSet> {
  if (isUnknown(sets)) return sets;
  const set = sets.value.find(
    ({ namespace, name }) => namespace === first?.namespace && name === first.owner?.name,
  );
  return set === undefined ? unknown('the pods belong to no StatefulSet that the API shows') : known(set);
}

/** Gitaly's own container, as the chart names it; else the only one. */
export function gitalyContainer(pod: Pod): Container | undefined {
  const named = pod.containers.find(({ name }) => name === 'gitaly');
  return named ?? (pod.containers.length === 1 ? pod.containers[0] : undefined);
}

/** One that failed or was evicted is history, and its successor has its name. */
const isLive = ({ phase }: Pod): boolean => phase !== 'Failed' && phase !== 'Succeeded';

const subjectOf = (pod: Pod): Subject => ({
  namespace: pod.namespace,
  pod: pod.name,
  node: pod.node,
  workload: pod.owner?.name ?? '',
});

const keyOf = ({ namespace, pod }: { readonly namespace: string; readonly pod: string }): string =>
  JSON.stringify([namespace, pod]);
