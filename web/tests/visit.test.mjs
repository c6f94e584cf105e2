// A visit: several files, what was judged before, reports that come back, and paper.

import assert from 'node:assert/strict';
import { after } from 'node:test';
import { MISSING, notInFirefox, saved as fileSaved } from './browsers.mjs';
import { EXPERT, fixture, forget, judge, open, outcome, reached, sample, test, visit } from './site.mjs';

const site = await open(after);

const entries = (page) =>
  page.evaluate(() => [...document.querySelectorAll('#history-list li')].map((item) => [
    item.querySelector('bdi').textContent, item.querySelector('span').textContent,
  ]));

/** The file that the link `id` saves, as text. */
const saved = async (page, id) => (await fileSaved(page, id)).text;

const file = (name, value) => ({
  name, mimeType: 'application/json', buffer: Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)),
});

test('several files are judged in their order, bad ones among them, and can be shown again', async (t) => {
  const { page, requests } = await visit(t, site);
  await reached(page, 'idle');
  const isOwn = (url) => url.startsWith('blob:') || url === new URL(EXPERT, site.url).href;
  const sent = () => requests.filter((request) => !isOwn(request.url())).length;
  const before = sent();
  await forget(page);
  await page.setInputFiles('#picture', [sample('real-1.png'), fixture('make.py'), sample('fake-1.png'), fixture('group.jpg')]);
  await page.waitForFunction(() => document.querySelectorAll('#history-list li').length === 4);
  assert.deepEqual((await entries(page)).map(([name]) => name), ['real-1.png', 'make.py', 'fake-1.png', 'group.jpg']);
  assert.match((await entries(page))[1][1], /^No verdict: /);
  const last = await outcome(page);
  // The same verdicts as one by one.
  const lines = (await saved(page, '#history-save')).trim().split('\n').map((line) => JSON.parse(line));
  assert.equal(lines.length, 3);
  for (const [at, path] of [sample('real-1.png'), sample('fake-1.png'), fixture('group.jpg')].entries()) {
    const { label, probability } = await judge(page, path);
    assert.deepEqual([lines[at].verdict.label, lines[at].verdict.probability_fake], [label, Number(probability)]);
  }
  await page.click('[data-entry="0"]');
  const again = await outcome(page);
  assert.equal(Number(again.probability), lines[0].verdict.probability_fake);
  assert.notDeepEqual(again, last);
  assert.equal(await page.textContent('#file-name'), 'real-1.png');
  await page.waitForFunction(() => document.getElementById('preview-image').naturalWidth > 0);
  await page.click('#history-clear');
  assert.equal(await page.isVisible('#history'), false);
  // What was shown stays, and nothing was asked of anybody.
  assert.equal(await page.isVisible('#result'), true);
  assert.equal(sent(), before);
});

test('a01 Escape lets the files that wait be, and keeps what was judged', async (t) => {
  const { page } = await visit(t, site);
  await reached(page, 'idle');
  await page.setInputFiles('#picture', Array.from({ length: 40 }, (_, at) => sample(at % 2 ? 'real-1.png' : 'fake-1.png')));
  await page.waitForFunction(() => document.querySelectorAll('#history-list li').length > 1);
  await page.keyboard.press('Escape');
  await reached(page, 'result');
  const count = await page.locator('#history-list li').count();
  assert.ok(count > 1 && count < 40, `${count}`);
  assert.equal(await page.isVisible('#queue-stop'), false);
});

