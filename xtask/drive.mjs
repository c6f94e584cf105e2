// Lets the page judge one picture in headless Chromium, and prints what it says as one JSON line.
//
//     AWARE_CHROMIUM=/usr/bin/chromium node xtask/drive.mjs URL PICTURE
//
// The page's ids are those of index.html; the texts are the page's own.

import { createRequire } from 'node:module';

const LIMIT_MS = 120_000;

// Installed for the page's tests.
const { chromium } = createRequire(new URL('../web/package.json', import.meta.url))('playwright-core');

const [url, picture] = process.argv.slice(2);
if (!url || !picture || !process.env.AWARE_CHROMIUM) {
  console.error('usage: AWARE_CHROMIUM=PROGRAM node xtask/drive.mjs URL PICTURE');
  process.exit(2);
}

const browser = await chromium.launch({
  executablePath: process.env.AWARE_CHROMIUM,
  // Chromium's sandbox does not start for root, nor in most containers; only our own page is opened.
  args: ['--no-sandbox'],
  timeout: LIMIT_MS,
});
try {
  const page = await browser.newPage();
  page.setDefaultTimeout(LIMIT_MS);
  const complaints = [];
  page.on('pageerror', (error) => complaints.push(String(error)));
  page.on('console', (message) => message.type() === 'error' && complaints.push(message.text()));
  const reached = (selector) =>
    page.waitForSelector(selector, { state: 'attached' }).catch((error) => {
      throw new Error([error.message, ...complaints].join('\n'));
    });
  await page.goto(url);
  // Before that nobody listens to the file picker.
  await reached('#app:not([data-state="starting"])');
  await page.setInputFiles('#picture', picture);
  const ended = await reached('#app[data-state="result"], #app[data-state="error"]');
  if ((await ended.getAttribute('data-state')) === 'error') {
    throw new Error(`the page says: ${await page.textContent('#error')}`);
  }
  const text = (id) => page.textContent(id);
  console.log(
    JSON.stringify({
      label: await page.getAttribute('#result', 'data-label'),
      probability_fake: await page.getAttribute('#result', 'data-probability'),
      backend: await text('#number-backend'),
      latency: await text('#number-network'),
      total: await text('#number-total'),
    }),
  );
} catch (error) {
  console.error(error.message ?? error);
  process.exitCode = 1;
} finally {
  await browser.close();
}
