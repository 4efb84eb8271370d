/**
 * How full Gitaly's volumes are, from each node's kubelet: `/api/v1/nodes/NAME/proxy/stats/summary`, in the format
 * of k8s.io/kubelet/pkg/apis/stats/v1alpha1. It needs the right to get nodes/proxy, hence only with
 * kubernetes.volume-stats.
 */

import type { Clock } from '../../../lib/clock.ts';
import { durationText } from '../../../lib/format.ts';
import { type Known, known, notApplicable, unknown } from '../../../lib/known.ts';
import { fullestOf, type VolumeFacts } from '../../volume-facts.ts';
import { getJson, type KubeApi } from '../api/api.ts';
import { type Fields, fieldsOf, timeOf } from '../objects/fields.ts';
import type { Pod } from '../objects/types.ts';

/** Of one PersistentVolumeClaim. */
interface ClaimStats extends VolumeFacts {
  readonly namespace: string;
  readonly claim: string;
  /** How much older it is than the newest figures of the node, by the node's own clock; undefined without times. */
  readonly ageMs: number | undefined;
}

/**
 * The claims of a summary; undefined when it is not one. Volumes without a claim (ConfigMaps, emptyDir) are
 * skipped, and so are those without numbers: a kubelet omits them while it mounts a volume.
 */
export function claimsIn(summary: unknown): readonly ClaimStats[] | undefined {
  const { node, pods } = fieldsOf(summary);
  if (!Array.isArray(pods)) return undefined;
  const volumes = pods.flatMap((pod: unknown) => {
    const { volume } = fieldsOf(pod);
    return Array.isArray(volume) ? volume.map(fieldsOf) : [];
  });
  const ofNode = ['cpu', 'memory', 'fs'].map((name) => fieldsOf(fieldsOf(node)[name]));
  const newest = [...ofNode, ...volumes].reduce((last, each) => Math.max(last, timeOf(each['time']) ?? 0), 0);
  return volumes.flatMap((volume) => claimOf(volume, newest) ?? []);
}

function claimOf(volume: Fields, newest: number): ClaimStats | undefined {
  const { name: claim, namespace } = fieldsOf(volume['pvcRef']);
  const capacityBytes = amount(volume['capacityBytes']);
  const availableBytes = amount(volume['availableBytes']);
  if (typeof namespace !== 'string' || typeof claim !== 'string') return undefined;
  if (capacityBytes === undefined || availableBytes === undefined) return undefined;
  const at = timeOf(volume['time']);
  const total = amount(volume['inodes']);
  const free = amount(volume['inodesFree']);
  return {
    namespace,
    claim,
    ageMs: at === undefined ? undefined : newest - at,
    capacityBytes,
    availableBytes,
    inodes:
      total === undefined || free === undefined
        ? unknown("the kubelet reports no inodes for this volume's file system")
        : total === 0
          ? notApplicable('this file system allocates inodes on demand')
          : known({ total, free }),
  };
}

/** A number >= 0; above 2^53 the last digits are lost, which does not show in a ratio. */
const amount = (value: unknown): number | undefined =>
  typeof value === 'number' && Number.isFinite(value) && value >= 0 ? value : undefined;

export interface VolumeStats {
  /**
   * Of the fullest of the pod's claims: which of them has the repositories is not known. Unknown while one of them is not
   * reported. Requests each node at most once in five minutes.
   */
  of(pod: Pod, signal: AbortSignal): Promise<Known<VolumeFacts>>;
}

const refreshMs = 300_000;
/** A kubelet reads each volume every minute, and keeps what it read last while the file system does not respond. */
const maxAgeMs = 600_000;

interface NodeRequest {
  /** Monotonic. */
  readonly at: number;
  readonly claims: Promise<Known<readonly ClaimStats[]>>;
}

export function createVolumeStats(api: KubeApi, clock: Clock): VolumeStats {
  const requests = new Map<string, NodeRequest>();

  async function requestClaims(node: string, signal: AbortSignal): Promise<Known<readonly ClaimStats[]>> {
    const found = await getJson(
      api,
      {
        path: `/api/v1/nodes/${encodeURIComponent(node)}/proxy/stats/summary`,
        what: `stats/summary of the kubelet of ${node}`,
        forbidden:
          'no right to get nodes/proxy: grant it (deploy/kubernetes/base/rbac.yaml), or set kubernetes.volume-stats to false',
      },
      signal,
    );
    if (!found.ok) return unknown(found.failure.message);
    const claims = claimsIn(found.json);
    return claims === undefined
      ? unknown(`the kubelet of ${node} returned something else than stats/summary`)
      : known(claims);
  }

  return {
    async of(pod, signal) {
      if (pod.node === '') return unknown('the pod is not scheduled yet');
      if (pod.claims.length === 0)
        return unknown(
          'the pod has no persistent volume claim, and kubelets report no other volumes: monitor the file system of its node (node_filesystem_avail_bytes)',
        );
      const now = clock.monotonic();
      for (const [node, { at }] of requests) if (now - at >= refreshMs) requests.delete(node);
      const request = requests.get(pod.node) ?? { at: now, claims: requestClaims(pod.node, signal) };
      requests.set(pod.node, request);
      const claims = await request.claims;
      if ('unknown' in claims) {
        // The next call tries again.
        requests.delete(pod.node);
        return claims;
      }
      const own = pod.claims.map((name) =>
        claims.value.find((each) => each.claim === name && each.namespace === pod.namespace),
      );
      const missing = pod.claims.filter((_, index) => own[index] === undefined);
      if (missing.length > 0)
        return unknown(`the kubelet of ${pod.node} does not report claim ${missing.join(', ')}`);
      const reported = own.filter((each) => each !== undefined);
      const stale = reported.find(({ ageMs = 0 }) => ageMs > maxAgeMs);
      return stale === undefined
        ? known(fullestOf(reported))
        : unknown(
            `the kubelet of ${pod.node} last read claim ${stale.claim} ${durationText(stale.ageMs ?? 0)} ago: its file system does not respond`,
          );
    },
  };
}
