/** Maintenance windows, which suppress alerts for planned work. */
import { maintenanceWindows } from '../kinds/maintenance-window.ts';
import { optional, type Section } from '../setting.ts';

export const maintenanceSection = {
  title: 'Maintenance',
  settings: {
    maintenance: {
      window: optional(maintenanceWindows(), {
        unset: 'none, except those from Kubernetes',
        help: 'Maintenance windows, each with a name: once (START/END), or recurring (five cron fields, "for" a duration, "in" a time zone). Separate several with semicolons. While one is open, alerts for the effects of planned work are suppressed.',
        example: 'weekly=0 2 * * 6 for 4h in Europe/Berlin',
      }),
    },
  },
} as const satisfies Section;
