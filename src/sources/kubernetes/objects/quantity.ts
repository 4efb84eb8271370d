/** Kubernetes' quantities: `100m`, `1.5`, `10Gi`, `1e3`, `12E`. */

const form = /^([+-]?(?:\d+\.?\d*|\.\d+))(?:[eE]([+-]?\d{1,4})|([KMGTPE]i)|([numkMGTPE]))?$/;

const decimal: Readonly<Record<string, number>> = {
  n: -9,
  u: -6,
  m: -3,
  k: 3,
  M: 6,
  G: 9,
  T: 12,
  P: 15,
  E: 18,
};
const binary: Readonly<Record<string, number>> = { Ki: 10, Mi: 20, Gi: 30, Ti: 40, Pi: 50, Ei: 60 };

/**
 * In units: bytes of memory, cores of CPU. Undefined when it is no quantity. The grammar is that of
 * k8s.io/apimachinery/pkg/api/resource: decimal suffixes, binary suffixes, or an exponent, and `12E` is exa while
 * `12E3` is an exponent.
 */
export function quantityOf(value: unknown): number | undefined {
  if (typeof value === 'number') return Number.isFinite(value) ? value : undefined;
  if (typeof value !== 'string' || value.length > 64) return undefined;
  const found = form.exec(value);
  if (found === null) return undefined;
  const [, digits = '', exponent, binarySuffix, decimalSuffix] = found;
  const number =
    binarySuffix !== undefined
      ? Number(digits) * 2 ** (binary[binarySuffix] ?? Number.NaN)
      : // Written as one number, it is rounded once: 100m is the float nearest to 0.1.
        Number(`${digits}e${exponent ?? (decimalSuffix === undefined ? 0 : decimal[decimalSuffix])}`);
  return Number.isFinite(number) ? number : undefined;
}
