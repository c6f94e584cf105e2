// Pictures with several faces: each has its own verdict, and the one that matters most decides.

import assert from 'node:assert/strict';
import { after } from 'node:test';
import { saved as fileSaved } from './browsers.mjs';
import { SAMPLES, aware, fixture, judge, noProgram, open, sample, test, visit } from './site.mjs';

const site = await open(after);

/** The report that the page offers to save. */
const saved = async (page) => JSON.parse((await fileSaved(page, '#save')).text);

test('w11 the face of each sample is found, in the page as in the program', async (t) => {
  const { page } = await visit(t, site);
  for (const { file } of SAMPLES) {
    await judge(page, sample(file));
    const report = await saved(page);
    assert.equal(report.faces.length, 1, file);
    assert.equal(report.crop.source, 'face_square', file);
    assert.ok(report.faces[0].decided, file);
    assert.equal(await page.locator('#face-boxes rect').count(), 1);
    assert.equal(await page.isVisible('#faces'), false, 'one face needs no table');
  }
});

test('i11 two people have two verdicts, one too small is listed, and page and program agree', { skip: noProgram }, async (t) => {
  const { page } = await visit(t, site);
  const shown = await judge(page, fixture('group.jpg'));
  const [native] = await aware(fixture('group.jpg'));
  assert.deepEqual(shown, native);
  const report = await saved(page);
  const judged = report.faces.filter(({ label }) => label);
  assert.equal(judged.length, 2);
  assert.equal(report.faces.filter(({ decided }) => decided).length, 1);
  const decided = report.faces.find((face) => face.decided);
  assert.equal(decided.probability_fake, Math.max(...judged.map((face) => face.probability_fake)));
  assert.equal(report.verdict.probability_fake, decided.probability_fake);
  assert.ok(report.notices.includes('several_faces'));
  assert.equal(await page.locator('#face-rows tr').count(), report.faces.length);
  assert.match(await page.textContent('#face-rows'), /\(decides\)/);
});

test('i11 a picture without a face never counts as sure', async (t) => {
  const { page } = await visit(t, site);
  const { label } = await judge(page, fixture('no_face.jpg'));
  const report = await saved(page);
  assert.deepEqual(report.faces ?? [], []);
  assert.ok(report.notices.includes('no_face'));
  assert.equal(label, 'uncertain');
});

test('a site without a face detector judges the middle, and says so', async (t) => {
  const { page } = await visit(t, site, {
    before: (page, context) => context.route('**/face.json', (route) => route.fulfill({ status: 404 })),
  });
  await judge(page, sample('real-1.png'));
  const report = await saved(page);
  assert.equal(report.crop.source, 'centre_square');
  assert.ok(report.notices.includes('no_face_detector'));
});

test('m01 a face detector that is not the one of its manifest is refused', async (t) => {
  const { page } = await visit(t, site, {
    before: (page, context) =>
      context.route('**/face.onnx', async (route) => {
        const body = await (await route.fetch()).body();
        body[body.length >> 1] ^= 1;
        await route.fulfill({ status: 200, body });
      }),
  });
  await page.waitForSelector('#error[data-code="model_integrity"]');
});
