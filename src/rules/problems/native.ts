/** Says when Praefect's own count of unavailable repositories stays another than ours: one of the two is wrong. Pure. */
import type { Difference } from '../../sources/gitaly/native-comparison.ts';
import { nativeRepositoriesUnavailable } from '../../sources/gitaly/native-metrics.ts';
import { repositoriesUnavailable } from '../../sources/praefect/mirror/metrics.ts';
import type { Problem } from './praefect.ts';
import type { Reading } from './reading.ts';

export interface NativeSituation {
  readonly reading: Reading;
  readonly differences: readonly Difference[];
}

/** Between one read and our own look things may happen; twice in a row is no accident. */
const readsThatCount = 2;

/** A difference that is there no more, or of which one side is absent, is none. */
export function nativeProblems({ reading, differences }: NativeSituation): readonly Problem[] {
  return differences.flatMap(({ virtualStorage, reads, since }): Problem[] => {
    const labels = { virtual_storage: virtualStorage };
    const native = reading.value(nativeRepositoriesUnavailable, labels);
    const ours = reading.value(repositoriesUnavailable, labels);
    if (reads < readsThatCount || native === undefined || ours === undefined || native === ours) return [];
    return [
      {
        key: `native ${virtualStorage}`,
        severity: 'warning',
        title: `Praefect counts ${native} unavailable repositories in ${virtualStorage}, the exporter ${ours}`,
        detail: `The two have differed at ${reads} reads of Praefect's /db_metrics in a row. Until it is known why, believe the higher number.`,
        action:
          "Check that praefect.database.url is the database of that Praefect, and not a replica that lags behind. If it is the same database, it is a bug of the exporter: please report it, with both numbers and Praefect's version.",
        since: since / 1000,
      },
    ];
  });
}
