// Times the engine beside onnxruntime-web in headless Chromium:
//
//     node web/bench/run.mjs --models FOLDER --engine FOLDER [--runs N] [--json FILE]
//
// The folder of models holds float.onnx, int8.onnx (seven-bit activations) and int8-fused.onnx (eight bits, the form that
// onnxruntime fuses), each with one input [1, C, H, W] and one output. The folder of the engine holds simd128/ and
// relaxed/, each with bench.js and bench_bg.wasm. `cargo xtask bench page` makes all of it and calls this.

import { createHash } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
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
  },
});
const runs = Number(values.runs);
if (!values.engine || !values.models || !Number.isInteger(runs) || runs < 1) {
  console.error('usage: node web/bench/run.mjs --models FOLDER --engine FOLDER [--runs N] [--json FILE]');
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
  const page = await browser.newPage();
  page.setDefaultTimeout(0);
  const complaints = [];
  page.on('pageerror', (error) => complaints.push(error.message));
  await page.goto(url);
  await page.waitForFunction('window.ready', null, { timeout: 30_000 }).catch((error) => {
    throw new Error([error.message, ...complaints].join('\n'));
  });
  // The page's own clock is coarse where it is not isolated; one run takes many of its ticks.
  const result = await summarise(await page.evaluate((config) => window.bench(config), { runs }));
  console.log(table(result));
  if (values.json) await writeFile(values.json, `${JSON.stringify(result, null, 2)}\n`);
} finally {
  await browser.close();
  close();
}

/** Figures of the whole from the times of its runs. */
async function summarise({ columns, peer_version, user_agent, ...rest }) {
  const models = {};
  for (const name of ['float', 'int8', 'int8-fused']) {
    const content = await readFile(path.join(values.models, `${name}.onnx`));
    models[name] = { bytes: content.length, sha256: createHash('sha256').update(content).digest('hex') };
  }
  const peer = columns.find((column) => column.name === 'onnxruntime-web float');
  const peer_ms = figuresOf(peer.times).median_ms;
  return {
    models,
    runs,
    threads: 1,
    columns: columns.map(({ times, ...column }) => {
      const figures = figuresOf(times);
      return { ...column, ...figures, times_faster: peer_ms / figures.median_ms, times_ms: times };
    }),
    ...rest,
    versions: { 'onnxruntime-web': peer_version, node: process.version, browser: user_agent },
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

function table({ columns, versions, machine }) {
  const row = (name, cells) => name.padEnd(24) + cells.map((cell) => cell.padStart(11)).join('');
  const ms = (value) => (value === null ? '' : value.toFixed(1));
  const cells = (column) => [
    ...[column.median_ms, column.min_ms, column.p90_ms].map(ms),
    `${(column.spread * 100).toFixed(0)} %`,
    column.times_faster.toFixed(2),
    ...[column.compile_ms, column.load_ms, column.first_run_ms].map(ms),
    column.output[0].toFixed(4),
  ];
  return [
    `one thread, ${runs} runs, turn by turn, onnxruntime-web ${versions['onnxruntime-web']}, ${machine.processor}`,
    row('', ['median ms', 'min ms', 'p90 ms', 'spread', 'x faster', 'compile ms', 'load ms', 'first ms', 'output']),
    ...columns.map((column) => row(column.name, cells(column))),
    '"x faster" is against onnxruntime-web in floats; its first load compiles its runtime too',
  ].join('\n');
}

/** Serves page, engine, peer and models from one origin; resolves to `{ url, close }`. */
async function serve() {
  const folders = {
    'engine-simd128': path.join(values.engine, 'simd128'),
    'engine-relaxed': path.join(values.engine, 'relaxed'),
    models: values.models,
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
