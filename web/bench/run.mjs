// Times the engine beside onnxruntime-web and LiteRT.js in headless Chromium, and measures its memory:
//
//     node web/bench/run.mjs --models FOLDER --memory FOLDER --engine FOLDER [--title TEXT] [--runs N] [--json FILE]
//
// The folder of models holds one network as float.onnx, int8.onnx (seven-bit activations), int8-fused.onnx (eight bits, the
// form that onnxruntime fuses), float.tflite and int8.tflite, each with one input, [1, C, H, W] or [1, H, W, C], and one
// output. That of memory holds the networks that are to be in one page together, as NAME.onnx. The folder of the engine
// holds simd128/ and relaxed/, each with bench.js and bench_bg.wasm. `cargo xtask bench page` makes all of it and calls
// this.

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
  },
});
const runs = Number(values.runs);
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
  ],
});
try {
  // The page's own clock is coarse where it is not isolated; one run takes many of its ticks.
  const result = await summarise(await inPage((config) => window.bench(config), { runs }));
  const files = (await readdir(values.memory)).filter((name) => name.endsWith('.onnx')).sort();
  const names = files.map((name) => name.slice(0, -'.onnx'.length));
  result.memory = await inPage((config) => window.memory(config), { names });
  console.log(table(result));
  console.log(memoryTable(result.memory));
  if (values.json) await writeFile(values.json, `${JSON.stringify(result, null, 2)}\n`);
} finally {
  await browser.close();
  close();
}

/** What `work` gives in a page of its own. */
async function inPage(work, config) {
  const page = await browser.newPage();
  page.setDefaultTimeout(0);
  const complaints = [];
  page.on('pageerror', (error) => complaints.push(error.message));
  await page.goto(url);
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
  return { url: `http://127.0.0.1:${server.address().port}/bench/bench.html`, close: () => server.close() };
}
