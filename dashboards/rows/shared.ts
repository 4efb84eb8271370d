/** What several rows say in the same way. */
import { subtract, time, type Vector } from '../../src/monitoring/promql/index.ts';

/** The age of a timestamp. */
export const age = <Labels extends string>(timestamp: Vector<Labels>): Vector<Labels> =>
  subtract(time(), timestamp);

/** The legend of a series per storage. */
export const perStorage = '{{virtual_storage}} / {{storage}}';
