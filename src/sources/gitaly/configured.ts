/** Targets and configuration files that the settings name. */
import { isLoopback, type MetricsTarget, type NamedFile } from '../../config/kinds/metrics-target.ts';
import { unlessAborted } from '../../lib/abort.ts';
import { isForbidden, type ReadText, whyUnreadable } from '../../lib/files.ts';
import { connectionFailure } from '../../lib/http/failure.ts';
import type { Failure } from '../../scheduler/outcome.ts';
import type { Component, Identity } from '../identity.ts';
import type { Resolve } from './resolve.ts';
import type { ConfigSource, ConfigText, ScrapeTarget, TargetAccess, TargetSource } from './target.ts';

interface ConfiguredTargets {
  readonly gitaly: readonly MetricsTarget[];
  readonly praefect: readonly MetricsTarget[];
  /** For all of them. */
  readonly access: TargetAccess;
  /** The name of this host, and so of its loopback targets. */
  readonly hostName: string;
  readonly resolve: Resolve;
}

/** A name with more of them is a mistake in DNS, not that many servers. */
const maxAddresses = 100;

export function configuredTargets({ gitaly, praefect, ...options }: ConfiguredTargets): TargetSource {
  const configured = [
    ...gitaly.map((target) => ({ component: 'gitaly' as const, target })),
    ...praefect.map((target) => ({ component: 'praefect' as const, target })),
  ];
  return {
    async list(signal) {
      const found = await Promise.all(
        configured.map(({ component, target }) =>
          target.everyAddress
            ? targetPerAddress(component, target, options, signal)
            : [targetOf(component, target, options)],
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

type TargetOptions = Pick<ConfiguredTargets, 'access' | 'hostName' | 'resolve'>;

function targetOf(
  component: Component,
  { name, url }: MetricsTarget,
  { access, hostName }: TargetOptions,
): ScrapeTarget {
  const parsed = new URL(url);
  const host = parsed.hostname.replace(/^\[(.*)\]$/, '$1');
  const node = name ?? (isLoopback(parsed.hostname) ? hostName : host);
  return { component, url: parsed, identity: hostIdentity(node), access };
}

async function targetPerAddress(
  component: Component,
  { url }: MetricsTarget,
  { access, resolve }: TargetOptions,
  signal: AbortSignal,
): Promise<readonly (ScrapeTarget | Failure)[]> {
  const parsed = new URL(url);
  const { hostname } = parsed;
  try {
    const found = await unlessAborted(resolve(hostname), signal);
    if (found === undefined)
      return [{ reason: 'timeout', message: `dns+${hostname}: DNS did not respond in time` }];
    const addresses = [...new Set(found.map(({ address }) => address))].sort();
    if (addresses.length > maxAddresses)
      return [
        {
          reason: 'too_large',
          message: `dns+${hostname} has ${addresses.length} addresses; at most ${maxAddresses} are read`,
        },
      ];
    return addresses.map((address) => ({
      component,
      url: parsed,
      address,
      identity: hostIdentity(address),
      access,
    }));
  } catch (error) {
    const { reason, message } = connectionFailure(error);
    return [{ reason, message: `dns+${hostname} ${message}` }];
  }
}

const hostIdentity = (node: string): Identity => Object.freeze({ namespace: '', pod: '', node });

interface ConfigFiles {
  readonly files: readonly NamedFile[];
  /** The server of a file without a name: this host's. */
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
          const identities = [hostIdentity(name ?? hostName)];
          texts.push({ name: file, text: await readText(file), identities });
        } catch (error) {
          failures.push(unreadable(file, error));
        }
      }
      return { texts, failures };
    },
  };
}

const unreadable = (file: string, error: unknown): Failure => ({
  reason: isForbidden(error) ? 'permission' : 'parse',
  message: `Gitaly's configuration ${file} ${whyUnreadable(error)}`,
});
