// Whether networks give the same on WebGPU in Chromium, and in wonnx, as on the CPU:
//
//     node web/bench/check_gpu.mjs --folder FOLDER NAME=TOLERANCE[,wonnx] ...
//
// The folder holds relaxed/bench.js and gpu/bench_gpu.js with their wasm, NAME.onnx in integers, and NAME-float.onnx where wonnx
// runs it too, which may differ by 1e-4 (relative above 1). `cargo xtask test gpu` makes all of it and calls this.

import { copyFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { chromium } from 'playwright-core';
import { serve } from '../tests/serve.mjs';

const WONNX_TOLERANCE = 1e-4;
const { values, positionals } = parseArgs({ options: { folder: { type: 'string' } }, allowPositionals: true });
if (!values.folder || positionals.length === 0) {
  console.error('usage: node web/bench/check_gpu.mjs --folder FOLDER NAME=TOLERANCE[,wonnx] ...');
  process.exit(2);
}
for (const name of ['check_page.mjs', 'common.mjs']) {
  await copyFile(fileURLToPath(new URL(name, import.meta.url)), path.join(values.folder, name));
}
await writeFile(path.join(values.folder, 'index.html'), '<!doctype html><title>check</title><script type="module" src="check_page.mjs"></script>');

const { url, close } = await serve(values.folder);
const browser = await chromium.launch({
  executablePath: process.env.AWARE_CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--no-first-run', '--disable-background-networking', '--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader'],
});
let isRight = true;
try {
  for (const positional of positionals) {
    const [, name, tolerance, wonnx] = positional.match(/^([\w-]+)=([\d.e-]+)(,wonnx)?$/);
    const page = await browser.newPage();
    page.setDefaultTimeout(600_000);
    await page.goto(url);
    await page.waitForFunction(() => window.ready);
    const { adapter, compared } = await page.evaluate((of) => window.compare(of), { name, inWonnx: Boolean(wonnx) });
    for (const { what, difference } of compared) {
      const allowed = what.startsWith('wonnx') ? WONNX_TOLERANCE : Number(tolerance);
      const isOne = difference <= allowed;
      isRight &&= isOne;
      console.log(`${name}, ${what}: largest difference from the CPU ${difference} (at most ${allowed})${isOne ? '' : ' WRONG'} [${adapter}]`);
    }
    await page.close();
  }
} finally {
  await browser.close();
  close();
}
process.exit(isRight ? 0 : 1);
