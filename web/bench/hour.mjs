// The memory of the page while it judges a film of one hour, which ffmpeg makes, in headless Chromium:
//
//     node web/bench/hour.mjs [SECONDS [FOLDER]]
//
// Told are, at the start, after each tenth and at the end: the memory of the engine's and the decoder's WebAssembly, the page's own
// JavaScript heap, and what the largest process of the browser that shows a page holds.

import { readFileSync, rmSync, statSync } from 'node:fs';
import path from 'node:path';
import { film, folder, start } from './films.mjs';

const SECONDS = Number(process.argv[2] ?? 3600);
const films = folder();
const file = path.join(films, 'hour.mp4');
film(file, { seconds: SECONDS, rate: 10, size: '320x240' });
const { site, browser } = await start(process.argv[3]);
const debug = await browser.newBrowserCDPSession();
const context = await browser.newContext();
// Workers tell their memory if they are asked.
for (const name of ['worker', 'worker_relaxed', 'decoder']) {
  await context.route(`**/${name}_loader.js`, async (route) => {
    const response = await route.fetch();
    await route.fulfill({ response, body: `import init from './${name}.js';self.wasm=await init();` });
  });
}
const page = await context.newPage();
const MB = 1 << 20;
const row = (...cells) => console.log(cells.map((cell) => String(cell).padEnd(15)).join(''));

async function tell(name, started) {
  const wasm = {};
  for (const worker of page.workers()) {
    const bytes = await worker.evaluate(() => self.wasm?.memory.buffer.byteLength).catch(() => 0);
    wasm[worker.url().includes('decoder') ? 'decoder' : 'engine'] = (bytes / MB).toFixed(1);
  }
  const heap = await page.evaluate(() => performance.memory.usedJSHeapSize);
  const { processInfo } = await debug.send('SystemInfo.getProcessInfo');
  const resident = processInfo
    .filter(({ type }) => type === 'renderer')
    .map(({ id }) => Number(readFileSync(`/proc/${id}/status`, 'utf8').match(/VmRSS:\s+(\d+)/)[1]) / 1024);
  row(name, Math.round((performance.now() - started) / 1000), wasm.engine ?? '-', wasm.decoder ?? '-', (heap / MB).toFixed(1), Math.max(...resident).toFixed(0));
}

try {
  console.log(`${SECONDS} s of film, ${(statSync(file).size / MB).toFixed(1)} MiB`);
  row('at', 'after s', 'engine MiB', 'decoder MiB', 'heap MiB', 'resident MiB');
  await page.goto(site.url);
  await page.waitForSelector('#app[data-state="idle"]', { state: 'attached', timeout: 60_000 });
  const started = performance.now();
  await tell('start', started);
  await page.setInputFiles('#picture', file);
  await page.waitForSelector('#app[data-state="watching"]', { state: 'attached', timeout: 60_000 });
  for (let tenth = 1; tenth < 10; tenth++) {
    await page.waitForFunction((share) => {
      const progress = document.getElementById('film-progress');
      return document.getElementById('app').dataset.state !== 'watching' || progress.value >= share * progress.max;
    }, tenth / 10, { timeout: 0, polling: 250 });
    await tell(`${tenth} of 10`, started);
  }
  await page.waitForSelector('#app[data-state="watched"]', { state: 'attached', timeout: 0 });
  await tell('end', started);
  console.log(await page.textContent('#film-coverage'));
} finally {
  await browser.close();
  site.close();
  rmSync(films, { recursive: true });
}
