/** The pods of a rendering of the chart. */
import type { Manifest } from './chart.ts';

export interface Container {
  readonly args: readonly string[];
  readonly env: readonly { readonly name: string; readonly value?: string; readonly valueFrom?: unknown }[];
  readonly volumeMounts?: readonly {
    readonly name: string;
    readonly mountPath: string;
    readonly readOnly?: boolean;
  }[];
  readonly securityContext: unknown;
}
export interface PodSpec {
  readonly serviceAccountName: string;
  readonly securityContext: Readonly<Record<string, unknown>>;
  readonly containers: readonly Container[];
  readonly volumes?: readonly {
    readonly name: string;
    readonly hostPath?: { readonly path: string };
    readonly secret?: { readonly secretName: string; readonly items?: readonly Item[] };
    readonly configMap?: { readonly name: string; readonly items?: readonly Item[] };
  }[];
  readonly hostPID?: boolean;
  readonly hostNetwork?: boolean;
  readonly hostIPC?: boolean;
  readonly tolerations?: readonly unknown[];
}
export interface Item {
  readonly key: string;
  readonly path: string;
}
export interface Pod {
  readonly owner: Manifest;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly spec: PodSpec;
}

/** Of Deployments and DaemonSets, and those of `helm test`. */
export function podsOf(objects: readonly Manifest[]): readonly Pod[] {
  return objects.flatMap((owner) => {
    if (owner.kind === 'Pod')
      return [
        {
          owner,
          labels: owner.metadata.labels ?? {},
          annotations: owner.metadata.annotations ?? {},
          spec: owner['spec'] as PodSpec,
        },
      ];
    if (owner.kind !== 'Deployment' && owner.kind !== 'DaemonSet') return [];
    const { template } = owner['spec'] as {
      template: { metadata: Manifest['metadata']; spec: PodSpec };
    };
    const { labels = {}, annotations = {} } = template.metadata;
    return [{ owner, labels, annotations, spec: template.spec }];
  });
}
