// The page speaks the visitor's language, is whole in each, and bears long words and writing from right to left.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { after } from 'node:test';
import { SAMPLES, fixture, forget, judge, open, outcome, reached, sample, test, visit } from './site.mjs';

const site = await open(after);
const axe = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

const text = (page, id) => page.textContent(id).then((text) => text.trim().replaceAll(/\s+/g, ' '));
const lang = (page) => page.getAttribute('html', 'lang');

/** What axe-core finds wrong with the page as it is. */
async function complaints(page) {
  // Through the debugger: the page's own policy lets no other script in.
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => window.axe.run());
  return violations.flatMap(({ id, nodes }) => nodes.map((node) => `${id}: ${node.html}`));
}

/** Waits until the benchmark is in the state called `state`. */
const benched = (page, state) => page.waitForSelector(`#bench[data-state="${state}"]`, { state: 'attached' });

/** Brings the page into each of its states, and calls `look` in each with a name for it. */
async function everywhere(page, look) {
  await reached(page, 'idle');
  await page.waitForSelector('#sample-list img');
  await look('idle');
  await judge(page, fixture('group.jpg'));
  await page.click('#stages summary');
  await page.click('#numbers summary');
  await page.click('#explain');
  await page.waitForSelector('#explain[data-state="shown"]');
  await page.click('#second');
  await page.waitForSelector('#second-opinion:is([data-state="done"], [data-state="error"])');
  await page.click('#check');
  await page.waitForSelector('#device[data-state="passed"]');
  await page.click('#check-details summary');
  await look('result');
  await page.click(`[data-sample="${SAMPLES[0].file}"]`);
  // The verdict before it stays until the sample is there.
  await page.waitForSelector('#truth:not([hidden])');
  await outcome(page);
  await look('sample');
  await judge(page, fixture('make.py'));
  await look('error');
  await page.setInputFiles('#picture', fixture('film.webm'));
  await reached(page, 'watching');
  await look('watching');
  await reached(page, 'watched');
  await page.click('#film-result summary');
  await look('watched');
  await page.click('#to-benchmark');
  await benched(page, 'idle');
  await look('benchmark');
  await page.evaluate(() => (location.hash = '#benchmark?seconds=0.2&runs=3&places=cpu-simd128,gpu&simulated=x&start'));
  await benched(page, 'running');
  await benched(page, 'done');
  await page.click('#bench-result summary');
  await look('benchmark, result');
  await page.uncheck('[value=cpu-simd128]');
  await page.uncheck('[value=gpu]');
  await page.click('#bench-start');
  await benched(page, 'error');
  await look('benchmark, error');
}

test('a05 the address asks for German, and verdict, error and numbers are in German', async (t) => {
  const { page, requests, violations } = await visit(t, site, { query: '?lang=de' });
  await reached(page, 'idle');
  assert.equal(await lang(page), 'de');
  assert.equal(await page.title(), 'AWARE: Ist dieses Gesicht echt?');
  assert.equal(await text(page, 'h1'), 'Ist dieses Gesicht echt?');
  assert.match(await text(page, '#status'), /^Bereit\./);
  await page.click(`[data-sample="${SAMPLES[0].file}"]`);
  const { label, probability } = await outcome(page);
  const words = { real: 'Echt', fake: 'Gefälscht', uncertain: 'Ungewiss' };
  assert.equal(await text(page, '#label'), words[label]);
  // The same digits, with a comma for people and a point for programs.
  assert.match(probability, /^0\.\d+$/);
  assert.equal(await text(page, '#number-probability'), probability.replace('.', ','));
  assert.match(await text(page, '#percent'), /^(über |unter )?\d+,\d\s%$/);
  assert.match(await text(page, '#number-network'), /^\d+,\d ms$/);
  assert.match(await text(page, '#result'), /Nichts wurde irgendwohin gesendet/);
  assert.equal(await text(page, '#file-name'), 'Beispiel 1');
  // What is data stays as it is, and says so.
  assert.equal(await text(page, '#truth-credit'), SAMPLES[0].credit);
  assert.equal(await page.getAttribute('#truth-credit', 'lang'), 'en');
  const report = page.waitForEvent('download');
  await page.click('#save');
  const { verdict } = JSON.parse(await readFile(await (await report).path(), 'utf8'));
  assert.deepEqual(verdict.label, label);

  // An error that says more in English than its code does in German.
  const paper = { name: 'paper.pdf', mimeType: '', buffer: Buffer.from('%PDF-1.7\n') };
  const { code, message } = await judge(page, paper);
  assert.equal(code, 'unsupported');
  assert.match(message, /^Diese Art von Datei wird nicht als Bild gelesen; .* Einzelheiten auf Englisch: /);
  assert.match(await text(page, '#error-message [lang=en]'), /PDF is not supported as a picture/);
  assert.match(await text(page, '#history-list'), /Kein Urteil: diese Art von Datei/);
  // And one that does not.
  await forget(page);
  await page.evaluate(() => {
    const drop = new DragEvent('drop', { dataTransfer: new DataTransfer(), cancelable: true });
    document.dispatchEvent(drop);
  });
  assert.match((await outcome(page)).message, /^Das war keine Datei;/);
  assert.equal(await page.locator('#error-message [lang]').count(), 0);
  assert.deepEqual(violations, []);
  for (const request of requests) assert.ok(/^(blob:)?http:\/\/127\.0\.0\.1/.test(request.url()), request.url());
});

