/** GET /api/v1/buckets/{n}: which repositories share a bucket. */
import { listingJson } from '../buckets/listing.ts';
import type { BucketLookup, BucketLookupFailure, BucketLookupRequest } from '../buckets/lookup.ts';
import { type ApiRoute, errorResponse } from './api.ts';

const defaultLimit = 100;
const maxLimit = 1000;
const maxNameLength = 255;
const parameters = ['storage', 'pod', 'node', 'count', 'max_cgroups_per_repo', 'limit'];

const statusOf: Readonly<Record<BucketLookupFailure['reason'], number>> = {
  invalid: 400,
  not_found: 404,
  unavailable: 503,
};

export function bucketRoute(lookup: BucketLookup): ApiRoute {
  return {
    path: 'buckets/:bucket',
    async handle({ params, query }) {
      const request = requestOf(params['bucket'] ?? '', query);
      if (!request.ok) return errorResponse(400, request.problem);
      const result = await lookup.list(request.value);
      return result.ok
        ? { json: listingJson(result.listing) }
        : errorResponse(statusOf[result.reason], result.problem);
    },
  };
}

type ParsedRequest =
  | { readonly ok: true; readonly value: BucketLookupRequest }
  | { readonly ok: false; readonly problem: string };

/**
 * From untrusted text: `17` or `repos-17`, and the parameters. Unknown parameters are rejected, because a typo must not
 * widen the lookup.
 */
function requestOf(bucketText: string, query: Readonly<Record<string, string>>): ParsedRequest {
  const invalid = (problem: string): ParsedRequest => ({ ok: false, problem });
  const unknown = Object.keys(query).find((name) => !parameters.includes(name));
  if (unknown !== undefined) return invalid(`unknown parameter; expected ${parameters.join(', ')}`);
  const bucket = integerOf(bucketText.replace(/^repos-/, ''), 0);
  if (bucket === undefined) return invalid('the bucket must be a number, such as 17 for repos-17');
  const count = integerOf(query['count'], 1);
  if (count === undefined && query['count'] !== undefined)
    return invalid('count must be an integer of at least 1');
  const maxCgroupsPerRepo = integerOf(query['max_cgroups_per_repo'], 1);
  if (maxCgroupsPerRepo === undefined && query['max_cgroups_per_repo'] !== undefined)
    return invalid('max_cgroups_per_repo must be an integer of at least 1');
  const limit = integerOf(query['limit'] ?? String(defaultLimit), 1);
  if (limit === undefined || limit > maxLimit)
    return invalid(`limit must be an integer from 1 to ${maxLimit}`);
  const storage = query['storage'];
  const server = query['pod'] || query['node'];
  if ([storage, server].some((name) => name !== undefined && name.length > maxNameLength))
    return invalid(`names must have at most ${maxNameLength} characters`);
  if (storage === '') return invalid('storage is empty');
  return {
    ok: true,
    value: { bucket, storage, server: server === '' ? undefined : server, count, maxCgroupsPerRepo, limit },
  };
}

function integerOf(text: string | undefined, minimum: number): number | undefined {
  if (text === undefined || !/^\d{1,15}$/.test(text)) return undefined;
  const number = Number(text);
  return number >= minimum ? number : undefined;
}
