// The golden vectors show whether a device computes right, in the page and in a page of one's own.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFile, readdir } from 'node:fs/promises';
import { createRequire } from 'node:module';
import path from 'node:path';
import { after } from 'node:test';
import {
  ROOT, awareBy, fixture, judge, noProgram, open, reached, sample, temporary, test, visit, withoutRelaxedSimd,
} from './site.mjs';

const site = await open(after);
const axe = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex');

/** Serves golden vectors after `spoil`, and a manifest that vouches for them. */
const withGolden = (spoil) => async (page, context) => {
  const folder = new URL('models/cascade/', site.url);
  const golden = await (await fetch(new URL('golden.json', folder))).json();
  const body = Buffer.from(spoil(golden) ?? JSON.stringify(golden));
  const manifest = await (await fetch(new URL('manifest.json', folder))).json();
  Object.assign(manifest.files.find(({ name }) => name === 'golden.json'), { bytes: body.length, sha256: sha256(body) });
  await context.route('**/golden.json', (route) => route.fulfill({ status: 200, body }));
  await context.route('**/manifest.json', (route) => route.fulfill({ status: 200, body: JSON.stringify(manifest) }));
};

const otherLogit = (golden) => {
  // The last bit alone.
  const [stage] = golden.vectors[2].stages;
  const bits = Number.parseInt(stage.bits, 16) ^ 1;
  const view = new DataView(new ArrayBuffer(4));
  view.setUint32(0, bits);
  Object.assign(stage, { bits: (bits >>> 0).toString(16).padStart(8, '0'), logit: view.getFloat32(0) });
};

/** Checks the device; gives the state, what is announced, and a line for each vector. */
async function check(page) {
  await reached(page, 'idle');
  await page.click('#check');
  await page.waitForSelector('#device:is([data-state="passed"], [data-state="failed"], [data-state="error"])');
  const lines = await page.locator('#check-list li').allTextContents();
  return { state: await page.getAttribute('#device', 'data-state'), text: await page.textContent('#check-status'), lines };
}

for (const [build, before] of [['relaxed SIMD', undefined], ['plain SIMD', withoutRelaxedSimd]]) {
  test(`the shipped model passes with ${build}, in a browser that is offline by then`, async (t) => {
    const { page, context } = await visit(t, site, { before });
    await reached(page, 'idle');
    await context.setOffline(true);
    const { state, text, lines } = await check(page);
    assert.equal(state, 'passed', `${text}\n${lines.join('\n')}`);
    assert.match(text, /^Passed: all 8 golden vectors .* \d+\.\d ms\.$/);
    assert.equal(lines.length, 8);
    // Pictures are judged as before.
    assert.ok((await judge(page, fixture('photo.jpg'))).label);
    assert.equal(await page.getAttribute('#device', 'data-state'), 'passed');
  });
}

test('a network in integers gives the bits of the program, with relaxed SIMD and without', { skip: noProgram }, async (t) => {
  // A network with random weights is packed in the shipped one's place: at such a temperature all say the same.
  const first = path.join(ROOT, 'models/faces');
  const files = await Promise.all((await readdir(first)).map(async (name) => [name, await readFile(path.join(first, name))]));
  const manifest = JSON.parse(files.find(([name]) => name === 'manifest.json')[1]);
  manifest.stages[0].temperature = 1e4;
  const [origin] = await temporary(t, { ...Object.fromEntries(files), 'manifest.json': JSON.stringify(manifest) });
  const [notes] = await temporary(t, { notes: '' });
  const [model, bundle] = ['int8.onnx', 'bundle'].map((name) => path.join(path.dirname(notes), name));
  const run = (...words) => execFileSync(process.env.AWARE_BIN, words, { cwd: ROOT });
  run('export', '--int8', '--image-size', '160', '--output', model);
  run('bundle', '--from', path.dirname(origin), '--model', model, '--output', bundle);
  for (const before of [() => {}, withoutRelaxedSimd]) {
    const { page } = await visit(t, site, {
      before: async (page, context) => {
        await before(page);
        await context.route('**/models/cascade/*', (route) =>
          route.fulfill({ path: path.join(bundle, path.basename(new URL(route.request().url()).pathname)) }));
      },
    });
    const { state, text, lines } = await check(page);
    assert.equal(state, 'passed', `${text}\n${lines.join('\n')}`);
  }
});

test('one bit of one vector fails the device', async (t) => {
  const { page } = await visit(t, site, { before: withGolden(otherLogit) });
  const { state, text, lines } = await check(page);
  assert.equal(state, 'failed', text);
  assert.match(text, /^Failed: 1 of 8 /);
  assert.deepEqual(lines.map((line) => line.includes('expected')), lines.map((_, index) => index === 2), lines.join('\n'));
});

test('vectors that cannot be read are an error, and pictures are judged all the same', async (t) => {
  const { page } = await visit(t, site, { before: withGolden(() => '{"schema_version": "2.0"}') });
  const { state, text } = await check(page);
  assert.equal(state, 'error');
  assert.match(text, /schema_version/);
  assert.ok((await judge(page, fixture('photo.jpg'))).label);
});

