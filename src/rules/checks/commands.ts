/** Shell lines for fixes, with the subject's names filled in. The exporter never runs them. */
import type { CheckSubject } from './check.ts';

type CommandFor = (subject: CheckSubject) => string;

/** A word of a shell line: plain where it is harmless, else in single quotes, as are placeholders in <>. */
const shellWord = (word: string): string =>
  /^[\w./:=@%+,-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;

const or = (name: string, placeholder: string): string => shellWord(name === '' ? placeholder : name);

const inNamespace = ({ namespace }: CheckSubject): string => `kubectl -n ${or(namespace, '<namespace>')}`;

/** Changes the StatefulSet's pod template, which replaces its pods one after the other. */
export const patchTemplate =
  (template: object): CommandFor =>
  (subject) =>
    `${inNamespace(subject)} patch statefulset ${or(subject.workload, '<statefulset>')} -p ${shellWord(
      JSON.stringify({ spec: { template } }),
    )}`;

export const scaleStatefulSet =
  (replicas: number): CommandFor =>
  (subject) =>
    `${inNamespace(subject)} scale statefulset ${or(subject.workload, '<statefulset>')} --replicas=${replicas}`;

/** Shows a field of the pod, to verify a fix that is made elsewhere. */
export const showPodField =
  (path: string): CommandFor =>
  (subject) =>
    `${inNamespace(subject)} get pod ${or(subject.pod, '<pod>')} -o jsonpath='{${path}}'`;

export const showNodeField =
  (path: string): CommandFor =>
  ({ node }) =>
    `kubectl get node ${or(node, '<node>')} -o jsonpath='{${path}}'`;

/** `arguments_` of kubectl in the subject's namespace; POD and WORKLOAD stand for the subject's names. */
export const kubectl =
  (arguments_: string): CommandFor =>
  (subject) =>
    `${inNamespace(subject)} ${arguments_
      .replaceAll('POD', or(subject.pod, '<pod>'))
      .replaceAll('WORKLOAD', or(subject.workload, '<statefulset>'))}`;
