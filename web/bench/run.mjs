// Times the engine beside onnxruntime-web in headless Chromium:
//
//     node web/bench/run.mjs MODEL.onnx [--runs N] [--json FILE] [--engine FOLDER]
//
// MODEL.onnx has one input [1, C, H, W] and one output. FOLDER holds the engine's `bench.js` and `bench_bg.wasm`,
// by default target/bench/page, made by
//
//     cargo build --profile web --target wasm32-unknown-unknown -p web --bin bench
//     wasm-bindgen --target web --out-dir target/bench/page target/wasm32-unknown-unknown/web/bench.wasm

import { createHash } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { chromium } from 'playwright-core';

const here = (name) => fileURLToPath(new URL(name, import.meta.url));

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    runs: { type: 'string', default: '100' },
    json: { type: 'string' },
    engine: { type: 'string', default: here('../../target/bench/page') },
  },
});
const runs = Number(values.runs);
if (positionals.length !== 1 || !Number.isInteger(runs) || runs < 1) {
  console.error('usage: node web/bench/run.mjs MODEL.onnx [--runs N] [--json FILE] [--engine FOLDER]');
  process.exit(2);
}
const model = await readFile(positionals[0]);

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
  const complaints = [];
  page.on('pageerror', (error) => complaints.push(error.message));
  await page.goto(url);
  await page.waitForFunction('window.ready').catch((error) => {
    throw new Error([error.message, ...complaints].join('\n'));
  });
  // The page's own clock is coarse where it is not isolated; one run takes many of its ticks.
  const result = summarise(await page.evaluate((config) => window.bench(config), { runs }));
  console.log(table(result));
  if (values.json) await writeFile(values.json, `${JSON.stringify(result, null, 2)}\n`);
} finally {
  await browser.close();
  close();
}

/** Figures of the whole from the times of its runs. */
function summarise({ times, peer_version, user_agent, ...rest }) {
  const figures = { ours: figuresOf(times.ours), peer: figuresOf(times.peer) };
  return {
    model: { file: path.basename(positionals[0]), sha256: createHash('sha256').update(model).digest('hex') },
    runs,
    threads: 1,
    ...figures,
    ratio: figures.peer.median_ms / figures.ours.median_ms,
    ...rest,
    versions: { 'onnxruntime-web': peer_version, node: process.version, browser: user_agent },
    machine: { processor: os.cpus()[0]?.model ?? 'unknown', cores: os.cpus().length },
    times_ms: times,
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

function table({ model, shape, ours, peer, ratio, max_abs_difference, versions }) {
  const row = (name, cells) => name.padEnd(24) + cells.map((cell) => cell.padStart(11)).join('');
  const figures = ({ median_ms, min_ms, p90_ms, spread }) =>
    [median_ms, min_ms, p90_ms].map((ms) => ms.toFixed(1)).concat(`${(spread * 100).toFixed(0)} %`);
  return [
    `${model.file}, input ${shape.join(' x ')}, one thread, ${runs} runs, turn by turn`,
    row('', ['median ms', 'min ms', 'p90 ms', 'spread']),
    row('engine', figures(ours)),
    row(`onnxruntime-web ${versions['onnxruntime-web']}`, figures(peer)),
    `onnxruntime-web takes ${ratio.toFixed(2)} times as long; the outputs differ by ${max_abs_difference.toExponential(1)} at most`,
  ].join('\n');
}

/** Serves page, engine, peer and model from one origin; resolves to `{ url, close }`. */
async function serve() {
  const folders = {
    engine: values.engine,
    peer: here('../node_modules/onnxruntime-web/dist'),
    bench: here('.'),
  };
  const types = { '.html': 'text/html', '.js': 'text/javascript', '.mjs': 'text/javascript', '.wasm': 'application/wasm' };
  const server = createServer(async (request, response) => {
    const name = new URL(request.url, 'http://localhost').pathname;
    const [, folder, file] = name.match(/^\/(engine|peer|bench)\/([\w.-]+)$/) ?? [];
    const body =
      name === '/model.onnx' ? model : folder && (await readFile(path.join(folders[folder], file)).catch(() => null));
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
