/** Inputs with one change. */
import type { GitalyConfig } from '../../../src/config/gitaly/gitaly-config.ts';
import { isUnknown, type Known, known } from '../../../src/lib/known.ts';
import type { CheckInputs, PraefectFacts, ServerFacts } from '../../../src/rules/checks/inputs.ts';
import type { CgroupFacts } from '../../../src/sources/cgroup/facts.ts';
import type { NodeFacts } from '../../../src/sources/cgroup/node-facts.ts';
import type { Container, Node, Pod } from '../../../src/sources/kubernetes/objects/types.ts';

const mapList = <T>(fact: Known<readonly T[]>, change: (each: T, index: number) => T): Known<readonly T[]> =>
  isUnknown(fact) ? fact : known(fact.value.map(change));

export const listOf = <T>(fact: Known<readonly T[]>): readonly T[] => (isUnknown(fact) ? [] : fact.value);

type Change<T> = (before: T, index: number) => Partial<T>;

export const pods =
  (change: Change<Pod>) =>
  (inputs: CheckInputs): CheckInputs => ({
    ...inputs,
    gitalyPods: mapList(inputs.gitalyPods, (pod, i) => ({ ...pod, ...change(pod, i) })),
  });

export const container = (change: Change<Container>) =>
  pods((pod) => ({ containers: pod.containers.map((each, i) => ({ ...each, ...change(each, i) })) }));

export const nodes =
  (change: Change<Node>) =>
  (inputs: CheckInputs): CheckInputs => ({
    ...inputs,
    nodes: mapList(inputs.nodes, (node, i) => ({ ...node, ...change(node, i) })),
  });

export const nodeFacts =
  (change: Partial<NodeFacts>) =>
  (inputs: CheckInputs): CheckInputs => ({
    ...inputs,
    nodeFacts: inputs.nodeFacts.map((facts) => ({ ...facts, ...change })),
  });

export const servers =
  (change: Change<ServerFacts>) =>
  (inputs: CheckInputs): CheckInputs => ({
    ...inputs,
    servers: inputs.servers.map((server, i) => ({ ...server, ...change(server, i) })),
  });

export const cgroup = (change: Partial<CgroupFacts>) =>
  servers(({ cgroup: before }) => ({
    cgroup: isUnknown(before) ? before : known({ ...before.value, ...change }),
  }));

export const config = (change: (before: GitalyConfig) => Partial<GitalyConfig>) =>
  servers(({ config: before }) => ({
    config: isUnknown(before) ? before : known({ ...before.value, ...change(before.value) }),
  }));

export const praefect =
  (change: Partial<PraefectFacts>) =>
  (inputs: CheckInputs): CheckInputs => ({
    ...inputs,
    praefect: isUnknown(inputs.praefect) ? inputs.praefect : known({ ...inputs.praefect.value, ...change }),
  });

export const inputs =
  (change: (before: CheckInputs) => Partial<CheckInputs>) =>
  (before: CheckInputs): CheckInputs => ({ ...before, ...change(before) });
