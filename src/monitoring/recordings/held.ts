/** Recordings from Praefect's database that keep their last value while no exporter reads it. */
import { minute, type Thresholds } from '../../rules/thresholds.ts';
import type { collectorNames } from '../../sources/praefect/collector-names.ts';
import { promDuration } from '../durations.ts';
import { clusterLabels } from '../labels.ts';
import {
  and,
  equals,
  lastOverTime,
  maxOverTime,
  or,
  recordedSelector,
  unless,
  type Vector,
} from '../promql/index.ts';
import { type Recording, recorded, recording } from '../recording.ts';
import { collectorSuccessRecording } from './exporter.ts';

type CollectorName = (typeof collectorNames)['repositories' | 'health' | 'database' | 'queue' | 'tables'];

const isRead = (collector: CollectorName) => equals(recorded(collectorSuccessRecording, { collector }), 1);

/** A restart of Prometheus is shorter. */
const ownLookback = promDuration(10 * minute);

/**
 * Records a value; while the collector fails or no exporter is scraped, its own last value, for up to staleHold. The
 * series of a source that cannot be read are absent, and a critical alert on them must not resolve by that. Its own value
 * and not those of the exporters: one that was replaced within that time reported older ones.
 *
 * @param worthHolding selects the values that are held; default: all
 */
export const heldRecording = <const By extends string>(
  name: string,
  by: readonly By[],
  collector: CollectorName,
  current: (thresholds: Thresholds) => Vector<By>,
  worthHolding: (last: Vector<By>) => Vector<By> = (last) => last,
): Recording<By> =>
  recording(name, by, (thresholds) => {
    const on = { on: clusterLabels };
    const wasRead = equals(
      maxOverTime(
        recorded(collectorSuccessRecording, { collector }),
        promDuration(thresholds.staleHold.value),
      ),
      1,
    );
    const now: Vector<string> = current(thresholds);
    const last: Vector<string> = worthHolding(lastOverTime(recordedSelector(name, by, []), ownLookback));
    return or(now, and(unless(last, isRead(collector), on), wasRead, on));
  });
