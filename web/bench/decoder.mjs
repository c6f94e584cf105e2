// How fast a video is judged that is decoded, beside the same video played, in headless Chromium:
//
//     node web/bench/decoder.mjs [RUNS [FOLDER]]
//
// RUNS of each, in turns, on a film of 30 seconds that ffmpeg makes; FOLDER is a built page. Medians, from the choice of the file
// to the verdict.

import { rmSync } from 'node:fs';
import path from 'node:path';
import { film, folder, judged, start } from './films.mjs';

const SECONDS = 30;
const runs = Number(process.argv[2] ?? 3);
const films = folder();
const { site, browser } = await start(process.argv[3]);
const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1];

try {
  for (const [size, rate] of [['320x240', 24], ['1280x720', 30]]) {
    const file = path.join(films, `${size}.mp4`);
    film(file, { seconds: SECONDS, rate, size });
    const told = { decoded: [], played: [] };
    const pages = {};
    for (const way of Object.keys(told)) {
      pages[way] = await (await browser.newContext()).newPage();
      if (way === 'played') await pages[way].addInitScript(() => delete window.VideoDecoder);
      await pages[way].goto(site.url);
      await pages[way].waitForSelector('#app[data-state="idle"]', { state: 'attached', timeout: 60_000 });
    }
    for (let run = 0; run < runs; run++) {
      for (const way of Object.keys(told)) {
        // Only who is in front plays.
        await pages[way].bringToFront();
        const seconds = await judged(pages[way], file);
        const samples = parseInt((await pages[way].textContent('#film-coverage')).match(/\d+/)[0], 10);
        told[way].push({ seconds, samples });
      }
    }
    for (const [way, all] of Object.entries(told)) {
      const seconds = median(all.map((run) => run.seconds));
      const samples = median(all.map((run) => run.samples));
      const each = all.map((run) => `${run.seconds.toFixed(1)} s/${run.samples}`).join(', ');
      console.log(`${size} at ${rate}, ${way}: ${seconds.toFixed(1)} s, ${samples} samples, ${(samples / seconds).toFixed(1)} a second, ` +
        `${(SECONDS / seconds).toFixed(2)} times real time (${each})`);
    }
    for (const page of Object.values(pages)) await page.context().close();
  }
} finally {
  await browser.close();
  site.close();
  rmSync(films, { recursive: true });
}
