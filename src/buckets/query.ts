/** The question in a request to /api/v1/buckets/{n}: text that anybody may have written. */

export interface BucketQuery {
  readonly bucket: number;
  readonly storage: string | undefined;
  /** A pod's or a node's name: the labels of gitaly_server_bucket_*. */
  readonly server: string | undefined;
  readonly count: number | undefined;
  readonly maxCgroupsPerRepo: number | undefined;
  readonly limit: number;
}

export type QueryReading =
  | { readonly ok: true; readonly value: BucketQuery }
  | { readonly ok: false; readonly problem: string };

const defaultLimit = 100;
const mostListed = 1000;
const longestName = 255;
const parameters = ['storage', 'pod', 'node', 'count', 'max_cgroups_per_repo', 'limit'];

/** `17` or `repos-17`, and the parameters. One that is not known is refused: a slip must not widen the question. */
export function readQuery(bucket: string, query: Readonly<Record<string, string>>): QueryReading {
  const wrong = (problem: string): QueryReading => ({ ok: false, problem });
  const unknown = Object.keys(query).find((name) => !parameters.includes(name));
  if (unknown !== undefined) return wrong(`there is no such parameter; they are ${parameters.join(', ')}`);
  const number = wholeNumber(bucket.replace(/^repos-/, ''), 0);
  if (number === undefined) return wrong('a bucket is a number, 17 of repos-17');
  const count = wholeNumber(query['count'], 1);
  if (count === undefined && query['count'] !== undefined) return wrong('count is a whole number from 1 on');
  const each = wholeNumber(query['max_cgroups_per_repo'], 1);
  if (each === undefined && query['max_cgroups_per_repo'] !== undefined)
    return wrong('max_cgroups_per_repo is a whole number from 1 on');
  const limit = wholeNumber(query['limit'] ?? String(defaultLimit), 1);
  if (limit === undefined || limit > mostListed)
    return wrong(`limit is a whole number from 1 to ${mostListed}`);
  const storage = query['storage'];
  const server = query['pod'] || query['node'];
  if ([storage, server].some((name) => name !== undefined && name.length > longestName))
    return wrong(`names have at most ${longestName} characters`);
  if (storage === '') return wrong('storage is empty');
  return {
    ok: true,
    value: {
      bucket: number,
      storage,
      server: server === '' ? undefined : server,
      count,
      maxCgroupsPerRepo: each,
      limit,
    },
  };
}

function wholeNumber(text: string | undefined, least: number): number | undefined {
  if (text === undefined || !/^\d{1,15}$/.test(text)) return undefined;
  const number = Number(text);
  return number >= least ? number : undefined;
}
