// How fast a video is judged that is decoded, beside the same video played, in headless Chromium:
//
//     node web/bench/decoder.mjs [RUNS [FOLDER]]
//
// RUNS of each, in turns, on a film of 30 seconds that ffmpeg makes; FOLDER is a built page. Medians, from the choice of the file
// to the verdict. Then how long it takes from a click on Stop in the middle of it to the verdict on what was seen.

import { rmSync } from 'node:fs';
import path from 'node:path';
import { film, folder, judged, start } from './films.mjs';

const SECONDS = 30;
const STOPS = 9;
const runs = Number(process.argv[2] ?? 3);
const films = folder();
const { site, browser } = await start(process.argv[3]);
const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1];

// Milliseconds from a click on Stop to the verdict, by the page's own clock.
async function stopped(page, file) {
  await page.setInputFiles('#picture', file);
  await page.waitForFunction(() => {
    const looked = document.getElementById('film-count').textContent.match(/, (\d+) frames/);
    return document.getElementById('app').dataset.state === 'watching' && looked && Number(looked[1]) >= 8;
  });
  return page.evaluate(() => new Promise((resolve) => {
    const app = document.getElementById('app');
    const started = performance.now();
    const seen = new MutationObserver(() => {
      if (app.dataset.state !== 'watched') return;
      seen.disconnect();
      resolve(performance.now() - started);
    });
    seen.observe(app, { attributes: true, attributeFilter: ['data-state'] });
    document.getElementById('film-stop').click();
  }));
}

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
    for (const [way, page] of Object.entries(pages)) {
      await page.bringToFront();
      const waits = [];
      for (let run = 0; run < STOPS; run++) waits.push(await stopped(page, file));
      console.log(`${size}, ${way}, stopped: ${median(waits).toFixed(0)} ms, ${Math.max(...waits).toFixed(0)} at most of ${STOPS}`);
      await page.context().close();
    }
  }
} finally {
  await browser.close();
  site.close();
  rmSync(films, { recursive: true });
}