test('a05 a German browser gets German without being asked, and others get what they know, else English', async (t) => {
  for (const [locale, query, expected] of [
    ['de-DE', '', 'de'], ['de-AT', '?lang=en', 'en'], ['fr-FR', '', 'en'], ['en-GB', '?lang=tlh', 'en'], ['de-DE', '?lang=tlh', 'de'],
  ]) {
    const { page } = await visit(t, site, { locale, query });
    await reached(page, 'idle');
    assert.equal(await lang(page), expected, `${locale} ${query}`);
    assert.match(await text(page, '#status'), expected === 'de' ? /^Bereit/ : /^Ready/);
  }
});

test('a05 another language is chosen by keyboard, and nothing is lost or stored', async (t) => {
  const { page, requests, context } = await visit(t, site, { query: '?backend=cpu' });
  await reached(page, 'idle');
  const before = await judge(page, sample('fake-1.png'));
  await page.click('#check');
  await page.waitForSelector('#device[data-state="passed"]');
  await page.waitForLoadState('networkidle');
  // Files in memory are no requests.
  const sent = () => requests.map((request) => request.url()).filter((url) => !url.startsWith('blob:'));
  const asked = sent();
  assert.equal(await page.getAttribute('#languages [lang=en]', 'aria-current'), 'true');
  const focused = () => page.evaluate(() => document.activeElement.lang);
  await page.focus('#to-benchmark');
  for (let presses = 0; presses < 3 && (await focused()) !== 'de'; presses++) await page.keyboard.press('Tab');
  assert.equal(await focused(), 'de');
  await page.keyboard.press('Enter');
  await page.waitForSelector('html[lang=de]');
  assert.equal(new URL(page.url()).search, '?backend=cpu&lang=de');
  assert.equal(await focused(), 'de', 'the focus is lost');
  assert.equal(await page.getAttribute('#languages [lang=de]', 'aria-current'), 'true');
  assert.equal(await page.getAttribute('#languages [lang=en]', 'aria-current'), null);
  // The verdict is still there, and everything around it speaks German.
  assert.deepEqual(await outcome(page), before);
  assert.equal(await page.title(), 'AWARE: Ist dieses Gesicht echt?');
  assert.match(await text(page, '#meaning'), /Das Netz/);
  assert.match(await text(page, '#history-list'), /P\(Fälschung\) /);
  assert.match(await text(page, '#check-status'), /^Bestanden/);
  assert.match(await text(page, '#sample-list'), /^Beispiel 1/);
  // And back: every text is as it was.
  await page.click('#languages [lang=en]');
  await page.waitForSelector('html[lang=en]');
  assert.match(await text(page, '#meaning'), /The network/);
  assert.equal(await text(page, '#private'), 'Nothing was sent anywhere. The picture was judged on this device; you can switch the network off and try once more.');
  assert.match(await text(page, 'footer .fine'), /^Version [0-9a-f]{12}\. \S/);
  // Browsers ask for the icon of each address.
  assert.deepEqual(sent().slice(asked.length).filter((url) => !url.endsWith('/icon.svg')), []);
  assert.deepEqual((await context.storageState()).origins, []);
  // The link is one that can be opened elsewhere.
  assert.match(await page.getAttribute('#languages [lang=de]', 'href'), /^\?(backend=cpu&)?lang=de$/);
});

test('a05 a video and a benchmark are said again in another language', async (t) => {
  const { page } = await visit(t, site);
  await reached(page, 'idle');
  await page.setInputFiles('#picture', fixture('film.webm'));
  await reached(page, 'watched');
  await page.click('#languages [lang=de]');
  assert.match(await text(page, '#timeline-rows'), /^\d:\d\d ?Person 1/);
  assert.match(await text(page, '#film-coverage'), /Bilder bis \d:\d\d angesehen/);
  await page.evaluate(() => (location.hash = '#benchmark?seconds=0.2&runs=3&places=cpu-simd128&start'));
  await benched(page, 'done');
  assert.match(await text(page, '#bench-title'), /^\d+,\d ms im 90\. Perzentil$/);
  await page.click('#languages [lang=en]');
  assert.match(await text(page, '#bench-title'), /^\d+\.\d ms at the 90th percentile$/);
  assert.equal(new URL(page.url()).hash, '#benchmark?mode=quick&places=cpu-simd128&seconds=0.2&runs=3');
});

