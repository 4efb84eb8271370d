/** Waits for what real I/O brings about; no sleeping, and a limit that says what did not come. */
export async function until(what: () => boolean | Promise<boolean>, limitMs = 10_000): Promise<void> {
  const end = performance.now() + limitMs;
  while (!(await what())) {
    if (performance.now() > end) throw new Error(`not within ${limitMs} ms: ${what.toString()}`);
    await new Promise((resolve) => setImmediate(resolve));
  }
}
