// The page works by keyboard, for screen readers, on small screens, and says so where it cannot work.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { after } from 'node:test';
import { MISSING, notInFirefox } from './browsers.mjs';
import { SAMPLES, fixture, judge, open, outcome, reached, test, visit } from './site.mjs';

const site = await open(after);
const axe = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** What axe-core finds wrong with the page as it is. */
async function complaints(page) {
  // Through the debugger: the page's own policy lets no other script in.
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => window.axe.run());
  return violations.flatMap(({ id, nodes }) => nodes.map((node) => `${id}: ${node.html}`));
}

test('axe-core finds nothing wrong before a verdict, with one, and with an error', async (t) => {
  const { page } = await visit(t, site);
  await reached(page, 'idle');
  await page.waitForSelector('#sample-list img');
  assert.deepEqual(await complaints(page), [], 'idle');
  await judge(page, fixture('photo.jpg'));
  assert.deepEqual(await complaints(page), [], 'result');
  await judge(page, fixture('make.py'));
  assert.deepEqual(await complaints(page), [], 'error');
});

for (const colorScheme of ['light', 'dark']) {
  const skip = colorScheme === 'dark' && notInFirefox(MISSING.media);
  test(`axe-core finds nothing wrong in any state, ${colorScheme}`, { skip }, async (t) => {
    let release;
    const held = new Promise((resolve) => (release = resolve));
    const { page } = await visit(t, site, {
      colorScheme,
      before: (page, context) =>
        context.route('**/*.onnx', async (route) => {
          await held;
          await route.continue();
        }),
    });
    await reached(page, 'loading');
    assert.deepEqual(await complaints(page), [], 'loading');
    release();
    await reached(page, 'idle');
    await page.waitForSelector('#sample-list img');
    assert.deepEqual(await complaints(page), [], 'idle');
    await judge(page, fixture('photo.jpg'));
    await page.click('#numbers summary');
    assert.deepEqual(await complaints(page), [], 'result');
    for (const label of ['real', 'fake', 'uncertain']) {
      await page.evaluate((label) => (document.getElementById('result').dataset.label = label), label);
      assert.deepEqual(await complaints(page), [], `result in the colours of ${label}`);
    }
    await page.click('#second');
    await page.waitForSelector('#second-opinion[data-state="error"]');
    assert.deepEqual(await complaints(page), [], 'second opinion');
    await judge(page, fixture('make.py'));
    assert.deepEqual(await complaints(page), [], 'error');
    await judge(page, fixture('group.jpg'));
    await page.click('#stages summary');
    await page.click('#explain');
    await page.waitForSelector('#explain[data-state="shown"]');
    assert.deepEqual(await complaints(page), [], 'several faces, with stages and heat-map');
    await page.setInputFiles('#picture', fixture('film.webm'));
    await reached(page, 'watching');
    assert.deepEqual(await complaints(page), [], 'watching');
    await reached(page, 'watched');
    await page.click('#film-result summary');
    assert.deepEqual(await complaints(page), [], 'watched');
    for (const label of ['real', 'fake', 'uncertain', 'undetermined']) {
      await page.evaluate((label) => (document.getElementById('film-result').dataset.label = label), label);
      assert.deepEqual(await complaints(page), [], `a video in the colours of ${label}`);
    }
    const bench = async (...states) => page.waitForSelector(states.map((state) => `#bench[data-state="${state}"]`).join(', '));
    await page.click('#to-benchmark');
    await bench('idle');
    assert.deepEqual(await complaints(page), [], 'benchmark');
    await page.evaluate(() => (location.hash = '#benchmark?seconds=0.2&runs=3&places=cpu-simd128,gpu&start'));
    await bench('running');
    assert.deepEqual(await complaints(page), [], 'benchmark, running');
    await bench('done');
    await page.click('#bench-result summary');
    assert.deepEqual(await complaints(page), [], 'benchmark, result');
    await page.uncheck('[value=cpu-simd128]');
    await page.uncheck('[value=gpu]');
    await page.click('#bench-start');
    await bench('error');
    assert.deepEqual(await complaints(page), [], 'benchmark, error');
  });
}

