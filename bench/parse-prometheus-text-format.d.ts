/** The library has no types; the benchmark needs no more than these. */
declare module 'parse-prometheus-text-format' {
  export default function parse(text: string): readonly { name: string; metrics: readonly unknown[] }[];
}
