/**
 * Waits until a condition of real I/O holds, with a pause that leaves the processor to what it waits for; at the limit
 * the error names the condition.
 */
export async function until(what: () => boolean | Promise<boolean>, limitMs = 10_000): Promise<void> {
  const end = performance.now() + limitMs;
  while (!(await what())) {
    if (performance.now() > end) throw new Error(`not within ${limitMs} ms: ${what.toString()}`);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}
