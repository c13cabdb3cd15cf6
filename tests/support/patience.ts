/**
 * How long a test waits for what must come about, on a machine that may be starved.
 *
 * @module
 */

/**
 * Before a test fails: what comes about in a second when nothing else runs takes a minute where thirty others want to run
 * on two processors. Who waits for what comes about waits no longer for it.
 */
export const PATIENCE_MS = 150_000;

/** Waits until `holds`, or fails naming what did not come about and what `context` then says. */
export async function eventually(
  what: string,
  holds: () => boolean | Promise<boolean>,
  context: () => string = () => "",
): Promise<void> {
  const end = performance.now() + PATIENCE_MS;
  while (!await holds()) {
    if (performance.now() > end) throw new Error(`It did not come about that ${what}\n${context()}`);
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}
