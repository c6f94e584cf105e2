// What both benchmark pages need.

/** Values that run through the range of normalised pictures. */
export function pattern(shape) {
  const length = Array.from(shape).reduce((product, extent) => product * extent, 1);
  return Float32Array.from({ length }, (_, i) => 2 * Math.sin(i * 0.37));
}

/** The file at `address`. */
export async function bytes(address) {
  return new Uint8Array(await (await fetch(address)).arrayBuffer());
}

/** What `work` gives, and the milliseconds that it took. */
export async function timed(work) {
  const started = performance.now();
  const output = await work();
  return [output, performance.now() - started];
}
