// A visitor gives a picture and gets a verdict, the same one as on the command line.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after } from 'node:test';
import { saved } from './browsers.mjs';
import { SAMPLES, aware, fixture, forget, judge, noProgram, open, outcome, reached, sample, test, visit, withoutRelaxedSimd } from './site.mjs';

const site = await open(after);

test('a sample gets a verdict with a click', async (t) => {
  const { page } = await visit(t, site);
  await reached(page, 'idle');
  const [first] = SAMPLES;
  await page.click(`[data-sample="${first.file}"]`);
  const { label, probability } = await outcome(page);
  assert.match(label, /^(real|fake|uncertain)$/);
  assert.ok(Number(probability) >= 0 && Number(probability) <= 1, probability);
  assert.equal((await page.textContent('#label')).toLowerCase(), label);
  assert.equal(await page.textContent('#number-probability'), probability);
  assert.equal(await page.textContent('#truth-label'), first.truth);
  assert.equal(await page.textContent('#truth-credit'), first.credit);
  assert.match(await page.textContent('#number-network'), /^\d+\.\d ms$/);
  assert.equal(await page.textContent('#number-backend'), 'cpu');
  assert.match(await page.textContent('#number-sha256'), /^[0-9a-f]{64}$/);
  assert.match(await page.textContent('#result'), /Nothing was sent anywhere/);
  // Where there is nothing to keep in mind, nothing announces it.
  const heading = page.locator('h3:has(+ #notices)');
  for (const [items, isShown] of [['a limit', true], ['', false]]) {
    await page.evaluate((text) => (document.getElementById('notices').textContent = text), items);
    assert.equal(await heading.isVisible(), isShown);
  }
});

test('a browser gets the fastest engine that it takes', async (t) => {
  for (const [before, script] of [[undefined, 'worker_relaxed_loader.js'], [withoutRelaxedSimd, 'worker_loader.js']]) {
    const { page } = await visit(t, site, { before });
    await reached(page, 'idle');
    assert.deepEqual(page.workers().map((worker) => worker.url().split('/').pop()), [script]);
  }
});

test('page and command line give the same bits', { skip: noProgram }, async (t) => {
  const pictures = [
    ...SAMPLES.map(({ file }) => sample(file)),
    ...['photo.jpg', 'progressive.jpg', 'photo.png', 'alpha.png', 'photo.webp', 'rotated.jpg'].map(fixture),
  ];
  const native = await aware(...pictures);
  for (const before of [undefined, withoutRelaxedSimd]) {
    const { page } = await visit(t, site, { before });
    for (const [i, picture] of pictures.entries()) {
      assert.deepEqual(await judge(page, picture), native[i], picture);
    }
  }
});

test('the label follows the thresholds of the model', async (t) => {
  const { page } = await visit(t, site);
  const { label, probability } = await judge(page, fixture('photo.jpg'));
  const lower = Number.parseFloat(await page.textContent('#number-lower'));
  const upper = Number.parseFloat(await page.textContent('#number-upper'));
  const expected = Number(probability) >= upper ? 'fake' : Number(probability) <= lower ? 'real' : 'uncertain';
  assert.equal(label, expected);
  // No end of the scale is called sure where the model never is.
  assert.equal(await page.textContent('#scale-real-end'), lower > 0 ? 'surely real' : 'Real');
  assert.equal(await page.textContent('#scale-fake-end'), upper < 1 ? 'surely fake' : 'Fake');
});

test('a picture chosen while the model is on its way is judged right after', async (t) => {
  let release;
  const held = new Promise((resolve) => (release = resolve));
  const { page } = await visit(t, site, {
    before: (page, context) =>
      context.route('**/*.onnx', async (route) => {
        await held;
        await route.continue();
      }),
  });
  await reached(page, 'loading');
  await page.setInputFiles('#picture', fixture('photo.jpg'));
  assert.equal(await page.getAttribute('#app', 'data-state'), 'loading');
  release();
  assert.ok((await outcome(page)).label);
});

