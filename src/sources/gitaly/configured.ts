/** Targets and configuration files that the settings name. */
import { isLoopback, type MetricsTarget, type NamedFile } from '../../config/kinds/metrics-target.ts';
import type { Failure } from '../../scheduler/outcome.ts';
import type { Identity } from '../identity.ts';
import type { Component } from './metrics.ts';
import type { Access, ReadText } from './scrape/access.ts';
import { codeOf, failureOf } from './scrape/failures.ts';
import type { Resolve } from './scrape/resolve.ts';
import type { ConfigSource, ConfigText, Target, TargetSource } from './target.ts';

export interface ConfiguredTargets {
  readonly gitaly: readonly MetricsTarget[];
  readonly praefect: readonly MetricsTarget[];
  /** For all of them. */
  readonly access: Access;
  /** What localhost is called, and whose a file without a name is: this host's name. */
  readonly hostName: string;
  readonly resolve: Resolve;
}

/** More of one name are a mistake in DNS, not servers. */
const maxAddresses = 100;

export function configuredTargets({ gitaly, praefect, ...options }: ConfiguredTargets): TargetSource {
  const wanted = [
    ...gitaly.map((target) => ({ component: 'gitaly' as const, target })),
    ...praefect.map((target) => ({ component: 'praefect' as const, target })),
  ];
  return {
    async list(signal) {
      const found = await Promise.all(
        wanted.map(({ component, target }) =>
          target.everyAddress
            ? eachAddress(component, target, options, signal)
            : [oneServer(component, target, options)],
        ),
      );
      const all = found.flat();
      return {
        targets: all.filter((each) => 'url' in each),
        failures: all.filter((each) => 'reason' in each),
      };
    },
  };
}

type Options = Pick<ConfiguredTargets, 'access' | 'hostName' | 'resolve'>;

function oneServer(
  component: Component,
  { name, url }: MetricsTarget,
  { access, hostName }: Options,
): Target {
  const parsed = new URL(url);
  const host = parsed.hostname.replace(/^\[(.*)\]$/, '$1');
  const node = name ?? (isLoopback(parsed.hostname) ? hostName : host);
  return { component, url: parsed, identity: onHost(node), access };
}

async function eachAddress(
  component: Component,
  { url }: MetricsTarget,
  { access, resolve }: Options,
  signal: AbortSignal,
): Promise<readonly (Target | Failure)[]> {
  const parsed = new URL(url);
  const { hostname } = parsed;
  try {
    const addresses = [
      ...new Set((await orAborted(resolve(hostname), signal)).map(({ address }) => address)),
    ];
    if (addresses.length > maxAddresses)
      return [
        {
          reason: 'too_large',
          message: `dns+${hostname} has ${addresses.length} addresses; at most ${maxAddresses} are read`,
        },
      ];
    return addresses
      .sort()
      .map((address) => ({ component, url: parsed, address, identity: onHost(address), access }));
  } catch (error) {
    if (signal.aborted)
      return [{ reason: 'timeout', message: `dns+${hostname}: DNS did not answer in time` }];
    const { reason, message } = failureOf(error);
    return [{ reason, message: `dns+${hostname} ${message}` }];
  }
}

const onHost = (node: string): Identity => Object.freeze({ namespace: '', pod: '', node });

function orAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  const aborted = Promise.withResolvers<never>();
  const abort = (): void => aborted.reject(new Error('aborted'));
  if (signal.aborted) abort();
  signal.addEventListener('abort', abort);
  return Promise.race([promise, aborted.promise]).finally(() => signal.removeEventListener('abort', abort));
}

export interface ConfigFiles {
  readonly files: readonly NamedFile[];
  readonly hostName: string;
  readonly readText: ReadText;
}

export function configFiles({ files, hostName, readText }: ConfigFiles): ConfigSource {
  return {
    async read() {
      const texts: ConfigText[] = [];
      const failures: Failure[] = [];
      for (const { name, file } of files) {
        try {
          texts.push({ name: file, text: await readText(file), identities: [onHost(name ?? hostName)] });
        } catch (error) {
          failures.push(unreadable(file, error));
        }
      }
      return { texts, failures };
    },
  };
}

function unreadable(file: string, error: unknown): Failure {
  const code = codeOf(error);
  const message = `Gitaly's configuration ${file}`;
  if (code === 'ENOENT' || code === 'ENOTDIR')
    return { reason: 'parse', message: `${message} does not exist` };
  return code === 'EACCES' || code === 'EPERM'
    ? { reason: 'permission', message: `${message} may not be read by this user` }
    : { reason: 'parse', message: `${message} cannot be read (${code ?? 'unknown error'})` };
}