test('a05 axe-core finds nothing wrong in German', async (t) => {
  const { page } = await visit(t, site, { query: '?lang=de' });
  await everywhere(page, async (where) => assert.deepEqual(await complaints(page), [], where));
});

/** Elements that are seen and whose words do not fit, or stand outside the page. */
const cut = (page) => page.evaluate(() => {
  const wrong = [];
  const width = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth > width) wrong.push(`the page is ${document.documentElement.scrollWidth} wide, not ${width}`);
  for (const element of document.body.querySelectorAll('*')) {
    const hasWords = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!hasWords || !element.checkVisibility() || element.closest('.visually-hidden, svg, #status, video')) continue;
    const box = element.getBoundingClientRect();
    // What is wide scrolls by itself, in a region that the keyboard reaches.
    const scrolls = element.closest('.scroll');
    const isOutside = !scrolls && (box.left < -1 || box.right > width + 1);
    const isCut = element.clientWidth > 0 && element.scrollWidth > element.clientWidth + 1;
    const isLow = element.clientHeight > 0 && element.scrollHeight > element.clientHeight + 1 && getComputedStyle(element).overflowY !== 'visible';
    if (isOutside || isCut || isLow) wrong.push(element.outerHTML.slice(0, 200));
  }
  return wrong;
});

/** Words of the page that are not from web/messages: those of x-long have accents. */
const untranslated = (page) => page.evaluate(() => {
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const element = node.parentElement;
    // Names of files, data in English, names of languages and of the page; numbers and units.
    if (!element.checkVisibility() || element.closest('bdi, code, [lang]:not(html), .brand, noscript, svg')) continue;
    const words = node.data.replaceAll(/\b(ms|x)\b|[^\p{L}]/gu, ' ').trim();
    if (words && !/[áéíóúÁÉÍÓÚèß]/.test(node.data)) found.push(`${element.closest('[id]')?.id}: ${node.data.trim()}`);
  }
  for (const element of document.querySelectorAll('[aria-label]')) {
    if (!/ß/.test(element.ariaLabel)) found.push(element.outerHTML.slice(0, 200));
  }
  return found;
});

/** Elements with what a program, a browser or a device calls itself. */
const DATA = /^(number-(backend|model|sha256|engine)|second-(model|adapter)|model-name|version|stage-rows|bench-environment|check-list): /;

for (const [name, viewport] of [['a small phone', { width: 320, height: 640 }], ['a desk', { width: 1280, height: 800 }]]) {
  test(`a05 long words are not cut off on ${name}, and every word can be translated`, async (t) => {
    const { page } = await visit(t, site, { query: '?lang=x-long', viewport });
    await everywhere(page, async (where) => {
      assert.deepEqual(await cut(page), [], where);
      const words = await untranslated(page);
      assert.deepEqual(words.filter((text) => !DATA.test(text)), [], where);
    });
  });

  test(`a05 from right to left everything stands where it belongs on ${name}`, async (t) => {
    const { page } = await visit(t, site, { query: '?lang=x-rtl', viewport });
    assert.equal(await page.getAttribute('html', 'dir'), 'rtl');
    await everywhere(page, async (where) => assert.deepEqual(await cut(page), [], where));
    // Beginnings are at the right, and the scale's ends are above their words.
    await page.click('#to-detect');
    const { label } = await judge(page, sample('fake-1.png'));
    const box = (id) => page.locator(id).boundingBox();
    const [icon, title] = [await box(`.icon-${label}`), await box('#label')];
    assert.ok(icon.x > title.x, 'the icon stands behind the verdict');
    const [fake, word] = [await box('#scale-fake'), await box('[data-text="verdict.surely_fake"]')];
    assert.ok(Math.abs(fake.x - word.x) < 40, `${fake.x} ${word.x}`);
  });
}

test('a05 a page that cannot start says so in the language of the visitor', async (t) => {
  const old = (page) => page.addInitScript(() => (WebAssembly.validate = () => false));
  for (const [options, words] of [
    [{ locale: 'de-DE' }, /Dieser Browser ist zu alt/], [{ query: '?lang=de' }, /Dieser Browser ist zu alt/],
    [{ locale: 'fr-FR' }, /This browser is too old/],
  ]) {
    const { page } = await visit(t, site, { before: old, ...options });
    await page.waitForSelector('#browser-too-old:not([hidden])');
    const shown = await page.locator('#browser-too-old').innerText();
    assert.match(shown, words);
    assert.equal((shown.match(/WebAssembly/g) ?? []).length, 1, shown);
  }
});
