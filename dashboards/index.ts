/** All boards. A new one is one file and one line here. */
import type { AlertSettings } from '../alerts/settings.ts';
import type { Board } from './board.ts';
import { limitsBoard } from './limits.ts';
import { replicationBoard } from './replication.ts';
import { serversBoard } from './servers.ts';

export const boards = (settings: AlertSettings): readonly Board[] => [
  replicationBoard(settings),
  limitsBoard(settings),
  serversBoard(settings),
];
