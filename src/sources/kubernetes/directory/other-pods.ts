/**
 * The priorities of all other pods of the cluster, to compare Gitaly's PriorityClass with. Listing every pod is
 * expensive, so it is done rarely and in small pages.
 */

import type { Clock } from '../../../lib/clock.ts';
import { type Known, known, unknown } from '../../../lib/known.ts';
import { getJson, type KubeApi } from '../api/api.ts';
import type { ComponentOf } from '../gitaly-objects.ts';
import { fieldsOf } from '../objects/fields.ts';
import { podOf } from '../objects/pod.ts';
import type { Pod } from '../objects/types.ts';

export type OtherPod = Pick<Pod, 'namespace' | 'name' | 'priority'>;

export type OtherPods = (signal: AbortSignal) => Promise<Known<readonly OtherPod[]>>;

/** A page of 100 pods is about 1 MB, which takes some 10 ms to parse. */
const pageSize = 100;
const maxPages = 500;
/** Only the last page of an honest server has fewer pods than requested. */
const maxSparsePages = 20;
const refreshMs = 1_800_000;
const retryMs = 300_000;

export function createOtherPods(api: KubeApi, componentOf: ComponentOf, clock: Clock): OtherPods {
  let last: { readonly pods: Known<readonly OtherPod[]>; readonly until: number } | undefined;
  return async (signal) => {
    const now = clock.monotonic();
    if (last !== undefined && now < last.until) return last.pods;
    const found = await listAll(api, componentOf, signal);
    // A list that cannot finish in time must not be repeated every minute.
    const pods =
      'unknown' in found && signal.aborted
        ? unknown('listing the pods of all namespaces took longer than one run of the checks may take')
        : found;
    last = { pods, until: now + ('unknown' in pods ? retryMs : refreshMs) };
    return pods;
  };
}

const what = 'the list of all pods';
const forbidden =
  'no right to list pods in all namespaces, to compare their priorities: a ClusterRole has to grant list on pods';

async function listAll(
  api: KubeApi,
  componentOf: ComponentOf,
  signal: AbortSignal,
): Promise<Known<readonly OtherPod[]>> {
  const pods: OtherPod[] = [];
  let next: string | undefined;
  let sparsePages = 0;
  for (let page = 0; page < maxPages; page += 1) {
    const query = { limit: pageSize, continue: next };
    const found = await getJson(api, { path: '/api/v1/pods', query, what, forbidden }, signal);
    if (!found.ok) return unknown(found.failure.message);
    const list = listOf(found.json);
    if (list === undefined) return unknown('the API server returned something else than a list of pods');
    for (const raw of list.items) {
      const pod = podOf(raw);
      if (!pod.ok) return unknown(`the list of all pods has a malformed one: ${pod.why}`);
      if (componentOf(pod.object) !== undefined) continue;
      const { namespace, name, priority, phase } = pod.object;
      // A completed Job takes no capacity, so its priority does not matter.
      if (phase === 'Succeeded' || phase === 'Failed') continue;
      pods.push({ namespace, name, priority });
    }
    if (list.next !== undefined && list.items.length < pageSize / 2) sparsePages += 1;
    if (sparsePages > maxSparsePages)
      return unknown('the API server lists the pods in more and more pages with fewer pods than requested');
    next = list.next;
    if (next === undefined) return known(pods);
  }
  return unknown(`there are more than ${pageSize * maxPages} pods`);
}

function listOf(
  json: unknown,
): { readonly items: readonly unknown[]; readonly next: string | undefined } | undefined {
  const { kind, items, metadata } = fieldsOf(json);
  if (kind !== 'PodList' || !Array.isArray(items)) return undefined;
  const { continue: next } = fieldsOf(metadata);
  return { items, next: typeof next === 'string' && next !== '' ? next : undefined };
}
