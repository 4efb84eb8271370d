/** ConfigMaps: of Gitaly's and Praefect's own, the configuration. */
import { metaOf } from './meta.ts';
import { fields, objectOf, type Parsed, parsed } from './reading.ts';
import type { ConfigMap } from './types.ts';

const wanted = ['config.toml.tpl', 'config.toml'] as const;
const mostLength = 1024 * 1024;

/** core/v1 ConfigMap. A configuration that is too long is absent: half of one would be another one. */
export const configMapOf = (raw: unknown): Parsed<ConfigMap> =>
  parsed(() => {
    const object = objectOf(raw, 'ConfigMap');
    const data = fields(object['data']);
    const kept = wanted.flatMap((key) => {
      const value = data[key];
      return typeof value === 'string' && value.length <= mostLength ? [[key, value] as const] : [];
    });
    return { kind: 'ConfigMap', ...metaOf(object), data: Object.fromEntries(kept) };
  });
