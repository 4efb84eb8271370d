/** The library comes without types; the benchmark needs no more than this. */
declare module 'parse-prometheus-text-format' {
  export default function parse(text: string): readonly { name: string; metrics: readonly unknown[] }[];
}
