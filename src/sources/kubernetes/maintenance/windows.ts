/** Planned work that Kubernetes tells of: annotated nodes and StatefulSets, and roll-outs. */
import type { Node, StatefulSet } from '../objects/types.ts';
import type { Stores } from '../store.ts';
import { isRollingOut, lastRenewal } from './rollout.ts';
import { maintenanceUntil, untilOf } from './until.ts';

/** As src/maintenance asks for it. */
export interface KubernetesWindows {
  windows(now: number): readonly KubernetesWindow[];
  mistakes(now: number): readonly KubernetesWindowMistake[];
}

export interface KubernetesWindow {
  readonly name: string;
  readonly open: boolean;
  readonly endsAt: number | undefined;
}

export interface KubernetesWindowMistake {
  readonly key: string;
  readonly title: string;
  readonly detail: string;
  readonly action: string;
}

/**
 * What is not current tells of no window, so that it holds no alert.
 *
 * @param rolloutHoldMs for how long a roll-out in which no pod is renewed still counts
 */
export function createKubernetesWindows(stores: Stores, rolloutHoldMs: number): KubernetesWindows {
  /** uid and generation of a roll-out -> when it was first seen. */
  let firstSeen = new Map<string, number>();
  let isFirstLook = true;

  const annotated = (): readonly (Node | StatefulSet)[] => [
    ...(stores.nodes.state().current ? stores.nodes.all() : []),
    ...sets(),
  ];
  const sets = (): readonly StatefulSet[] =>
    stores.statefulSets.state().current ? stores.statefulSets.all() : [];

  function rollouts(now: number): readonly { readonly set: StatefulSet; readonly holdsUntil: number }[] {
    const all = sets();
    if (all.length === 0) return [];
    const seenBefore = firstSeen;
    firstSeen = new Map();
    const found = all.filter(isRollingOut).map((set) => {
      const key = `${set.uid} ${set.generation}`;
      const renewal = lastRenewal(set, stores.pods.all());
      // One that was under way before us began when nobody saw it: then the last renewal alone says how it goes.
      const seen = seenBefore.get(key) ?? (isFirstLook ? (renewal ?? now) : now);
      firstSeen.set(key, seen);
      return { set, holdsUntil: Math.min(now, Math.max(seen, renewal ?? seen)) + rolloutHoldMs };
    });
    isFirstLook = false;
    return found;
  }

  return {
    windows(now) {
      const ongoing = new Map(rollouts(now).map((rollout) => [rollout.set.uid, rollout.holdsUntil]));
      return [
        ...annotated().flatMap((object) => {
          const until = untilOf(object, now);
          if (until?.kind !== 'until') return [];
          return window(`annotation:${object.kind}/${nameOf(object)}`, until.at, now);
        }),
        ...sets().map((set) => window(`rollout:${nameOf(set)}`, ongoing.get(set.uid) ?? 0, now)),
      ];
    },
    mistakes: (now) => [
      ...annotated().flatMap((object) => {
        const until = untilOf(object, now);
        if (until?.kind !== 'mistake') return [];
        const name = `${object.kind} ${nameOf(object)}`;
        return {
          key: `maintenance ${name}`,
          title: `${maintenanceUntil} of ${name} is not understood, so no alert is held`,
          detail: `It says ${JSON.stringify(until.found)}, and ${until.why}.`,
          action: `Set it anew, or take it away: kubectl annotate ${kubectlName(object)} ${maintenanceUntil}-`,
        };
      }),
      ...rollouts(now)
        .filter(({ holdsUntil }) => rolloutHoldMs > 0 && now >= holdsUntil)
        .map(({ set }) => ({
          key: `rollout ${nameOf(set)}`,
          title: `The roll-out of StatefulSet ${nameOf(set)} stands still`,
          detail: `${set.updatedReplicas} of ${set.replicas} pods are of the new template, and none was renewed for ${Math.round(rolloutHoldMs / 60_000)} minutes: it holds no alerts any more.`,
          action: `See why the newest pod is not Ready: kubectl rollout status ${kubectlName(set)}. A broken template is put right by another one and by deleting the pod that hangs on it.`,
        })),
    ],
  };
}

const window = (name: string, until: number, now: number): KubernetesWindow => {
  const open = now < until;
  return { name, open, endsAt: open ? until : undefined };
};

const nameOf = ({ namespace, name }: Node | StatefulSet): string =>
  namespace === '' ? name : `${namespace}/${name}`;

const kubectlName = ({ kind, namespace, name }: Node | StatefulSet): string =>
  namespace === '' ? `${kind.toLowerCase()}/${name}` : `-n ${namespace} ${kind.toLowerCase()}/${name}`;
