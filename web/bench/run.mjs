// Times the engine beside onnxruntime-web and LiteRT.js in headless Chromium, and measures its memory:
//
//     node web/bench/run.mjs --models FOLDER --memory FOLDER --engine FOLDER [--gpu] [--title TEXT] [--runs N] [--json FILE]
//
// The folder of models holds one network as float.onnx, int8.onnx (seven-bit activations), int8-fused.onnx (eight bits, the
// form that onnxruntime fuses), float.tflite and int8.tflite, each with one input, [1, C, H, W] or [1, H, W, C], and one
// output. That of memory holds the networks that are to be in one page together, as NAME.onnx. The folder of the engine
// holds simd128/ and relaxed/, each with bench.js and bench_bg.wasm, and with --gpu, which times what runs on WebGPU instead,
// gpu/ with bench_gpu.js. `cargo xtask bench page` makes all of it and calls this.

import { createHash } from 'node:crypto';
import { readFile, readdir, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { chromium } from 'playwright-core';

const here = (name) => fileURLToPath(new URL(name, import.meta.url));

const { values } = parseArgs({
  options: {
    runs: { type: 'string', default: '100' },
    json: { type: 'string' },
    engine: { type: 'string' },
    models: { type: 'string' },
    memory: { type: 'string' },
    title: { type: 'string', default: 'a network' },
    gpu: { type: 'boolean', default: false },
    // For a browser with a real adapter: flags of its own.
    flags: { type: 'string', default: '--enable-unsafe-webgpu --use-webgpu-adapter=swiftshader' },
  },
});
const runs = Number(values.runs);
const WEBGPU = values.gpu ? values.flags.split(' ').filter(Boolean) : [];
if (!values.engine || !values.models || !values.memory || !Number.isInteger(runs) || runs < 1) {
  console.error('usage: node web/bench/run.mjs --models FOLDER --memory FOLDER --engine FOLDER [--title TEXT] [--runs N] [--json FILE]');
  process.exit(2);
}

const { url, close } = await serve();
const browser = await chromium.launch({
  executablePath: process.env.AWARE_CHROMIUM ?? '/usr/bin/chromium',
  args: [
    '--no-sandbox',
    '--disable-quic',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
    ...WEBGPU,
  ],
});
try {
  // The page's own clock is coarse where it is not isolated; one run takes many of its ticks.
  const result = values.gpu ? await onGpu() : await onCpu();
  if (values.json) await writeFile(values.json, `${JSON.stringify(result, null, 2)}\n`);
} finally {
  await browser.close();
  close();
}

/** What runs on the CPU, timed and shown. */
async function onCpu() {
  const result = await summarise(await inPage('bench', (config) => window.bench(config), { runs }));
  const files = (await readdir(values.memory)).filter((name) => name.endsWith('.onnx')).sort();
  const names = files.map((name) => name.slice(0, -'.onnx'.length));
  result.memory = await inPage('bench', (config) => window.memory(config), { names });
  console.log(table(result));
  console.log(memoryTable(result.memory));
  return result;
}

/** What runs on WebGPU, timed and shown. */
async function onGpu() {
  const { columns, ...rest } = await inPage('gpu', (config) => window.benchGpu(config), { runs });
  const figures = columns.map(({ times, ...column }) => ({ ...column, ...figuresOf(times), times_ms: times }));
  const medianOf = (name) => figures.find((column) => column.name === name)?.median_ms;
  const result = { title: values.title, runs, columns: figures, ...rest, machine: { processor: os.cpus()[0]?.model ?? 'unknown' } };
  const ms = (value) => (value === null || value === undefined ? '' : value.toFixed(1));
  const times = (name, column) => (medianOf(name) ? (medianOf(name) / column.median_ms).toFixed(2) : '');
  const row = (name, cells) => name.padEnd(24) + cells.map((cell) => String(cell).padStart(13)).join('');
  console.log(
    [
      `${values.title} on ${rest.adapter}, ${runs} runs, turn by turn, onnxruntime-web ${rest.peer_version}, ${result.machine.processor}`,
      row('', ['median ms', 'min ms', 'device ms', 'x ort-web', 'x wonnx', 'open ms', 'load ms', 'first ms', 'launches', 'MB', 'output']),
      ...figures.map((column) =>
        row(column.name, [
          ...[column.median_ms, column.min_ms, column.device_ms].map(ms),
          times('onnxruntime-web float', column),
          times('wonnx float', column),
          ...[column.compile_ms, column.load_ms, column.first_run_ms].map(ms),
          column.launches ?? '',
          column.memory_bytes ? (column.memory_bytes / 1e6).toFixed(1) : '',
          Number(column.output[0].toPrecision(6)),
        ]),
      ),
      ...rest.failures.map(({ name, reason }) => `${name.padEnd(24)}   cannot run: ${reason}`),
    ].join('\n'),
  );
  return result;
}

/** What `work` gives in a page of its own, that of the file `name`. */
async function inPage(name, work, config) {
  const page = await browser.newPage();
  page.setDefaultTimeout(0);
  const complaints = [];
  page.on('pageerror', (error) => complaints.push(error.message));
  await page.goto(`${url}/bench/${name}.html`);
  await page.waitForFunction('window.ready', null, { timeout: 30_000 }).catch((error) => {
    throw new Error([error.message, ...complaints].join('\n'));
  });
  const result = await page.evaluate(work, config);
  await page.close();
  return result;
}

/** Figures of the whole from the times of its runs. */
async function summarise({ columns, peer_version, user_agent, ...rest }) {
  const litert = JSON.parse(await readFile(here('../node_modules/@litertjs/core/package.json')));
  const models = {};
  for (const name of new Set(columns.map((column) => column.file))) {
    const content = await readFile(path.join(values.models, name));
    models[name] = { bytes: content.length, sha256: createHash('sha256').update(content).digest('hex') };
  }
  const peer = columns.find((column) => column.name === 'onnxruntime-web float');
  const peers = figuresOf(peer.times);
  return {
    title: values.title,
    models,
    runs,
    threads: 1,
    columns: columns.map(({ times, ...column }) => {
      const figures = figuresOf(times);
      const times_faster = peers.median_ms / figures.median_ms;
      return { ...column, ...figures, times_faster, times_faster_by_min: peers.min_ms / figures.min_ms, times_ms: times };
    }),
    ...rest,
    versions: { 'onnxruntime-web': peer_version, 'LiteRT.js': litert.version, node: process.version, browser: user_agent },
    machine: { processor: os.cpus()[0]?.model ?? 'unknown', cores: os.cpus().length },
  };
}

function figuresOf(times) {
  const sorted = times.slice().sort((a, b) => a - b);
  const at = (share) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
  return {
    median_ms: at(0.5),
    min_ms: sorted[0],
    p90_ms: at(0.9),
    // Half of all runs lie within this share of the median.
    spread: (at(0.75) - at(0.25)) / at(0.5),
  };
}

function table({ title, columns, failures, versions, machine }) {
  const row = (name, cells) => name.padEnd(24) + cells.map((cell) => cell.padStart(11)).join('');
  const ms = (value) => (value === null ? '' : value.toFixed(1));
  const cells = (column) => [
    ...[column.median_ms, column.min_ms, column.p90_ms].map(ms),
    `${(column.spread * 100).toFixed(0)} %`,
    ...[column.times_faster, column.times_faster_by_min].map((times) => times.toFixed(2)),
    ...[column.compile_ms, column.load_ms, column.first_run_ms].map(ms),
    Number(column.output[0].toPrecision(5)).toString(),
  ];
  const heads = ['median ms', 'min ms', 'p90 ms', 'spread', 'x faster', 'by minima', 'compile ms', 'load ms', 'first ms', 'output'];
  const peers = ['onnxruntime-web', 'LiteRT.js'].map((name) => `${name} ${versions[name]}`).join(', ');
  return [
    `${title}, one thread, ${runs} runs, turn by turn, ${peers}, ${machine.processor}`,
    row('', heads),
    ...columns.map((column) => row(column.name, cells(column))),
    ...failures.map(({ name, reason }) => `${name.padEnd(24)}   cannot run: ${reason}`),
    '"x faster" is against onnxruntime-web in floats; its first load compiles its runtime too',
  ].join('\n');
}

function memoryTable({ empty_bytes, networks, peak_bytes }) {
  const megabytes = (bytes) => `${(bytes / 1e6).toFixed(1)} MB`;
  const loads = networks.map(({ name, loaded_bytes }) => `with ${name} ${megabytes(loaded_bytes)}`).join(', ');
  return `memory of the engine: empty ${megabytes(empty_bytes)}, ${loads}, after one run of each ${megabytes(peak_bytes)}`;
}

/** Serves page, engine, peer and models from one origin; resolves to `{ url, close }`. */
async function serve() {
  const folders = {
    'engine-simd128': path.join(values.engine, 'simd128'),
    'engine-relaxed': path.join(values.engine, 'relaxed'),
    'engine-gpu': path.join(values.engine, 'gpu'),
    models: values.models,
    memory: values.memory,
    litert: here('../node_modules/@litertjs/core/dist'),
    'litert-wasm': here('../node_modules/@litertjs/core/wasm'),
    'litert-utils': here('../node_modules/@litertjs/wasm-utils/dist'),
    peer: here('../node_modules/onnxruntime-web/dist'),
    bench: here('.'),
  };
  const types = { '.html': 'text/html', '.js': 'text/javascript', '.mjs': 'text/javascript', '.wasm': 'application/wasm' };
  const server = createServer(async (request, response) => {
    const name = new URL(request.url, 'http://localhost').pathname;
    const [, folder, file] = name.match(/^\/([\w-]+)\/([\w.-]+)$/) ?? [];
    const body = folders[folder] && (await readFile(path.join(folders[folder], file)).catch(() => null));
    // Isolated, the page gets the fine clock.
    response.writeHead(body ? 200 : 404, {
      'Content-Type': types[path.extname(name)] ?? 'application/octet-stream',
      'Cross-Origin-Opener-Policy': 'same-origin',
      'Cross-Origin-Embedder-Policy': 'require-corp',
    });
    response.end(body || undefined);
  });
  await new Promise((listening) => server.listen(0, '127.0.0.1', listening));
  return { url: `http://127.0.0.1:${server.address().port}`, close: () => server.close() };
}
