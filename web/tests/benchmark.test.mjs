// The benchmark at #benchmark: figures, truth beside them, files in and out.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { after } from 'node:test';
import { MISSING, isFirefox, notInFirefox, saved as fileSaved } from './browsers.mjs';
import { ROOT, open, temporary, test, visit } from './site.mjs';

const site = await open(after);

/** Waits until the benchmark is in one of `states`, and says in which. */
async function benchReached(page, ...states) {
  const selector = states.map((state) => `#bench[data-state="${state}"]`).join(', ');
  return (await page.waitForSelector(selector, { state: 'attached' })).getAttribute('data-state');
}

/** The result, as the page saves it. */
const saved = async (page) => JSON.parse((await fileSaved(page, '#bench-save')).text);

/** What stands in the row of `subject` at `place`. */
const row = async (page, subject, place) =>
  (await page.locator(`[data-cell="${subject} ${place}"] > *`).allTextContents()).map((text) => text.trim());

test('w7 a quick measurement shows warm and cold times, truth and device, and sends nothing', async (t) => {
  const { page, requests, violations } = await visit(t, site, { query: '#benchmark' });
  assert.equal(await page.isVisible('#app'), false);
  assert.equal(await page.isVisible('#bench'), true);
  await page.evaluate(() => (location.hash = '#benchmark?mode=quick&seconds=0.5&runs=5&places=cpu-relaxed,cpu-simd128'));
  await page.click('#bench-start');
  assert.equal(await benchReached(page, 'done', 'error'), 'done');
  const report = await saved(page);
  assert.equal(report.schema_version, '1.0');
  assert.deepEqual(report.settings, { mode: 'quick', seconds: 0.5, least_runs: 5 });
  const cells = report.cells.map(({ place, subject }) => `${subject} ${place}`);
  const places = ['cpu-relaxed', 'cpu-simd128'];
  assert.deepEqual(cells, places.flatMap((place) => ['stage1', 'efficientnet', 'faces', 'picture'].map((subject) => `${subject} ${place}`)));
  for (const { summary, difference, problem } of report.cells) {
    assert.equal(problem, undefined);
    assert.ok(summary.runs >= 5 && summary.min_ms > 0 && summary.min_ms <= summary.p50_ms, JSON.stringify(summary));
    assert.ok(summary.p50_ms <= summary.p90_ms && summary.p90_ms <= summary.p99_ms && summary.p99_ms <= summary.max_ms);
    assert.ok(difference === undefined || difference === 0);
  }
  for (const { golden_passed, cold, place } of report.places) {
    assert.equal(golden_passed, true, place);
    assert.ok(cold.start_ms > 0 && cold.fetch_ms > 0 && cold.load_ms > 0 && cold.first_run_ms > 0, JSON.stringify(cold));
  }
  assert.deepEqual(report.invalid, []);
  const manifest = JSON.parse(await readFile(path.join(ROOT, 'models/cascade/manifest.json'), 'utf8'));
  assert.equal(report.model.sha256, manifest.files.find(({ name }) => name === 'stage1.onnx').sha256);
  assert.match(report.environment.user_agent, isFirefox ? /Firefox/ : /Chrome/);
  assert.equal(report.environment.has_relaxed_simd, true);
  assert.equal(report.simulated, undefined);
  // What is shown is what is saved.
  const [, p50, p90] = await row(page, 'stage1', 'cpu-relaxed');
  const { summary } = report.cells[0];
  assert.deepEqual([p50, p90], [summary.p50_ms.toFixed(2), summary.p90_ms.toFixed(2)]);
  assert.match(await page.textContent('#bench-title'), new RegExp(`^${summary.p90_ms.toFixed(1).replace('.', '\\.')} ms`));
  assert.match(await page.textContent('#bench-golden'), /right to the last bit/);
  assert.ok((await page.textContent('#bench-environment')).includes(report.environment.user_agent));
  assert.deepEqual(violations, []);
  assert.ok(requests.every((request) => request.method() === 'GET' && new URL(request.url()).origin === new URL(site.url).origin || request.url().startsWith('blob:')));
});

/** Measures what the address says, beginning at once; few runs, since a busy machine takes its time for each. */
async function measured(page, options) {
  await page.evaluate((hash) => (location.hash = hash), `#benchmark?mode=quick&start&runs=3&${options}`);
  return benchReached(page, 'done', 'error');
}

const FLOATS = path.join(ROOT, 'models/faces/stage1.onnx');
const hasPeer = existsSync(path.join(ROOT, 'dist/peers/onnxruntime'));

