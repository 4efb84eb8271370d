import { expect, test } from '@jest/globals';
import { gitalyProblems } from '../../../src/rules/problems/gitaly.ts';
import type { TargetRead } from '../../../src/sources/gitaly/view.ts';
import { anonymousAccess } from '../../sources/gitaly/support.ts';
import { problemSituation } from '../../support/problem-situation.ts';

const unread = (node: string, message: string): TargetRead => ({
  target: {
    component: 'gitaly',
    url: new URL(`http://${node}:9236/metrics`),
    identity: { namespace: '', pod: '', node },
    access: anonymousAccess,
  },
  failure: { reason: 'refused', message },
  responds: false,
  seconds: 0,
});

test('targets that were never read are one problem, with the cause of each', () => {
  const reads = [
    unread('gitaly-1', 'refuses connections'),
    unread('gitaly-2', 'requires a password'),
    unread('gitaly-3', 'refuses connections'),
  ];
  const view = { reads, excluded: [], servers: [], episodes: [], recentDrops: [] };
  expect(gitalyProblems(problemSituation(view, 0))).toMatchObject([
    {
      id: 'target_unreadable',
      title: 'Metrics of Gitaly gitaly-1, gitaly-2, gitaly-3 cannot be read',
      detail:
        'gitaly-1, gitaly-3: refuses connections; gitaly-2 requires a password. The use of its limits is unknown.',
    },
  ]);
});
