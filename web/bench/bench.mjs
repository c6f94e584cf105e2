// Times the engine and onnxruntime-web in one page and one thread, turn by turn: whatever slows the machine down
// meets both. Served and called by run.mjs.

import * as ort from '/peer/ort.wasm.min.mjs';
import init, { EngineBench } from '/engine/bench.js';

ort.env.wasm.wasmPaths = '/peer/';
ort.env.wasm.numThreads = 1;

const WARM_UPS = 10;

/** Times of `runs` runs each, in milliseconds, and how far the outputs are apart. */
window.bench = async ({ runs }) => {
  await init();
  const onnx = new Uint8Array(await (await fetch('/model.onnx')).arrayBuffer());

  const engine = new EngineBench(onnx);
  const shape = Array.from(engine.input_shape);
  const length = shape.reduce((product, extent) => product * extent, 1);
  const input = Float32Array.from({ length }, (_, i) => Math.sin(i * 0.37));
  const session = await ort.InferenceSession.create(onnx, { executionProviders: ['wasm'] });
  const tensor = new ort.Tensor('float32', input, shape);

  const ours = async () => engine.run(input);
  const peer = async () => {
    const outputs = await session.run({ [session.inputNames[0]]: tensor });
    return outputs[session.outputNames[0]].data;
  };

  const [ourTimes, peerTimes] = [[], []];
  let difference = 0;
  for (let run = -WARM_UPS; run < runs; run++) {
    const [ourOutput, ourTime] = await timed(ours);
    const [peerOutput, peerTime] = await timed(peer);
    if (ourOutput.length !== peerOutput.length) throw new Error('the outputs have different lengths');
    ourOutput.forEach((value, i) => (difference = Math.max(difference, Math.abs(value - peerOutput[i]))));
    if (run < 0) continue;
    ourTimes.push(ourTime);
    peerTimes.push(peerTime);
  }
  if (!Number.isFinite(difference)) throw new Error('an output is not finite');
  return {
    shape,
    warm_ups: WARM_UPS,
    times: { ours: ourTimes, peer: peerTimes },
    max_abs_difference: difference,
    peer_version: ort.env.versions.web,
    user_agent: navigator.userAgent,
    visible: document.visibilityState === 'visible',
  };
};

async function timed(work) {
  const started = performance.now();
  const output = await work();
  return [output, performance.now() - started];
}

window.ready = true;
