// What the benches of videos share: the site in a browser, films made with ffmpeg of the site's samples, and a run of one.

import { execFileSync } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';
import { serve } from '../tests/serve.mjs';

const sample = (name) => fileURLToPath(new URL(`../../models/samples/${name}.png`, import.meta.url));

/** A folder that somebody has to remove. */
export const folder = () => mkdtempSync(path.join(os.tmpdir(), 'aware-films-'));

/** Writes an H.264 film of so many seconds to `file`: two samples in turns, which are slowly enlarged. */
export function film(file, { seconds, rate, size }) {
  const pan = (input) => `[${input}]scale=960:960,zoompan=z='1+0.1*sin(on/40)*sin(on/40)':d=${seconds * rate}:s=${size}:fps=${rate}`;
  const turns = `[a][b]overlay=enable='lt(mod(t,8),4)',format=yuv420p`;
  execFileSync('ffmpeg', [
    ...['-hide_banner', '-loglevel', 'error', '-y', '-i', sample('real-1'), '-i', sample('real-2')],
    ...['-filter_complex', `${pan(0)}[a];${pan(1)}[b];${turns}`],
    ...['-c:v', 'libx264', '-preset', 'veryfast', '-crf', '28', '-g', String(2 * rate), '-bf', '2', file],
  ]);
}

/** The page in `folder`, `dist` if none is named, and a browser. */
export async function start(folder) {
  const site = await serve(folder);
  const browser = await chromium.launch({
    executablePath: process.env.AWARE_CHROMIUM ?? '/usr/bin/chromium',
    args: ['--no-sandbox', '--autoplay-policy=no-user-gesture-required', '--enable-precise-memory-info'],
  });
  return { site, browser };
}

/** Lets `page` judge `file`; gives the seconds from the choice of the file to the verdict. */
export async function judged(page, file, timeout = 600_000) {
  const started = performance.now();
  await page.setInputFiles('#picture', file);
  await page.waitForSelector('#app[data-state="watching"]', { state: 'attached', timeout: 60_000 });
  await page.waitForSelector('#app[data-state="watched"]', { state: 'attached', timeout });
  return (performance.now() - started) / 1000;
}
