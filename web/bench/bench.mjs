// Times the engine, onnxruntime-web and LiteRT.js in one page and one thread, turn by turn: whatever slows the machine
// down meets all. Served and called by run.mjs.

import * as ort from '/peer/ort.wasm.min.mjs';
import { bytes, pattern, timed } from '/bench/common.mjs';

ort.env.wasm.wasmPaths = '/peer/';
ort.env.wasm.numThreads = 1;

const WARM_UPS = 10;
/** The engine's builds; a browser without relaxed SIMD fails to load the second one. */
const BUILDS = ['simd128', 'relaxed'];
const FILES = ['float.onnx', 'int8.onnx', 'int8-fused.onnx', 'float.tflite', 'int8.tflite'];

/** Times of `runs` runs of every column, in milliseconds, with their cold start and output; why others cannot run. */
window.bench = async ({ runs }) => {
  const files = {};
  for (const name of FILES) files[name] = await bytes(`/models/${name}`);
  const columns = [];
  const failures = [];
  for (const build of BUILDS) columns.push(...(await engineColumns(build, files)));
  for (const form of ['float', 'int8']) {
    const onnx = form === 'float' ? 'float.onnx' : 'int8-fused.onnx';
    columns.push(await onnxruntimeColumn(`onnxruntime-web ${form}`, onnx, files[onnx]));
  }
  for (const form of ['float', 'int8']) {
    const name = `LiteRT.js ${form}`;
    const column = litertColumn(name, `${form}.tflite`, files[`${form}.tflite`]);
    await column.then((column) => columns.push(column)).catch((error) => failures.push({ name, reason: String(error) }));
  }

  for (let run = -WARM_UPS; run < runs; run++) {
    for (const column of columns) {
      const [output, time] = await timed(column.run);
      if (output.some((value) => !Number.isFinite(value))) throw new Error(`${column.name}: an output is not finite`);
      column.output = Array.from(output);
      if (run >= 0) column.times.push(time);
    }
  }
  return {
    warm_ups: WARM_UPS,
    columns: columns.map(({ run, ...column }) => column),
    failures,
    peer_version: ort.env.versions.web,
    user_agent: navigator.userAgent,
    visible: document.visibilityState === 'visible',
  };
};

/** Bytes that the engine's memory has grown to with the networks `names` loaded, and after all of them ran in turn. */
window.memory = async ({ names }) => {
  const module = await import('/engine-relaxed/bench.js');
  const { memory } = await module.default();
  const size = () => memory.buffer.byteLength;
  const empty_bytes = size();
  const loaded = [];
  for (const name of names) {
    const engine = new module.EngineBench(await bytes(`/memory/${name}.onnx`), undefined);
    loaded.push({ name, engine, loaded_bytes: size() });
  }
  for (const { engine } of loaded) engine.run(pattern(engine.input_shape));
  return {
    empty_bytes,
    networks: loaded.map(({ name, loaded_bytes }) => ({ name, loaded_bytes })),
    // It never shrinks: this is the peak.
    peak_bytes: size(),
  };
};

/** The columns of one build: floats, and integers by each of its levels. */
async function engineColumns(build, files) {
  const [module, compile_ms] = await timed(async () => {
    const module = await import(`/engine-${build}/bench.js`);
    await module.default();
    return module;
  });
  const levels = module.levels().filter((level) => level !== 'scalar' && (build === 'simd128' || level !== 'simd128'));
  const floats = build === 'simd128' ? [['float.onnx', undefined]] : [];
  const columns = [];
  for (const [file, level] of [...floats, ...levels.map((level) => ['int8.onnx', level])]) {
    const [engine, load_ms] = await timed(async () => new module.EngineBench(files[file], level));
    const input = pattern(engine.input_shape);
    const run = async () => engine.run(input);
    const [, first_run_ms] = await timed(run);
    const model = file.split('.')[0];
    columns.push({ name: `engine ${level ?? 'float'}`, model, file, compile_ms, load_ms, first_run_ms, times: [], run });
  }
  return columns;
}

async function onnxruntimeColumn(name, file, onnx) {
  // Its first session also compiles the runtime.
  const [session, load_ms] = await timed(() => ort.InferenceSession.create(onnx, { executionProviders: ['wasm'] }));
  const shape = session.inputMetadata[0].shape;
  const tensor = new ort.Tensor('float32', pattern(shape), shape);
  const run = async () => {
    const outputs = await session.run({ [session.inputNames[0]]: tensor });
    return outputs[session.outputNames[0]].data;
  };
  const [, first_run_ms] = await timed(run);
  return { name, model: name.split(' ')[1], file, compile_ms: null, load_ms, first_run_ms, times: [], run };
}

async function litertColumn(name, file, tflite) {
  const [litert, compile_ms] = await timed(async () => {
    const litert = await import('/litert/index.js');
    // Its page's one runtime; the file for one thread is what it takes if threads are not asked for.
    if (!litert.getGlobalLiteRtPromise()) await litert.loadLiteRt('/litert-wasm/', { threads: false });
    return litert;
  });
  const choices = { accelerator: 'wasm', cpuOptions: { numThreads: 1 } };
  const [model, load_ms] = await timed(() => litert.loadAndCompile(tflite, choices));
  const [, h, w, c] = model.getInputDetails()[0].shape;
  // NCHW -> NHWC
  const planes = pattern([1, c, h, w]);
  const values = Float32Array.from(planes, (_, i) => planes[(i % c) * h * w + Math.floor(i / c)]);
  const tensor = new litert.Tensor(values, [1, h, w, c]);
  const run = async () => {
    const [output] = await model.run(tensor);
    const logit = (await output.data()).slice();
    output.delete();
    return logit;
  };
  const [, first_run_ms] = await timed(run);
  return { name, model: name.split(' ')[1], file, compile_ms, load_ms, first_run_ms, times: [], run };
}

window.ready = true;