test('w7 other runtimes run the network in floats beside ours, and must give what ours gives', { skip: !hasPeer && 'the page was built without onnxruntime-web' }, async (t) => {
  const { page, violations, requests } = await visit(t, site, { query: '#benchmark' });
  assert.equal(await measured(page, 'seconds=0.5&places=cpu-relaxed,onnxruntime&compare'), 'done');
  const report = await saved(page);
  const [ours, theirs] = report.cells.filter(({ subject }) => subject === 'file');
  assert.deepEqual([ours.place, theirs.place], ['cpu-relaxed', 'onnxruntime']);
  assert.ok(ours.summary.runs >= 3 && theirs.summary.runs >= 3);
  assert.ok(theirs.difference >= 0 && theirs.difference < 1e-4, `${theirs.difference}`);
  const bytes = await readFile(FLOATS);
  assert.deepEqual(report.file, {
    what: 'the network in floats', bytes: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex'),
  });
  assert.match(await page.textContent('#bench-peer'), /^That is \d+\.\d times as fast as onnxruntime-web/);
  assert.deepEqual(violations, []);
  assert.ok(requests.some((request) => request.url().endsWith('ort-wasm-simd-threaded.wasm')));
});

test('w7 an ONNX file of one\'s own runs where it can, and the others say why not', async (t) => {
  const { page } = await visit(t, site, { query: '#benchmark' });
  const [own] = await temporary(t, { 'mine.onnx': await readFile(FLOATS) });
  await page.setInputFiles('#bench-file', own);
  assert.match(await page.textContent('#bench-file-name'), /mine\.onnx/);
  assert.equal(await measured(page, 'seconds=0.3&places=cpu-simd128,gpu,wonnx'), 'done');
  const report = await saved(page);
  assert.deepEqual(report.file.what, 'own file');
  assert.ok(!JSON.stringify(report).includes('mine'), 'the name of a file is nobody\'s business');
  assert.ok(report.cells.find(({ place, subject }) => place === 'cpu-simd128' && subject === 'file').summary.runs >= 3);
  // This browser has no adapter.
  for (const { place, problem } of report.places.slice(1)) {
    if (place === 'gpu') assert.match(problem, /adapter|WebGPU/i, place);
  }
  assert.match((await row(page, 'file', 'wonnx')).join(' '), /adapter|WebGPU/i);
  // A file that is none.
  await page.setInputFiles('#bench-file', { name: 'no.onnx', mimeType: '', buffer: Buffer.from('no network at all') });
  assert.equal(await measured(page, 'seconds=0.2&places=cpu-simd128'), 'done');
  assert.match((await row(page, 'file', 'cpu-simd128')).join(' '), /refused/);
});

test('w7 what is dropped on the benchmark is for it: a network, or a saved result', async (t) => {
  const { page } = await visit(t, site, { query: '#benchmark' });
  const drop = (name, text) => page.evaluate(({ name, text }) => {
    const data = new DataTransfer();
    data.items.add(new File([text], name));
    document.dispatchEvent(new DragEvent('drop', { dataTransfer: data, cancelable: true }));
  }, { name, text });
  await drop('dropped.onnx', 'no network');
  assert.match(await page.textContent('#bench-file-name'), /^dropped\.onnx/);
  await drop('result.json', '{}');
  await benchReached(page, 'error');
  assert.equal(await page.getAttribute('#bench-error', 'data-code'), 'report');
  assert.equal(await page.locator('#history-list li').count(), 0, 'it was judged as a picture');
});

test('w7 b01 a measurement is stopped with what is there, and is not valid; nor is one of a hidden page', async (t) => {
  const { page } = await visit(t, site, { query: '#benchmark' });
  await page.evaluate(() => (location.hash = '#benchmark?mode=full&start&places=cpu-simd128'));
  await benchReached(page, 'running');
  await page.waitForFunction(() => document.getElementById('bench-status').textContent.startsWith('Measuring'));
  await page.evaluate(() => {
    Object.defineProperty(document, 'hidden', { get: () => true, configurable: true });
    document.dispatchEvent(new Event('visibilitychange'));
    delete document.hidden;
  });
  await page.waitForTimeout(600);
  await page.click('#bench-stop');
  assert.equal(await benchReached(page, 'done', 'error'), 'done');
  const report = await saved(page);
  assert.deepEqual(report.invalid, ['tab_hidden', 'stopped', 'too_few_runs']);
  assert.equal(await page.getAttribute('#bench-result', 'data-valid'), 'false');
  assert.equal(await page.locator('#bench-reasons li').count(), 3);
  // The next one begins with a clean slate.
  assert.equal(await measured(page, 'seconds=0.2&places=cpu-simd128'), 'done');
  assert.deepEqual((await saved(page)).invalid, []);
});