test('a report that was saved opens again, with the same numbers and a word of warning', async (t) => {
  const { page, violations } = await visit(t, site);
  const { label, probability } = await judge(page, fixture('group.jpg'));
  const report = JSON.parse(await saved(page, '#save'));
  await page.reload();
  await reached(page, 'idle');
  await forget(page);
  await page.setInputFiles('#picture', file('report.json', report));
  assert.deepEqual(await outcome(page), { label, probability });
  assert.equal(await page.isVisible('#opened'), true);
  for (const id of ['#preview-figure', '#explain', '#second', '#private']) assert.equal(await page.isVisible(id), false, id);
  assert.equal(await page.locator('#face-rows tr').count(), report.faces.length);
  assert.deepEqual(JSON.parse(await saved(page, '#save')), report);
  // It is no judgement of this visit.
  assert.equal(await page.isVisible('#history'), false);
  // A picture afterwards is a picture.
  await judge(page, fixture('photo.jpg'));
  assert.equal(await page.isVisible('#opened'), false);
  assert.equal(await page.isVisible('#preview-figure'), true);
  assert.deepEqual(violations, []);
});

test('the report of a video opens again', async (t) => {
  const { page } = await visit(t, site);
  await reached(page, 'idle');
  await page.setInputFiles('#picture', fixture('film.webm'));
  await reached(page, 'watched');
  const report = JSON.parse(await saved(page, '#film-save'));
  await page.reload();
  await reached(page, 'idle');
  await page.setInputFiles('#picture', file('film.json', report));
  await reached(page, 'watched');
  assert.equal(await page.getAttribute('#film-result', 'data-label'), report.verdict.label);
  assert.ok((await page.locator('#timeline-rows tr').count()) > 0);
});

test('s02 files that only look like reports are refused, and nothing in them becomes markup', async (t) => {
  const { page, violations } = await visit(t, site);
  await judge(page, fixture('photo.jpg'));
  const report = JSON.parse(await saved(page, '#save'));
  const changed = (change) => {
    const copy = structuredClone(report);
    change(copy);
    return copy;
  };
  const hostile = {
    'empty.json': '',
    'html.json': '<!doctype html><script>alert(1)</script>',
    'number.json': '7',
    'version.json': changed((copy) => (copy.schema_version = '2.0')),
    'share.json': changed((copy) => (copy.verdict.probability_fake = 1.5)),
    'nan.json': changed((copy) => (copy.thresholds.lower = null)),
    'outside.json': changed((copy) => (copy.crop.x = 4_000_000_000)),
    'nobody.json': changed((copy) => (copy.verdict.decided_by = 'nobody')),
    'long.json': changed((copy) => (copy.model.name = 'x'.repeat(100_000))),
    'video.json': { ...report, timeline: [] },
    'deep.json': '['.repeat(200_000),
    'prototype.json': '{"__proto__": {"schema_version": "1.2"}}',
  };
  for (const [name, value] of Object.entries(hostile)) {
    await forget(page);
    await page.setInputFiles('#picture', file(name, value));
    assert.equal((await outcome(page)).code, 'report', name);
  }
  await forget(page);
  await page.setInputFiles('#picture', file('markup.json', changed((copy) => (copy.model.name = '<img src=x onerror=alert(1)>'))));
  await outcome(page);
  assert.ok((await page.textContent('#number-model')).includes('<img src=x'));
  assert.equal(await page.locator('#numbers img').count(), 0);
  assert.deepEqual(violations, []);
});

test('on paper there is the report, with the picture if the visitor wants it', { skip: notInFirefox(MISSING.media) }, async (t) => {
  const { page } = await visit(t, site);
  await judge(page, fixture('photo.jpg'));
  await page.emulateMedia({ media: 'print' });
  for (const id of ['#result', '#preview-image', '#numbers dl', '#stages table']) assert.equal(await page.isVisible(id), true, id);
  for (const id of ['#drop', '#samples', '#device', 'nav', '#print']) assert.equal(await page.isVisible(id), false, id);
  await page.emulateMedia({ media: 'screen' });
  await page.uncheck('#print-picture');
  await page.emulateMedia({ media: 'print' });
  assert.equal(await page.isVisible('#preview-image'), false);
  await page.emulateMedia({ media: 'screen' });
  const printed = await page.evaluate(() => {
    let count = 0;
    window.print = () => count++;
    document.getElementById('print').click();
    return count;
  });
  assert.equal(printed, 1);
});