test('vectors of another digest are refused with the model', async (t) => {
  const { page } = await visit(t, site, {
    before: (page, context) => context.route('**/golden.json', (route) => route.fulfill({ status: 200, body: '{}' })),
  });
  await reached(page, 'error');
  assert.equal(await page.getAttribute('#error', 'data-code'), 'model_integrity');
  assert.equal(await page.isVisible('#check'), false);
});

test('a model without vectors offers no check', async (t) => {
  const { page } = await visit(t, site, {
    before: (page, context) =>
      context.route('**/manifest.json', async (route) => {
        const { golden, ...manifest } = await (await route.fetch()).json();
        assert.equal(golden, 'golden.json');
        await route.fulfill({ status: 200, body: JSON.stringify({ ...manifest, schema_version: '1.0' }) });
      }),
  });
  await reached(page, 'idle');
  assert.equal(await page.isVisible('#device'), false);
});

test('the check is done by keyboard, announced once a state, keeps the focus, and axe-core finds nothing wrong', async (t) => {
  const { page } = await visit(t, site, { viewport: { width: 320, height: 640 } });
  await reached(page, 'idle');
  await page.evaluate(() => {
    window.announced = [];
    const status = document.getElementById('check-status');
    const note = () => window.announced.push(status.textContent);
    new MutationObserver(note).observe(status, { childList: true, characterData: true, subtree: true });
  });
  const focused = () => page.evaluate(() => document.activeElement.id);
  for (let i = 0; i < 20 && (await focused()) !== 'check'; i++) await page.keyboard.press('Tab');
  assert.equal(await focused(), 'check');
  await page.keyboard.press('Enter');
  await page.waitForSelector('#device[data-state="passed"]');
  const announced = await page.evaluate(() => window.announced);
  assert.equal(announced.length, 2, announced.join('\n'));
  assert.match(announced[0], /^Checking/);
  assert.equal(await page.getAttribute('#check-status', 'role'), 'status');
  assert.equal(await focused(), 'check');
  await page.keyboard.press('Tab');
  await page.keyboard.press('Enter');
  assert.ok(await page.isVisible('#check-list li'));
  assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 320);
  await page.evaluate(axe);
  for (const state of ['passed', 'failed']) {
    await page.evaluate((state) => (document.getElementById('device').dataset.state = state), state);
    const { violations } = await page.evaluate(() => window.axe.run());
    assert.deepEqual(violations.flatMap(({ id, nodes }) => nodes.map((node) => `${id}: ${node.html}`)), [], state);
  }
});

test('a manifest that points out of its folder is refused, and nothing is asked for there', async (t) => {
  const bad = ['../faces/stage1.onnx', '/models/faces/stage1.onnx', 'http://127.0.0.2:9/x', 'a/b', 'STAGE1.onnx', 'manifest.json'];
  for (const name of bad) {
    const { page, requests } = await visit(t, site, {
      before: (page, context) =>
        context.route('**/manifest.json', async (route) => {
          const manifest = await (await route.fetch()).json();
          manifest.files.push({ ...manifest.files[0], name });
          manifest.golden = name;
          await route.fulfill({ status: 200, body: JSON.stringify(manifest) });
        }),
    });
    await reached(page, 'error');
    assert.equal(await page.getAttribute('#error', 'data-code'), 'manifest', name);
    const asked = requests.map((request) => request.url()).filter((url) => /onnx|golden|127\.0\.0\.2/.test(url));
    assert.deepEqual(asked, [], name);
  }
});

for (const bundle of ['models/faces', 'models/cascade']) {
  test(`the example packed in ${bundle} gives the verdict of the program`, { skip: noProgram }, async (t) => {
    const example = { ...site, url: new URL(`${bundle}/example_page.html`, site.url).href };
    const { page, violations } = await visit(t, example);
    const status = page.locator('#status');
    await page.waitForSelector('#picture:enabled');
    assert.match(await status.textContent(), /^Ready/);
    for (const picture of [sample('fake-1.png'), fixture('photo.jpg')]) {
      const [native] = await awareBy(bundle, picture);
      await page.setInputFiles('#picture', picture);
      await page.waitForFunction((text) => document.getElementById('status').textContent === text,
        `${native.label}, P(fake) ${native.probability}`);
    }
    const report = JSON.parse(await page.textContent('#report'));
    assert.equal(report.stages[0].backend, 'cpu');
    await page.setInputFiles('#picture', fixture('make.py'));
    await page.waitForFunction(() => document.getElementById('status').textContent.startsWith('unsupported: '));
    assert.deepEqual(violations, []);
  });
}

test('the packed example judges nothing on a device that computes wrong', async (t) => {
  const example = { ...site, url: new URL('models/cascade/example_page.html', site.url).href };
  const { page } = await visit(t, example, { before: withGolden(otherLogit) });
  await page.waitForFunction(() => document.getElementById('status').textContent.includes('computes wrong'));
  assert.ok(await page.isDisabled('#picture'));
});