test('of two pictures in a row, the second one counts', async (t) => {
  const { page } = await visit(t, site);
  const [first, second] = [await judge(page, fixture('photo.jpg')), await judge(page, fixture('alpha.png'))];
  assert.notEqual(first.probability, second.probability);
  await forget(page);
  await page.setInputFiles('#picture', fixture('photo.jpg'));
  await page.setInputFiles('#picture', fixture('alpha.png'));
  assert.deepEqual(await outcome(page), second);
  assert.equal(await page.textContent('#file-name'), 'alpha.png');
});

test('a picture can be dropped and pasted', async (t) => {
  const { page } = await visit(t, site);
  await reached(page, 'idle');
  const chosen = await judge(page, fixture('photo.jpg'));
  const bytes = [...(await readFile(fixture('photo.jpg')))];
  for (const gesture of ['drop', 'paste']) {
    await forget(page);
    await page.evaluate(
      ({ gesture, bytes }) => {
        const data = new DataTransfer();
        data.items.add(new File([Uint8Array.from(bytes)], 'photo.jpg', { type: 'image/jpeg' }));
        const event =
          gesture === 'drop'
            ? new DragEvent('drop', { dataTransfer: data, bubbles: true, cancelable: true })
            : new ClipboardEvent('paste', { bubbles: true, cancelable: true });
        // Firefox copies texts alone into the event that a script makes.
        if (gesture === 'paste') Object.defineProperty(event, 'clipboardData', { value: data });
        document.getElementById('drop').dispatchEvent(event);
      },
      { gesture, bytes },
    );
    assert.deepEqual(await outcome(page), chosen, gesture);
  }
});

test('a picture is told by its bytes, not by its name or type', async (t) => {
  const { page } = await visit(t, site);
  const right = await judge(page, fixture('photo.png'));
  const buffer = await readFile(fixture('photo.png'));
  assert.deepEqual(await judge(page, { name: 'photo.jpg', mimeType: 'image/jpeg', buffer }), right);
  assert.deepEqual(await judge(page, { name: 'photo.svg', mimeType: 'image/svg+xml', buffer }), right);
  const size = await page.evaluate(async () => {
    const image = document.getElementById('preview-image');
    await image.decode();
    return [image.naturalWidth, image.naturalHeight];
  });
  assert.deepEqual(size, [200, 160]);
});

test('a rotated photo is shown and judged upright', async (t) => {
  const { page } = await visit(t, site);
  await judge(page, fixture('rotated.jpg'));
  assert.equal(await page.textContent('#number-picture'), '200 x 160 pixels');
  const size = await page.evaluate(async () => {
    const image = document.getElementById('preview-image');
    await image.decode();
    return [image.naturalWidth, image.naturalHeight];
  });
  assert.deepEqual(size, [200, 160]);
});

test('a hostile file name is shown as text', async (t) => {
  const { page } = await visit(t, site);
  const name = '<img src=x onerror=alert(1)> \u202egpj.exe ../../etc 🙂.jpg';
  page.on('dialog', () => assert.fail('a script in the name ran'));
  await judge(page, { name, mimeType: 'image/jpeg', buffer: await readFile(fixture('photo.jpg')) });
  assert.equal(await page.locator('#file-name *').count(), 0);
  assert.match(await page.textContent('#file-name'), /^<img src=x/);
  await judge(page, { name: `${'n'.repeat(200)}.jpg`, mimeType: '', buffer: await readFile(fixture('photo.jpg')) });
  assert.equal((await page.textContent('#file-name')).length, 120);
});

test('the saved report says what the page says, and names neither file nor place', async (t) => {
  const { page } = await visit(t, site);
  const { label, probability } = await judge(page, fixture('photo.jpg'));
  const { name, text } = await saved(page, '#save');
  assert.equal(name, 'aware-report.json');
  const report = JSON.parse(text);
  assert.equal(report.verdict.label, label);
  assert.ok(text.includes(`"probability_fake": ${probability}`));
  assert.equal(report.stages[0].sha256, await page.textContent('#number-sha256'));
  assert.ok(!text.includes('photo'));
});
