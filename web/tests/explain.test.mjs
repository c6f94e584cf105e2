// Why: what each stage said, and what moved the answer.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { after } from 'node:test';
import { promisify } from 'node:util';
import { ROOT, judge, noProgram, open, sample, test, visit } from './site.mjs';

const site = await open(after);

test('w12 each stage says its part', async (t) => {
  const { page } = await visit(t, site);
  const { probability } = await judge(page, sample('fake-1.png'));
  await page.click('#stages summary');
  const cells = await page.locator('#stage-rows tr').first().locator('th, td').allTextContents();
  assert.equal(cells.length, 6);
  assert.equal(parseFloat(cells[1]), Math.round(probability * 1000) / 10);
  assert.match(cells[3], /real up to .* fake from/);
  assert.equal(cells[4], 'yes');
});

test('w12 the heat-map is shown on demand, and is the program\'s to the last bit', { skip: noProgram }, async (t) => {
  const { page, requests, violations } = await visit(t, site);
  await judge(page, sample('fake-1.png'));
  const asked = () => requests.filter((request) => !request.url().startsWith('blob:')).length;
  const before = asked();
  await page.click('#explain');
  await page.waitForSelector('#explain[data-state="shown"]');
  const shown = await page.$$eval('#heat rect', (cells) => cells.map((cell) => cell.dataset.shift));
  const { stdout } = await promisify(execFile)(process.env.AWARE_BIN, ['explain', '--json', sample('fake-1.png')], { cwd: ROOT });
  const digits = stdout.match(/"shifts":\[([^\]]*)\]/)[1].split(',');
  assert.deepEqual(shown, digits);
  assert.equal(shown.length, 64);
  assert.match(await page.textContent('#heat-status'), /hung most on a part in the .*, which spoke for (fake|real)/);
  assert.equal(await page.getAttribute('#explain', 'aria-pressed'), 'true');
  await page.click('#explain');
  await page.waitForSelector('#explain[data-state="off"]');
  assert.equal(await page.locator('#heat rect').count(), 0);
  // Another picture brings no map of the one before.
  await page.click('#explain');
  await page.waitForSelector('#explain[data-state="shown"]');
  await judge(page, sample('real-1.png'));
  assert.equal(await page.locator('#heat rect').count(), 0);
  assert.equal(asked(), before);
  assert.deepEqual(violations, []);
});