test('a sample can be judged with the keyboard alone, and focus is seen', async (t) => {
  const { page } = await visit(t, site);
  await reached(page, 'idle');
  await page.waitForSelector('#sample-list button');
  const focused = () => page.evaluate(() => document.activeElement.dataset.sample ?? document.activeElement.id);
  const path = [];
  for (let i = 0; i < 10 && (await focused()) !== SAMPLES[0].file; i++) {
    await page.keyboard.press('Tab');
    path.push(await focused());
    const outlined = await page.evaluate(() => {
      const { activeElement } = document;
      // The file picker itself is invisible; its label shows the focus.
      const seen = activeElement.id === 'picture' ? activeElement.nextElementSibling : activeElement;
      return getComputedStyle(seen).outlineStyle !== 'none';
    });
    assert.ok(outlined, `no focus to be seen on ${path.at(-1)}`);
  }
  assert.ok(path.includes('picture'), `the file picker is not on the way: ${path}`);
  await page.keyboard.press('Enter');
  assert.ok((await outcome(page)).label);
});

test('each state is announced once, in words', async (t) => {
  const { page } = await visit(t, site);
  await reached(page, 'idle');
  await page.evaluate(() => {
    window.announced = [];
    const status = document.getElementById('status');
    const note = () => window.announced.push(status.textContent);
    new MutationObserver(note).observe(status, { childList: true, characterData: true, subtree: true });
  });
  const { label } = await judge(page, fixture('photo.jpg'));
  const announced = await page.evaluate(() => window.announced);
  assert.equal(announced.length, 2, announced.join('\n'));
  assert.match(announced[0], /^Judging/);
  assert.match(announced[1].toLowerCase(), new RegExp(`^verdict: ${label}\\. probability of a fake: `));
  assert.equal(await page.getAttribute('#status', 'role'), 'status');
});

test('the verdict is told by word and shape, not by colour alone', { skip: notInFirefox(MISSING.media) }, async (t) => {
  const { page } = await visit(t, site, { forcedColors: 'active' });
  const { label } = await judge(page, fixture('photo.jpg'));
  assert.equal((await page.textContent('#label')).toLowerCase(), label);
  for (const shape of ['real', 'fake', 'uncertain']) {
    assert.equal(await page.isVisible(`.icon-${shape}`), shape === label, shape);
  }
});

test('nothing is wider than a screen of 320 pixels', async (t) => {
  const { page } = await visit(t, site, { viewport: { width: 320, height: 640 } });
  // Firefox's scroll bar takes a part of the screen.
  const excess = () => page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  await reached(page, 'idle');
  assert.ok((await page.evaluate(() => innerWidth)) <= 320);
  assert.equal(await excess(), 0, 'idle');
  await judge(page, { name: `${'long'.repeat(30)}.jpg`, mimeType: '', buffer: await readFile(fixture('photo.jpg')) });
  await page.click('#numbers summary');
  assert.equal(await excess(), 0, 'result');
  await judge(page, fixture('make.py'));
  assert.equal(await excess(), 0, 'error');
});

test('without JavaScript the page says what it needs', { skip: notInFirefox(MISSING.scripts) }, async (t) => {
  const { page } = await visit(t, site, { javaScriptEnabled: false });
  assert.match(await page.textContent('noscript'), /JavaScript/);
  assert.ok(await page.isVisible('noscript p'));
});

test('a browser without WebAssembly SIMD is told so', async (t) => {
  const { page, requests } = await visit(t, site, {
    before: (page) => page.addInitScript(() => (WebAssembly.validate = () => false)),
  });
  await page.waitForSelector('#browser-too-old:not([hidden])');
  assert.equal(await page.getAttribute('#browser-too-old', 'data-code'), 'browser_too_old');
  assert.ok(!requests.some((request) => request.url().endsWith('.onnx')));
});

test('a page that comes in part says so', async (t) => {
  const { page } = await visit(t, site, {
    before: (page, context) => context.route('**/app_bg.wasm', (route) => route.fulfill({ status: 404 })),
  });
  await page.waitForSelector('#start-failed:not([hidden])');
});
