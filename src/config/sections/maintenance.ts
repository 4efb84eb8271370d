/** Maintenance that is planned: when alerts on what it causes are held. */
import { maintenanceWindows } from '../kinds/maintenance-window.ts';
import { optional, type Section } from '../setting.ts';

export const maintenanceSection = {
  title: 'Maintenance',
  settings: {
    maintenance: {
      window: optional(maintenanceWindows(), {
        unset: 'none but those that Kubernetes tells of',
        help: 'When work is planned, each window with a name: once (START/END), or again and again (five cron fields, "for" a duration "in" a time zone). May be repeated; several in one text are parted by semicolons. Alerts on what maintenance brings with it are held meanwhile: gitaly_exporter_maintenance.',
        example: 'weekly=0 2 * * 6 for 4h in Europe/Berlin',
      }),
    },
  },
} as const satisfies Section;
