// The worker of onnxruntime-web, for the benchmark: one thread, the runtime as its makers built it. It answers what
// web/src/timing.rs asks. The runtime is 14 MB, in peers/onnxruntime of sites that have it, and is fetched when it is chosen.

const FOLDER = new URL('./peers/onnxruntime/', import.meta.url).href;
/** Values of an output that are told, for comparing. */
const SHOWN = 64;

let session;
let input;

/** As `value` in web/src/timing.rs. */
const value = (index) => Math.fround(((index * 7919) % 1021) / 510 - 1);

async function load({ file }) {
  const started = performance.now();
  const ort = await import(`${FOLDER}ort.wasm.min.mjs`).catch((error) => {
    throw new Error(`this site has no onnxruntime-web, or it did not load (${error.message})`);
  });
  ort.env.wasm.wasmPaths = FOLDER;
  ort.env.wasm.numThreads = 1;
  session = await ort.InferenceSession.create(new Uint8Array(await file.arrayBuffer()), { executionProviders: ['wasm'] });
  const [{ shape, type }] = session.inputMetadata;
  const isFixed = shape.every((extent) => Number.isInteger(extent) && extent > 0);
  if (session.inputNames.length !== 1 || type !== 'float32' || !isFixed) {
    throw new Error('the file must have one input, of floats and a fixed shape');
  }
  const length = shape.reduce((product, extent) => product * extent, 1);
  input = new ort.Tensor('float32', Float32Array.from({ length }, (_, index) => value(index)), shape);
  return { Loaded: { load_ms: performance.now() - started, sha256: null } };
}

async function run({ subject, budget_ms: budget, most_runs: most }) {
  if (subject !== 'File') throw new Error('onnxruntime-web runs files alone');
  if (!session) throw new Error('no file was loaded');
  const begun = performance.now();
  const times = [];
  let output;
  do {
    const started = performance.now();
    const outputs = await session.run({ [session.inputNames[0]]: input });
    times.push(performance.now() - started);
    output = outputs[session.outputNames[0]].data;
  } while (times.length < most && performance.now() - begun < budget);
  return { Timed: { times_ms: times, output: Array.from(output.slice(0, SHOWN), Number) } };
}

addEventListener('message', async ({ data: { Time: request } }) => {
  const answer = request.Load ? load(request.Load) : run(request.Run);
  postMessage({
    Time: await answer.catch((error) => ({ Failed: { code: 'peer', message: String(error.message ?? error) } })),
  });
});
postMessage('Started');
