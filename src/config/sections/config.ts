/** The configuration file. */
import { filePath } from '../kinds/scalars.ts';
import { optional, type Section } from '../setting.ts';

export const configSection = {
  title: 'Configuration',
  settings: {
    config: {
      file: optional(filePath(), {
        unset: 'none',
        inFile: false,
        help: 'YAML file with settings; the dots of a flag are its nesting. Flags take precedence over variables, variables over the file.',
        example: '/etc/gitaly-exporter/config.yml',
      }),
    },
  },
} as const satisfies Section;
