/** Jest's order, the longest files first; jest knows their durations only after the first run in a clone. */
import Sequencer from '@jest/test-sequencer';

/** Files of more than 15 s on two cores, the longest first. Most of their time they wait. */
const longFiles = [
  'rules/agreement/agreement',
  'demo/signatures',
  'replay/replay',
  'demo/command',
  'alerts/scenarios',
  'e2e/kubernetes',
  'e2e/incidents',
  'demo/invariants',
  'chaos/chaos',
  'sources/praefect/mirror/oracle',
  'e2e/cgroups',
  'e2e/golden',
];

export default class LongFilesFirst extends Sequencer {
  sort(tests) {
    const sorted = super.sort(tests);
    if (sorted.some(({ duration }) => duration !== undefined)) return sorted;
    const rank = ({ path }) => {
      const index = longFiles.findIndex((name) => path.endsWith(`/test/${name}.test.ts`));
      return index < 0 ? longFiles.length : index;
    };
    return sorted.sort((a, b) => rank(a) - rank(b));
  }
}
