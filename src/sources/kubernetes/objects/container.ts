/** Containers: what the pod's spec asks for and what its status says, as one. */

import { quantityOf } from './quantity.ts';
import { count, type Fields, fields, flag, integer, Malformed, members, name, text } from './reading.ts';
import { timeOf } from './time.ts';
import type { Container, ContainerState, Ended, Probe, Resources } from './types.ts';

/** Spec and status of each container, by name. */
export function containersOf(specs: unknown, statuses: unknown): readonly Container[] {
  const byName = new Map(members(statuses).map((each) => [fields(each)['name'], fields(each)]));
  return members(specs).map((each) => containerOf(fields(each), byName.get(fields(each)['name'])));
}

function containerOf(spec: Fields, status: Fields = {}): Container {
  const named = name(spec['name'], 'the name of a container');
  return {
    name: named,
    image: text(spec['image'], 1024),
    resources: resourcesOf(spec['resources']),
    env: envOf(spec['env']),
    ports: portsOf(spec['ports']),
    startupProbe: probeOf(spec['startupProbe']),
    readinessProbe: probeOf(spec['readinessProbe']),
    livenessProbe: probeOf(spec['livenessProbe']),
    sidecar: spec['restartPolicy'] === 'Always',
    id: text(status['containerID'], 256),
    ready: flag(status['ready'], `ready of container ${named}`),
    started: flag(status['started'], `started of container ${named}`),
    restartCount: count(status['restartCount'], `restartCount of container ${named}`),
    state: stateOf(status['state']),
    last: endedOf(fields(status['lastState'])['terminated']),
  };
}

/** requests and limits of memory (bytes) and CPU (cores); what is not set or not readable is absent. */
export function resourcesOf(raw: unknown): Resources {
  const { requests, limits } = fields(raw);
  const memoryRequest = quantityOf(fields(requests)['memory']);
  const memoryLimit = quantityOf(fields(limits)['memory']);
  const cpuRequest = quantityOf(fields(requests)['cpu']);
  const cpuLimit = quantityOf(fields(limits)['cpu']);
  return {
    ...(memoryRequest === undefined ? {} : { memoryRequest }),
    ...(memoryLimit === undefined ? {} : { memoryLimit }),
    ...(cpuRequest === undefined ? {} : { cpuRequest }),
    ...(cpuLimit === undefined ? {} : { cpuLimit }),
  };
}

const wantedVariables: ReadonlySet<unknown> = new Set(['GOMEMLIMIT']);

function envOf(raw: unknown): Container['env'] {
  const kept = members(raw, 2048).flatMap((each) => {
    const { name: key, value } = fields(each);
    return typeof key === 'string' && wantedVariables.has(key) && typeof value === 'string'
      ? [[key, text(value)] as const]
      : [];
  });
  return Object.fromEntries(kept);
}

function portsOf(raw: unknown): Container['ports'] {
  const named = members(raw).flatMap((each) => {
    const { name: key, containerPort } = fields(each);
    const port = integer(containerPort);
    return typeof key === 'string' && key !== '' && port !== undefined ? [[text(key), port] as const] : [];
  });
  return Object.fromEntries(named);
}

/** The API server fills in what a manifest leaves out, and itself leaves out zeros. */
function probeOf(raw: unknown): Probe | undefined {
  if (raw === undefined || raw === null) return undefined;
  const probe = fields(raw);
  const seconds = (key: keyof Probe): number => count(probe[key], `${key} of a probe`);
  return {
    initialDelaySeconds: seconds('initialDelaySeconds'),
    periodSeconds: seconds('periodSeconds'),
    timeoutSeconds: seconds('timeoutSeconds'),
    successThreshold: seconds('successThreshold'),
    failureThreshold: seconds('failureThreshold'),
  };
}

function stateOf(raw: unknown): ContainerState {
  const { waiting, running, terminated } = fields(raw);
  const ended = endedOf(terminated);
  if (ended !== undefined) return { kind: 'terminated', ...ended };
  if (isThere(running)) return { kind: 'running', startedAt: timeOf(fields(running)['startedAt']) };
  if (isThere(waiting)) return { kind: 'waiting', reason: text(fields(waiting)['reason'], 256) };
  return { kind: 'unknown' };
}

function endedOf(raw: unknown): Ended | undefined {
  if (!isThere(raw)) return undefined;
  const { reason, exitCode, startedAt, finishedAt } = fields(raw);
  return {
    reason: text(reason, 256),
    exitCode: exitCodeOf(exitCode),
    startedAt: timeOf(startedAt),
    finishedAt: timeOf(finishedAt),
  };
}

/** 0 would say that it ended well. */
function exitCodeOf(value: unknown): number {
  const code = integer(value);
  if (code === undefined) throw new Malformed('the exit code of a container is not a number');
  return code;
}

const isThere = (value: unknown): boolean => typeof value === 'object' && value !== null;
