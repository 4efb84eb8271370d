/** Maintenance that is planned: when alerts on what it causes are held. */
import { maintenanceWindows } from '../kinds/maintenance-window.ts';
import { optional, type Section } from '../setting.ts';

export const maintenanceSection = {
  title: 'Maintenance',
  settings: {
    maintenance: {
      window: optional(maintenanceWindows(), {
        unset: 'none but those that Kubernetes tells of',
        help: 'When maintenance is planned: NAME=BEGINNING/END, or NAME=CRON for DURATION [in TIME ZONE]; may be repeated, parted by semicolons in the variable. gitaly_exporter_maintenance says which is on.',
        example: 'weekly=0 2 * * 6 for 4h in Europe/Berlin',
      }),
    },
  },
} as const satisfies Section;
