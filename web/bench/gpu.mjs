// Times the engine's GPU backend, onnxruntime-web on WebGPU and wonnx in one page on one adapter, turn by turn, beside the
// engine on the CPU. Served and called by run.mjs.

import * as ort from '/peer/ort.webgpu.min.mjs';
import { bytes, pattern, timed } from '/bench/common.mjs';

ort.env.wasm.wasmPaths = '/peer/';
ort.env.wasm.numThreads = 1;

const WARM_UPS = 1;

/** Times of `runs` runs of every column, in milliseconds, with their cold start and output; why others cannot run. */
window.benchGpu = async ({ runs }) => {
  const files = {};
  for (const name of ['float.onnx', 'int8.onnx']) files[name] = await bytes(`/models/${name}`);
  const columns = [];
  const failures = [];
  const add = (name, column) =>
    column.then((column) => columns.push({ name, times: [], ...column })).catch((error) => failures.push({ name, reason: String(error) }));

  await add('engine cpu int8', engineColumn(files['int8.onnx']));
  const [module, compile_ms] = await timed(async () => {
    const module = await import('/engine-gpu/bench_gpu.js');
    await module.default();
    return module;
  });
  const [device, open_ms] = await timed(() => module.BenchDevice.open());
  for (const variant of device.variants()) {
    await add(`engine gpu int8 ${variant}`, oursColumn(device, files['int8.onnx'], variant, compile_ms + open_ms));
  }
  await add('engine gpu float', oursColumn(device, files['float.onnx'], device.variants()[0], compile_ms + open_ms));
  await add('onnxruntime-web float', onnxruntimeColumn(files['float.onnx']));
  await add('wonnx float', wonnxColumn(device, files['float.onnx']));

  for (let run = -WARM_UPS; run < runs; run++) {
    for (const column of columns) {
      const [output, time] = await timed(column.run);
      if (output.some((value) => !Number.isFinite(value))) throw new Error(`${column.name}: an output is not finite`);
      column.output = Array.from(output);
      if (run >= 0) column.times.push(time);
    }
  }
  return {
    adapter: device.adapter,
    columns: columns.map(({ run, ...column }) => column),
    failures,
    peer_version: ort.env.versions.web,
    user_agent: navigator.userAgent,
    visible: document.visibilityState === 'visible',
  };
};

async function engineColumn(onnx) {
  const [module, compile_ms] = await timed(async () => {
    const module = await import('/engine-relaxed/bench.js');
    await module.default();
    return module;
  });
  const [engine, load_ms] = await timed(async () => new module.EngineBench(onnx, undefined));
  const input = pattern(engine.input_shape);
  const run = async () => engine.run(input);
  const [, first_run_ms] = await timed(run);
  return { file: 'int8.onnx', compile_ms, load_ms, first_run_ms, run };
}

async function oursColumn(device, onnx, variant, compile_ms) {
  const [session, load_ms] = await timed(() => device.load(onnx, variant));
  const input = pattern(session.input_shape);
  const run = () => session.run(input);
  const [, first_run_ms] = await timed(run);
  const device_ms = (await session.device_ms(input)) ?? null;
  const { launches, memory_bytes } = session;
  return { compile_ms, load_ms, first_run_ms, device_ms, launches, memory_bytes, run };
}

async function onnxruntimeColumn(onnx) {
  // Its first session also compiles the runtime and opens the device.
  const [session, load_ms] = await timed(() => ort.InferenceSession.create(onnx, { executionProviders: ['webgpu'] }));
  const shape = session.inputMetadata[0].shape;
  const tensor = new ort.Tensor('float32', pattern(shape), shape);
  const run = async () => (await session.run({ [session.inputNames[0]]: tensor }))[session.outputNames[0]].getData();
  const [, first_run_ms] = await timed(run);
  return { compile_ms: null, load_ms, first_run_ms, shape, run };
}

async function wonnxColumn(device, onnx) {
  const session = await ort.InferenceSession.create(onnx, { executionProviders: ['wasm'] });
  const input = pattern(session.inputMetadata[0].shape);
  const [wonnx, load_ms] = await timed(() => device.load_wonnx(onnx));
  const run = () => wonnx.run(input);
  const [, first_run_ms] = await timed(run);
  return { compile_ms: null, load_ms, first_run_ms, run };
}

window.ready = true;
