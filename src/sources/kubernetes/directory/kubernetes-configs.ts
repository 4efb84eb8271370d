/** Gitaly's configuration from the ConfigMaps that its pods mount, for the room that tells of limits. */

import type { Failure } from '../../../scheduler/outcome.ts';
import type { Component } from '../../gitaly/metrics.ts';
import type { ConfigSource, ConfigText } from '../../gitaly/target.ts';
import type { Identity } from '../../identity.ts';
import type { Pod } from '../objects/types.ts';
import type { Store } from '../store.ts';
import type { ComponentOf } from './component.ts';
import type { ConfigMaps, MountedConfig } from './config-maps.ts';
import { podIdentity } from './pod-identity.ts';
import { notCurrent } from './store-failure.ts';

/** A configuration and the pods that it is for. */
export interface PodsConfig {
  readonly config: MountedConfig;
  readonly pods: readonly Pod[];
}

export interface PodsConfigs {
  readonly configs: readonly PodsConfig[];
  readonly failures: readonly Failure[];
}

/** In every namespace, put there by Kubernetes itself. */
const authorities = 'kube-root-ca.crt';

/**
 * The configuration of each pod that is there to stay (has a node, is neither ending nor failed), one of each
 * ConfigMap. A pod that mounts several has the first that holds one.
 */
export async function configsOfPods(
  pods: readonly Pod[],
  component: Component,
  componentOf: ComponentOf,
  configMaps: ConfigMaps,
  signal: AbortSignal,
): Promise<PodsConfigs> {
  const found = new Map<string, { readonly config: MountedConfig; readonly pods: Pod[] }>();
  const failures = new Map<string, Failure>();
  for (const pod of pods) {
    if (componentOf(pod) !== component || !isThere(pod)) continue;
    for (const name of pod.configMaps) {
      if (name === authorities) continue;
      const { config, failure } = await configMaps.read(pod.namespace, name, signal);
      if (failure !== undefined) failures.set(`${pod.namespace}/${name}`, failure);
      if (config === undefined) continue;
      const key = `${config.namespace}/${config.name}`;
      const known = found.get(key) ?? { config, pods: [] };
      known.pods.push(pod);
      found.set(key, known);
      break;
    }
  }
  return { configs: [...found.values()], failures: [...failures.values()] };
}

const isThere = ({ node, deletion, phase }: Pod): boolean =>
  node !== '' && deletion === undefined && phase !== 'Failed' && phase !== 'Succeeded';

/** `ConfigMap gitlab/gl-gitaly, config.toml.tpl` */
export const configName = ({ namespace, name, key }: MountedConfig): string =>
  `ConfigMap ${namespace}/${name}, ${key}`;

export interface KubernetesConfigs {
  readonly pods: Store<Pod>;
  readonly componentOf: ComponentOf;
  readonly configMaps: ConfigMaps;
}

export function kubernetesConfigs({ pods, componentOf, configMaps }: KubernetesConfigs): ConfigSource {
  return {
    async read(signal) {
      const failure = notCurrent(pods, 'pods');
      if (failure !== undefined) return { texts: [], failures: [failure] };
      const { configs, failures } = await configsOfPods(
        pods.all(),
        'gitaly',
        componentOf,
        configMaps,
        signal,
      );
      const texts = configs.map(
        ({ config, pods: mounting }): ConfigText => ({
          name: configName(config),
          text: config.text,
          identities: mounting.map((pod): Identity => podIdentity(pod)),
        }),
      );
      return { texts, failures };
    },
  };
}
