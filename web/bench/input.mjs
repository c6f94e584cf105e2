// How long the page keeps input waiting while it works, and how soon a visitor has a first verdict, in headless Chromium:
//
//     node web/bench/input.mjs [FOLDER]
//
// FOLDER is a built page, `dist` if none is named. Told are the browser's long tasks of the page's own thread (over 50 ms), and how
// late a timer of 5 ms rings: that is what a click would wait. On a busy machine the timer waits for the processor too.

import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';
import { serve } from '../tests/serve.mjs';

const here = (name) => fileURLToPath(new URL(name, import.meta.url));
const sample = (at) => here(`../../models/samples/${['real-1', 'fake-1', 'real-2', 'fake-2'][at % 4]}.png`);

const site = await serve(process.argv[2]);
const browser = await chromium.launch({
  executablePath: process.env.AWARE_CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--use-fake-device-for-media-stream', '--use-fake-ui-for-media-stream'],
});
const context = await browser.newContext({ permissions: ['camera'] });
const page = await context.newPage();
await page.addInitScript(() => {
  window.told = { long: [], late: [] };
  new PerformanceObserver((list) => window.told.long.push(...list.getEntries().map(({ duration }) => duration)))
    .observe({ entryTypes: ['longtask'] });
  const ring = (asked) => setTimeout(() => {
    window.told.late.push(performance.now() - asked - 5);
    ring(performance.now());
  }, 5);
  ring(performance.now());
});

const reached = (selector) => page.waitForSelector(selector, { state: 'attached', timeout: 120_000 });
const row = (...cells) => console.log(cells.map((cell, at) => String(cell).padEnd(at ? 14 : 28)).join(''));
row('while', 'long tasks', 'longest ms', 'late p99 ms', 'late most ms');

/** Prints what was told since the last time. */
async function tell(name) {
  const { long, late } = await page.evaluate(() => {
    const { told } = window;
    window.told = { long: [], late: [] };
    return told;
  });
  late.sort((a, b) => a - b);
  const rank = (share) => late[Math.max(0, Math.ceil(share * late.length) - 1)]?.toFixed(1) ?? '';
  row(name, long.length, Math.max(0, ...long), rank(0.99), rank(1));
}

await page.goto(site.url);
await reached('#app[data-state="idle"]');
await tell('the page starts');
await page.setInputFiles('#picture', Array.from({ length: 30 }, (_, at) => sample(at)));
await page.waitForFunction(() => document.querySelectorAll('#history-list li').length === 30);
await tell('30 pictures are judged');
await page.setInputFiles('#picture', here('../tests/fixtures/film.webm'));
await reached('#app[data-state="watched"]');
await tell('a video is watched');
await page.click('#camera');
await reached('#app[data-state="watching"]');
await page.waitForTimeout(5000);
await page.click('#film-stop');
await reached('#app[data-state="watched"]');
await tell('the camera runs');
await page.evaluate(() => (location.hash = '#benchmark?start'));
await reached('#bench[data-state="done"]');
await tell('the benchmark runs');

const again = await context.newPage();
const opened = performance.now();
await again.goto(site.url);
await again.click('#sample-list button');
await again.waitForSelector('#app[data-state="result"]');
console.log(`second visit: a verdict on a sample ${Math.round(performance.now() - opened)} ms after the page was asked for`);
await browser.close();
site.close();
