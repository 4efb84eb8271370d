/** Parses a file that kubectl wrote: a List, a PodList or single objects, in JSON or YAML. Pure. */
import { parseAllDocuments } from 'yaml';
import type { FailureReason } from '../../../scheduler/outcome.ts';
import type { KnownPod } from '../../server-info.ts';
import { chartComponentOf } from '../gitaly-objects.ts';
import { nodeOf } from '../objects/kinds.ts';
import { podOf } from '../objects/pod.ts';
import type { Node } from '../objects/types.ts';
import { summarizePod } from './pod-list.ts';

type PodsFileText =
  | { readonly ok: true; readonly pods: readonly KnownPod[]; readonly skipped: readonly string[] }
  | { readonly ok: false; readonly reason: FailureReason; readonly why: string };

/** 16 MiB of JSON are about a thousand pods, parsed in a tenth of a second; YAML takes twenty times as long. */
const maxJsonBytes = 16 * 1024 ** 2;
const maxYamlBytes = 1024 ** 2;
const maxObjects = 5000;

/**
 * Gitaly's pods in the text. If it has nodes too (`kubectl get pods,nodes`), the pods get the versions of runtime
 * and kernel. `skipped`: why pods or nodes were rejected, one entry for each.
 */
export function parsePodsFile(text: string): PodsFileText {
  const objects = objectsIn(text);
  if ('why' in objects) return { ok: false, ...objects };
  const skipped: string[] = [];
  const nodes = new Map<string, Node>();
  for (const raw of objects.found) {
    if (kindOf(raw) !== 'Node') continue;
    const node = nodeOf(raw);
    if (node.ok) nodes.set(node.object.name, node.object);
    else skipped.push(`a Node: ${node.why}`);
  }
  const pods: KnownPod[] = [];
  let others = 0;
  for (const raw of objects.found) {
    if (kindOf(raw) !== 'Pod') continue;
    const pod = podOf(raw);
    if (!pod.ok) skipped.push(`a Pod: ${pod.why}`);
    else if (chartComponentOf(pod.object) === 'gitaly')
      pods.push(summarizePod(pod.object, nodes.get(pod.object.node)));
    else others += 1;
  }
  if (pods.length === 0 && others > 0)
    return {
      ok: false,
      reason: 'parse',
      why: `it lists ${others} pods, but none has a container named gitaly or the label app=gitaly`,
    };
  if (pods.length === 0 && objects.found.length > 0 && nodes.size === 0 && skipped.length === 0)
    return { ok: false, reason: 'parse', why: 'none of its objects is a Pod' };
  return { ok: true, pods, skipped };
}

type Objects =
  | { readonly found: readonly unknown[] }
  | { readonly reason: FailureReason; readonly why: string };

function objectsIn(text: string): Objects {
  const trimmed = text.trimStart();
  const isJson = trimmed.startsWith('{') || trimmed.startsWith('[');
  if (trimmed === '') return rejected('it is empty');
  if (text.length > (isJson ? maxJsonBytes : maxYamlBytes))
    return {
      reason: 'too_large',
      why: isJson
        ? `it is larger than ${maxJsonBytes / 1024 ** 2} MiB; list Gitaly's pods only (-l app=gitaly)`
        : `it is YAML larger than ${maxYamlBytes / 1024 ** 2} MiB; write it as JSON (-o json), and Gitaly's pods only (-l app=gitaly)`,
    };
  const documents = isJson ? jsonDocument(text) : yamlDocuments(text);
  if ('why' in documents) return documents;
  const found = documents.found.flatMap(objectsOfDocument);
  if (found.length > maxObjects)
    return { reason: 'too_large', why: `it lists ${found.length} objects, more than ${maxObjects}` };
  return found.every(isObject) ? { found } : rejected('it is neither a list of pods nor a pod');
}

function jsonDocument(text: string): Objects {
  try {
    return { found: [JSON.parse(text)] };
  } catch {
    return rejected('it is incomplete or invalid JSON (perhaps read while it was being written)');
  }
}

function yamlDocuments(text: string): Objects {
  const parsed = parseAllDocuments(text, { logLevel: 'silent' });
  const documents = Array.isArray(parsed) ? parsed : [];
  const [error] = documents.flatMap(({ errors }) => errors);
  if (error !== undefined)
    return rejected(`it is neither JSON nor YAML (line ${error.linePos?.[0].line ?? 1}: ${error.code})`);
  try {
    return { found: documents.map((each): unknown => each.toJS()).filter((each) => each !== null) };
  } catch {
    // The parser limits how far aliases expand.
    return rejected('its YAML aliases expand without bound');
  }
}

/** A List of any kind, a bare array, or one object. */
function objectsOfDocument(document: unknown): readonly unknown[] {
  if (Array.isArray(document)) return document;
  if (!isObject(document) || !('items' in document)) return [document];
  const { items } = document;
  const kind = kindOf(document).replace(/List$/, '');
  // Items of a PodList as the API sends it have no kind of their own; those of kubectl do.
  return !Array.isArray(items)
    ? [document]
    : items.map((item: unknown) =>
        isObject(item) && kindOf(item) === '' && kind !== '' ? { ...item, kind } : item,
      );
}

const rejected = (why: string) => ({ reason: 'parse' as const, why });

const isObject = (value: unknown): value is object =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const kindOf = (value: unknown): string =>
  isObject(value) && 'kind' in value && typeof value.kind === 'string' ? value.kind : '';
