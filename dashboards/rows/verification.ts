/** How far the verifier has come. */
import { storageLabels } from '../../src/monitoring/labels.ts';
import { replicationDashboard } from '../../src/monitoring/links.ts';
import { maxBy, minBy, oneOf } from '../../src/monitoring/promql/index.ts';
import type { MonitoringSettings } from '../../src/monitoring/settings.ts';
import { verificationOldest, verificationReplicas } from '../../src/sources/praefect/mirror/verification.ts';
import type { Row } from '../board.ts';
import { timeseries } from '../kit.ts';
import { gaugeOnBoard } from '../variables.ts';
import { age, perStorage } from './shared.ts';

const { panels: ids, rows } = replicationDashboard;

export const verification = ({ thresholds }: MonitoringSettings): Row => ({
  id: rows.verification,
  title: 'Verification',
  panels: [
    timeseries({
      id: ids.verification,
      title: 'Replicas that are not verified',
      tells: 'Where the verifier has not been, is late, or stopped in between. GitLab 14.10 and later.',
      unit: 'short',
      queries: [
        {
          expression: maxBy(
            [...storageLabels, 'state'],
            gaugeOnBoard(verificationReplicas, { state: oneOf('unverified', 'overdue', 'lease_expired') }),
          ),
          legend: `${perStorage} {{state}}`,
        },
      ],
      width: 12,
    }),
    timeseries({
      id: ids.verificationOldest,
      title: 'Oldest verification',
      tells: 'Time since the replica that waits longest was verified.',
      unit: 's',
      queries: [
        { expression: age(minBy(storageLabels, gaugeOnBoard(verificationOldest))), legend: perStorage },
      ],
      limit: thresholds.verificationOverdue.value,
      width: 12,
    }),
  ],
});
