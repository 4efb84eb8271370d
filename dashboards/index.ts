/** All boards. A new one is one file and one line here. */
import type { MonitoringSettings } from '../src/monitoring/settings.ts';
import type { Board } from './board.ts';
import { limitsBoard } from './limits.ts';
import { replicationBoard } from './replication.ts';
import { serversBoard } from './servers.ts';

export const boards = (settings: MonitoringSettings): readonly Board[] => [
  replicationBoard(settings),
  limitsBoard(settings),
  serversBoard(settings),
];
