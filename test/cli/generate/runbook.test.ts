import { describe, expect, test } from '@jest/globals';
import { alertGroups } from '../../../alerts/index.ts';
import { withFacts } from '../../../src/cli/generate/runbook.ts';
import { defaultMonitoringSettings } from '../../../src/monitoring/settings.ts';

const groups = alertGroups(defaultMonitoringSettings);
const stuck = groups.flatMap(({ alerts }) => alerts).filter(({ name }) => name === 'PraefectReplicaStuck');
const inhibitions = groups.flatMap((group) => group.inhibitions);

const page = `# PraefectReplicaStuck

Above.

<!-- What the rule says; written by \`gitaly-exporter generate\` -->
old
<!-- end -->

Below.
`;

describe('the facts of a runbook', () => {
  const renewed = withFacts(page, stuck, inhibitions);

  test('stand between the markers, and the rest of the page stays', () => {
    expect(renewed).toBe(`# PraefectReplicaStuck

Above.

<!-- What the rule says; written by \`gitaly-exporter generate\` -->

- **warning** when replicas on a healthy storage have been behind for over 15 minutes without getting any further, and 5 minutes more. The rule's \`for\` is 6m15s, which takes in missed scrapes.
- Silenced by [PraefectDatabaseUnreachable](PraefectDatabaseUnreachable.md), [PraefectQuorumLost](PraefectQuorumLost.md), [PraefectReplicationStalled](PraefectReplicationStalled.md).

<!-- end -->

Below.
`);
  });

  test('are the same when they are renewed again', () => {
    expect(withFacts(renewed, stuck, inhibitions)).toBe(renewed);
  });

  test.each(['no markers', page.replace('<!-- end -->', ''), page + page])(
    'a page without its markers is refused',
    (text) => {
      expect(() => withFacts(text, stuck, inhibitions)).toThrow(
        /the runbook of PraefectReplicaStuck needs the lines/,
      );
    },
  );
});
