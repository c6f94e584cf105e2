// Times the engine and onnxruntime-web in one page and one thread, turn by turn: whatever slows the machine down
// meets all. Served and called by run.mjs.

import * as ort from '/peer/ort.wasm.min.mjs';

ort.env.wasm.wasmPaths = '/peer/';
ort.env.wasm.numThreads = 1;

const WARM_UPS = 10;
/** The engine's builds; a browser without relaxed SIMD fails to load the second one. */
const BUILDS = ['simd128', 'relaxed'];

/** Times of `runs` runs of every column, in milliseconds, with their cold start and output. */
window.bench = async ({ runs }) => {
  const models = {};
  for (const name of ['float', 'int8', 'int8-fused']) models[name] = await bytes(`/models/${name}.onnx`);
  const columns = [];
  for (const build of BUILDS) columns.push(...(await engineColumns(build, models)));
  columns.push(await peerColumn('onnxruntime-web float', models.float));
  columns.push(await peerColumn('onnxruntime-web int8', models['int8-fused']));

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
    peer_version: ort.env.versions.web,
    user_agent: navigator.userAgent,
    visible: document.visibilityState === 'visible',
  };
};

/** The columns of one build: floats, and integers by each of its levels. */
async function engineColumns(build, models) {
  const [module, compile_ms] = await timed(async () => {
    const module = await import(`/engine-${build}/bench.js`);
    await module.default();
    return module;
  });
  const levels = module.levels().filter((level) => level !== 'scalar' && (build === 'simd128' || level !== 'simd128'));
  const wanted = [...(build === 'simd128' ? [['float', undefined]] : []), ...levels.map((level) => ['int8', level])];
  const columns = [];
  for (const [model, level] of wanted) {
    const [engine, load_ms] = await timed(async () => new module.EngineBench(models[model], level));
    const input = pattern(engine.input_shape);
    const run = async () => engine.run(input);
    const [, first_run_ms] = await timed(run);
    columns.push({ name: `engine ${level ?? 'float'}`, model, compile_ms, load_ms, first_run_ms, times: [], run });
  }
  return columns;
}

async function peerColumn(name, onnx) {
  // Its first session also compiles the runtime.
  const [session, load_ms] = await timed(() => ort.InferenceSession.create(onnx, { executionProviders: ['wasm'] }));
  const shape = session.inputMetadata[0].shape;
  const tensor = new ort.Tensor('float32', pattern(shape), shape);
  const run = async () => {
    const outputs = await session.run({ [session.inputNames[0]]: tensor });
    return outputs[session.outputNames[0]].data;
  };
  const [, first_run_ms] = await timed(run);
  return { name, model: name.split(' ')[1], compile_ms: null, load_ms, first_run_ms, times: [], run };
}

/** Values that run through the range of normalised pictures. */
function pattern(shape) {
  const length = Array.from(shape).reduce((product, extent) => product * extent, 1);
  return Float32Array.from({ length }, (_, i) => 2 * Math.sin(i * 0.37));
}

async function bytes(address) {
  return new Uint8Array(await (await fetch(address)).arrayBuffer());
}

async function timed(work) {
  const started = performance.now();
  const output = await work();
  return [output, performance.now() - started];
}

window.ready = true;