test('b01 where a golden vector is wrong, no figure is valid', async (t) => {
  const { page } = await visit(t, site, {
    query: '#benchmark',
    before: async (page) => {
      const folder = path.join(ROOT, 'models/cascade');
      const golden = JSON.parse(await readFile(path.join(folder, 'golden.json'), 'utf8'));
      golden.vectors[0].probability_fake /= 2;
      const body = JSON.stringify(golden);
      const manifest = JSON.parse(await readFile(path.join(folder, 'manifest.json'), 'utf8'));
      const entry = manifest.files.find(({ name }) => name === 'golden.json');
      Object.assign(entry, { bytes: body.length, sha256: createHash('sha256').update(body).digest('hex') });
      await page.route('**/cascade/golden.json', (route) => route.fulfill({ body }));
      await page.route('**/cascade/manifest.json', (route) => route.fulfill({ json: manifest }));
    },
  });
  assert.equal(await measured(page, 'seconds=0.2&places=cpu-simd128'), 'done');
  const report = await saved(page);
  assert.equal(report.places[0].golden_passed, false);
  assert.deepEqual(report.invalid, ['wrong_numbers']);
  assert.match(await page.textContent('#bench-golden'), /: wrong\.$/);
});

test('w7 s02 results are opened again, two side by side; hostile ones are refused', async (t) => {
  const { page, violations } = await visit(t, site, { query: '#benchmark' });
  assert.equal(await measured(page, 'seconds=0.2&places=cpu-simd128'), 'done');
  const report = await saved(page);
  await page.reload();
  const file = (name, value) => ({ name, mimeType: 'application/json', buffer: Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)) });
  const slower = structuredClone(report);
  for (const { summary } of slower.cells) {
    for (const field of ['min_ms', 'p50_ms', 'p90_ms', 'p99_ms', 'max_ms']) summary[field] *= 2;
  }
  slower.environment.user_agent = '<img src=x onerror=alert(1)>';
  await page.setInputFiles('#bench-import', [file('one.json', report), file('two.json', slower)]);
  await page.waitForSelector('#bench-other:not([hidden])', { state: 'attached' });
  assert.match((await row(page, 'stage1', 'cpu-simd128')).at(-1), /, 2\.00 times this$/);
  assert.ok((await page.textContent('#bench-environment')).includes('<img src=x'));
  assert.equal(await page.locator('#bench-environment img').count(), 0);
  const hostile = {
    'version.json': { ...report, schema_version: '2.0' },
    'text.json': '<!doctype html>',
    'times.json': { ...report, cells: [{ ...report.cells[0], summary: { ...report.cells[0].summary, p50_ms: -1 } }] },
    'large.json': ' '.repeat((1 << 20) + 1),
  };
  for (const [name, value] of Object.entries(hostile)) {
    await page.setInputFiles('#bench-import', file(name, value));
    await benchReached(page, 'error');
    assert.equal(await page.getAttribute('#bench-error', 'data-code'), 'report', name);
    await page.setInputFiles('#bench-import', file('good.json', report));
  }
  assert.deepEqual(violations, []);
});

test('w7 every option stands in the address', async (t) => {
  const { page } = await visit(t, site, { query: '#benchmark?mode=full&places=gpu,wonnx&seconds=90&compare' });
  const checked = () => page.evaluate(() => [...document.querySelectorAll('#bench input:checked')].map(({ value, id }) => id || value));
  assert.deepEqual(await checked(), ['full', 'gpu', 'wonnx', 'bench-compare']);
  await page.check('[value=sustained]');
  await page.uncheck('[value=wonnx]');
  assert.equal(new URL(page.url()).hash, '#benchmark?mode=sustained&places=gpu&seconds=90&compare');
  await page.uncheck('[value=gpu]');
  await page.click('#bench-start');
  assert.equal(await page.getAttribute('#bench-error', 'data-code'), 'places');
  await page.click('#to-detect');
  assert.equal(await page.isVisible('#app'), true);
  assert.equal(await page.isVisible('#bench'), false);
});

// Chromium slows down the thread of the page and not its workers, so this says nothing about a phone: it shows that a
// simulated figure says so wherever it stands.
for (const rate of [4, 6]) {
  test(`w7 on a simulated phone, ${rate} times slower, figures say that they are simulated`, { skip: notInFirefox(MISSING.devtools) }, async (t) => {
    const phone = { viewport: { width: 390, height: 844 }, deviceScaleFactor: 3, isMobile: true, hasTouch: true };
    const { page, context } = await visit(t, site, { query: '#benchmark', ...phone });
    const devtools = await context.newCDPSession(page);
    await devtools.send('Emulation.setCPUThrottlingRate', { rate });
    assert.equal(await measured(page, `seconds=0.3&places=cpu-simd128&simulated=cpu-${rate}x`), 'done');
    const report = await saved(page);
    assert.equal(report.simulated, `cpu-${rate}x`);
    assert.deepEqual(report.environment.screen, [390, 844]);
    assert.equal(await page.isVisible('#bench-simulated'), true);
    assert.equal(await page.textContent('#bench-simulated-text'), `cpu-${rate}x`);
    const width = await page.evaluate(() => document.documentElement.scrollWidth);
    assert.ok(width <= 390, `the page is ${width} pixels wide`);
    await page.tap('#to-detect');
    assert.equal(await page.isVisible('#app'), true);
  });
}
