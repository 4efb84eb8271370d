/** Where generated dashboards go in Grafana, and what they read. */
import { listOf } from '../kinds/lists.ts';
import { text } from '../kinds/scalars.ts';
import { optional, type Section, setting } from '../setting.ts';

export const dashboardsSection = {
  title: 'Dashboards',
  settings: {
    dashboards: {
      folder: setting(text('<folder>'), {
        default: 'Gitaly',
        help: "Grafana's folder for the dashboards, in dashboards/provisioning.yaml and in an annotation of the ConfigMaps: the JSON of a dashboard cannot name it.",
      }),
      tag: optional(listOf(text('<tag>'), 'list of tags'), {
        unset: 'none',
        help: 'Tag of every dashboard in Grafana, in addition to gitaly-exporter, by which their menu finds them.',
        example: 'git-storage',
      }),
      datasource: optional(text('<uid>'), {
        unset: "Grafana's default Prometheus",
        help: 'uid of the data source that the dashboards select at first. Their variable offers the others.',
        example: 'prometheus-production',
      }),
    },
  },
} as const satisfies Section;
