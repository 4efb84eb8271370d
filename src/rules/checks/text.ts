/** Amounts as people read them, and names as a shell takes them. */

const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'] as const;

/** `1.9 GiB`, `200 MiB`, `0 B`: three digits at most before the unit's next step. */
export function bytesText(bytes: number): string {
  let amount = bytes;
  let unit = 0;
  while (Math.abs(amount) >= 1024 && unit < units.length - 1) {
    amount /= 1024;
    unit += 1;
  }
  const rounded =
    Math.abs(amount) >= 100 || Number.isInteger(amount) ? Math.round(amount) : roundedTo(amount, 2);
  return `${rounded} ${units[unit]}`;
}

const roundedTo = (amount: number, digits: number): number => Number(amount.toFixed(digits));

export const secondsText = (seconds: number): string => `${roundedTo(seconds, 1)} s`;

/** 0.153 is `15.3 %`. */
export const percentText = (share: number): string => `${roundedTo(share * 100, 1)} %`;

/** A word of a shell's line: plain where it is harmless, else in single quotes. Placeholders in <> get quotes, too. */
export const shellWord = (word: string): string =>
  /^[\w./:=@%+,-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;

/** At most five, so that a large cluster stays readable. */
export function listText(names: readonly string[]): string {
  const more = names.length - 5;
  return `${names.slice(0, 5).join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
}
