/** Lines for a shell, with the real names filled in. Nothing here runs them. */
import type { Subject } from './check.ts';
import { shellWord } from './text.ts';

const or = (name: string, placeholder: string): string => shellWord(name === '' ? placeholder : name);

const inNamespace = ({ namespace }: Subject): string => `kubectl -n ${or(namespace, '<namespace>')}`;

/** A change of the StatefulSet's pod template: its pods are replaced one after the other. */
export const patchTemplate =
  (template: object) =>
  (subject: Subject): string =>
    `${inNamespace(subject)} patch statefulset ${or(subject.workload, '<statefulset>')} -p ${shellWord(
      JSON.stringify({ spec: { template } }),
    )}`;

export const scale =
  (replicas: number) =>
  (subject: Subject): string =>
    `${inNamespace(subject)} scale statefulset ${or(subject.workload, '<statefulset>')} --replicas=${replicas}`;

/** For what is mended elsewhere: how to see that it is. */
export const lookAtPod =
  (path: string) =>
  (subject: Subject): string =>
    `${inNamespace(subject)} get pod ${or(subject.pod, '<pod>')} -o jsonpath='{${path}}'`;

export const lookAtNode =
  (path: string) =>
  ({ node }: Subject): string =>
    `kubectl get node ${or(node, '<node>')} -o jsonpath='{${path}}'`;

export const inPod =
  (rest: string) =>
  (subject: Subject): string =>
    `${inNamespace(subject)} ${rest.replaceAll('POD', or(subject.pod, '<pod>')).replaceAll('WORKLOAD', or(subject.workload, '<statefulset>'))}`;
