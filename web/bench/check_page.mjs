// In the page of check_gpu.mjs: what a network says on the CPU, on the GPU by each variant, and in wonnx.

import initCpu, { EngineBench } from './relaxed/bench.js';
import initGpu, { BenchDevice } from './gpu/bench_gpu.js';
import { bytes, pattern } from './common.mjs';

/** `{ adapter, compared: [{ what, difference }] }` of one network, whose files are `name`.onnx and `name`-float.onnx. */
window.compare = async ({ name, inWonnx }) => {
  await initCpu();
  await initGpu();
  const device = await BenchDevice.open();
  const compared = [];
  const integers = await bytes(`${name}.onnx`);
  const cpu = new EngineBench(integers, undefined);
  const input = pattern(cpu.input_shape);
  const wanted = cpu.run(input);
  for (const variant of device.variants()) {
    const session = await device.load(integers, variant);
    compared.push({ what: `integers, ${variant}`, difference: difference(wanted, await session.run(input)) });
  }
  if (inWonnx) {
    const floats = await bytes(`${name}-float.onnx`);
    const session = await device.load_wonnx(floats);
    compared.push({ what: 'wonnx, floats', difference: difference(new EngineBench(floats, undefined).run(input), await session.run(input)) });
  }
  return { adapter: device.adapter, compared };
};

/** Largest difference, relative above 1; infinite if one is no number. */
function difference(wanted, found) {
  if (wanted.length !== found.length) return Infinity;
  return wanted.reduce((largest, value, at) => {
    const one = Math.abs(value - found[at]) / Math.max(1, Math.abs(value));
    return Number.isFinite(one) ? Math.max(largest, one) : Infinity;
  }, 0);
}

window.ready = true;
