/** How full a volume with repositories is: of a claim, or of a file system of a virtual machine. */
import type { Known } from '../lib/known.ts';

export interface VolumeFacts {
  readonly capacityBytes: number;
  readonly availableBytes: number;
  /** Not applicable on file systems that allocate inodes on demand. */
  readonly inodes: Known<{ readonly total: number; readonly free: number }>;
}

/** Space of the volume with the least of it, and inodes of the one with the fewest. @param volumes at least one */
export function fullestOf(volumes: readonly VolumeFacts[]): VolumeFacts {
  const leastOf = (free: (volume: VolumeFacts) => number): VolumeFacts =>
    volumes.reduce((least, each) => (free(each) < free(least) ? each : least));
  const inodesFree = ({ inodes }: VolumeFacts): number =>
    'unknown' in inodes ? (inodes.notApplicable ? 1 : 0) : inodes.value.free / inodes.value.total;
  // A size of 0 makes no sense, which the check reports, unless another volume is full.
  const { availableBytes, capacityBytes } = leastOf((each) =>
    each.capacityBytes > 0 ? each.availableBytes / each.capacityBytes : Number.EPSILON,
  );
  return { availableBytes, capacityBytes, inodes: leastOf(inodesFree).inodes };
}
