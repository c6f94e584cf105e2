// The page is kept on the device, version by version, and whatever goes wrong with that it judges or says why not.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { appendFile, cp, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { after } from 'node:test';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';
import { MISSING, notInFirefox } from './browsers.mjs';
import { ROOT, SAMPLES, fixture, judge, open, outcome, reached, test, visit } from './site.mjs';
import { serve } from './serve.mjs';

const DIST = path.join(ROOT, 'dist');
const PHOTO = fixture('photo.jpg');
const BUDGET = 3_000_000;

const { browser } = await open(after);

/** Writes version and list of files of the page in `folder`; gives the version. */
async function list(folder) {
  const { stdout } = await promisify(execFile)(process.env.CARGO ?? 'cargo', ['xtask', 'offline', folder], { cwd: ROOT });
  return stdout.trim();
}

/**
 * A server of a copy of the page, for one test. `site.before` may be set to answer requests, `site.log` has their paths;
 * `site.stop` and `site.start` end the server and bring it back.
 */
async function host(t) {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'aware-site-'));
  await cp(DIST, folder, { recursive: true });
  const site = { folder, browser, log: [], before: () => false };
  const before = (name, response) => {
    site.log.push(name);
    return site.before(name, response);
  };
  let server;
  site.start = async () => {
    server = await serve(folder, site.url ? Number(new URL(site.url).port) : 0, before);
    site.url = server.url;
  };
  site.stop = () => server.close();
  t.after(async () => {
    site.stop();
    await rm(folder, { recursive: true });
  });
  await site.start();
  return site;
}

/** A visit with service workers. */
const come = (t, site, options) => visit(t, site, { serviceWorkers: 'allow', ...options });

/** One more tab of the same visitor. */
async function tab(context, site) {
  const page = await context.newPage();
  page.setDefaultTimeout(60_000);
  await page.goto(site.url);
  return page;
}

const keeps = (page, ...states) =>
  page.waitForSelector(states.map((state) => `#offline-state[data-state="${state}"]`).join(', '), { state: 'attached' });

/** Waits until `isTrue`, asked in this process. */
async function until(isTrue) {
  while (!(await isTrue())) await new Promise((resolve) => setTimeout(resolve, 50));
}

/** Whether no new version is on its way. */
const isSettled = (page) => page.evaluate(async () => !(await navigator.serviceWorker.getRegistration()).installing);

const version = (page) => page.textContent('#version');

/** A visitor whose browser has kept the page, and closed it. */
async function kept(t, site) {
  const { page, context } = await come(t, site);
  await reached(page, 'idle');
  await keeps(page, 'kept');
  const first = await version(page);
  await page.close();
  return { context, first };
}

/** Changes a script that no digest in the document holds; gives the new version. */
async function publish(site, text = '// of the new version\n') {
  for (const name of ['worker.js', 'worker_relaxed.js']) await appendFile(path.join(site.folder, name), text);
  return list(site.folder);
}

/** The text of the file that the page gets under `name`; nothing if it gets none. */
const got = (page, name) => page.evaluate((name) => fetch(name).then((answer) => answer.text()).catch(() => null), name);

const caches = (page) => page.evaluate(() => window.caches.keys());

/** Alters what is kept under `name`, or removes it if `change` is null. */
async function spoil(page, name, change) {
  const isFound = await page.evaluate(
    async ([name, change]) => {
      const [cache] = await Promise.all((await window.caches.keys()).map((key) => window.caches.open(key)));
      const url = new URL(name, location.href).href;
      const kept = await cache.match(url);
      if (!kept) return false;
      if (change === null) return cache.delete(url);
      const bytes = new Uint8Array(await kept.arrayBuffer());
      bytes[bytes.length >> 1] ^= 1;
      await cache.put(url, new Response(bytes, { headers: kept.headers }));
      return true;
    },
    [name, change],
  );
  assert.ok(isFound, `${name} is kept`);
}

test('w8: what was visited once judges with the server gone, and says so', async (t) => {
  const site = await host(t);
  const { page, context, violations } = await come(t, site);
  const online = await judge(page, PHOTO);
  await keeps(page, 'kept');
  assert.match(await page.textContent('#offline-state'), /works offline/i);
  const shown = await version(page);
  assert.match(shown, /^[0-9a-f]{12}$/);
  assert.ok((await readFile(path.join(site.folder, 'service_worker.js'), 'utf8')).includes(`"version":"${shown}"`));
  // The same page goes on under its service worker, with a worker of its own.
  await page.waitForFunction(() => navigator.serviceWorker.controller);
  // What the browser had just loaded was not loaded once more.
  const twice = site.log.filter((name, index) => site.log.indexOf(name) !== index);
  assert.deepEqual(twice, []);
  await page.close();

  site.stop();
  const again = await tab(context, site);
  assert.deepEqual(await judge(again, PHOTO), online);
  await again.click(`[data-sample="${SAMPLES[0].file}"]`);
  await again.waitForFunction(() => document.getElementById('file-name').textContent === 'Sample 1');
  assert.ok((await outcome(again)).label);
  assert.equal(await version(again), shown);
  await keeps(again, 'kept');
  const byQuery = await context.newPage();
  await byQuery.goto(`${site.url}?backend=cpu`);
  assert.deepEqual(await judge(byQuery, PHOTO), online);
  assert.deepEqual(violations, []);
});

test('s01: a later visit asks the server whether there is a new version, and for nothing else', async (t) => {
  const site = await host(t);
  const { context } = await kept(t, site);
  site.log.length = 0;
  const page = await tab(context, site);
  await judge(page, PHOTO);
  await keeps(page, 'kept');
  // Browsers take their time with that.
  await until(() => site.log.length);
  assert.deepEqual([...new Set(site.log)], ['/service_worker.js']);
});

for (const [name, state] of [
  ['index.html', null],
  ['app.js', 'start-failed'],
  ['app_bg.wasm', 'start-failed'],
  ['worker_relaxed_bg.wasm', 'error'],
  ['models/cascade/manifest.json', 'error'],
  ['models/cascade/stage1.onnx', 'error'],
]) {
  test(`m09: one bit of the kept ${name} differs: it is fetched anew, or refused`, async (t) => {
    const site = await host(t);
    const headers = { 'Content-Type': 'text/html', 'Cache-Control': 'no-store' };
    const document = await readFile(path.join(site.folder, 'index.html'));
    // Else the browser's own cache has it too, and repairs it.
    site.before = (name, response) => /^\/(index\.html)?$/.test(name) && (response.writeHead(200, headers).end(document), true);
    const { page, context } = await come(t, site);
    const right = await judge(page, PHOTO);
    await keeps(page, 'kept');
    await spoil(page, name, 'flip');
    await page.close();
    const repaired = await tab(context, site);
    assert.deepEqual(await judge(repaired, PHOTO), right);
    assert.ok(site.log.filter((path) => path === `/${name}` || (path === '/' && name === 'index.html')).length > 1);
    await repaired.close();
    site.stop();
    const offline = await tab(context, site);
    assert.deepEqual(await judge(offline, PHOTO), right);
    await spoil(offline, name, 'flip');
    await offline.close();
    if (!state) return assert.rejects(tab(context, site));
    const refused = await tab(context, site);
    assert.equal(await reached(refused, 'start-failed', 'error', 'idle', 'result'), state);
  });
}

test('m09: what the browser has thrown away is fetched anew', async (t) => {
  const site = await host(t);
  const { context } = await kept(t, site);
  const page = await tab(context, site);
  const right = await judge(page, PHOTO);
  await page.evaluate(async () => {
    for (const name of await window.caches.keys()) await window.caches.delete(name);
  });
  await page.close();
  const again = await tab(context, site);
  assert.deepEqual(await judge(again, PHOTO), right);
});

test('m10: an old version works on in its tabs, and the switch is whole', async (t) => {
  const site = await host(t);
  const { context, first } = await kept(t, site);
  const old = await tab(context, site);
  const right = await judge(old, PHOTO);
  const second = await publish(site);
  assert.notEqual(second, first);

  const page = await tab(context, site);
  await keeps(page, 'update-ready');
  assert.equal(await version(page), first);
  assert.ok(await page.isVisible('#update'));
  for (const each of [old, page]) {
    assert.doesNotMatch(await got(each, 'worker_relaxed.js'), /of the new version/);
    assert.deepEqual(await judge(each, PHOTO), right);
  }
  await page.click('#update-now');
  await keeps(page, 'other-tabs');
  assert.equal(await version(page), first);
  await old.close();
  await page.click('#update-now');
  await page.waitForFunction((second) => document.getElementById('version')?.textContent === second, second);
  await keeps(page, 'kept');
  assert.match(await got(page, 'worker_relaxed.js'), /of the new version/);
  assert.deepEqual(await judge(page, PHOTO), right);
  assert.equal((await caches(page)).length, 1);
});

test('m10: without a click, a new version starts when all tabs of the old one are closed', async (t) => {
  const site = await host(t);
  const { context, first } = await kept(t, site);
  const second = await publish(site);
  const page = await tab(context, site);
  await keeps(page, 'update-ready');
  assert.equal(await version(page), first);
  await page.reload();
  assert.equal(await version(page), first);
  await keeps(page, 'update-ready');
  await page.close();
  site.stop();
  // The browser takes a moment to see that nobody needs the old one.
  let shown;
  for (let tries = 0; tries < 20 && shown !== second; tries++) {
    const next = await tab(context, site);
    shown = await version(next);
    if (shown === second) await reached(next, 'idle');
    await next.close();
  }
  assert.equal(shown, second);
});

const HALF = {
  'one file is not there': (response) => response.writeHead(404).end(),
  'one file is another one': (response) => response.writeHead(200).end('<!doctype html><title>Sign in</title>'),
  'the server breaks down': (response) => response.destroy(),
};
for (const [story, fail] of Object.entries(HALF)) {
  test(`m10: an update in which ${story} leaves the old version`, async (t) => {
    const site = await host(t);
    const { context, first } = await kept(t, site);
    const second = await publish(site);
    let asked = 0;
    site.before = (name, response) => name === '/worker_relaxed.js' && (asked++, fail(response), true);
    const page = await tab(context, site);
    const right = await judge(page, PHOTO);
    // Past the browser's cache, and again after each wait.
    await until(() => asked >= 3);
    await until(() => isSettled(page));
    await keeps(page, 'kept');
    assert.equal(await version(page), first);
    assert.equal((await caches(page)).length, 1);
    assert.doesNotMatch(await got(page, 'worker_relaxed.js'), /of the new version/);
    await page.reload();
    assert.deepEqual(await judge(page, PHOTO), right);

    site.before = () => false;
    await page.evaluate(async () => (await navigator.serviceWorker.getRegistration()).update());
    await keeps(page, 'update-ready');
    await page.click('#update-now');
    await page.waitForFunction((second) => document.getElementById('version')?.textContent === second, second);
  });
}

test('m10: an update that goes offline on its way, and a site that is gone, leave the old version', async (t) => {
  const site = await host(t);
  const { context, first } = await kept(t, site);
  await publish(site);
  site.before = (name) => {
    // Its list still comes.
    if (name === '/worker_relaxed.js') site.stop();
    return false;
  };
  for (let visits = 0; visits < 2; visits++) {
    const page = await tab(context, site);
    await reached(page, 'idle');
    assert.equal(await version(page), first);
    await keeps(page, 'kept');
    await page.close();
  }
});

test('m10: a page never gets a part of another version, also where its own part is lost', async (t) => {
  const site = await host(t);
  const { context, first } = await kept(t, site);
  const page = await tab(context, site);
  await reached(page, 'idle');
  await spoil(page, 'worker_relaxed.js', null);
  await page.close();
  const second = await publish(site);
  let isMixed = false;
  const next = await context.newPage();
  await next.exposeFunction('seen', (version, state) => (isMixed ||= version === first && !/starting|loading|error/.test(state)));
  await next.addInitScript(() => {
    addEventListener('DOMContentLoaded', () => {
      const look = () => window.seen(document.getElementById('version').textContent, document.getElementById('app').dataset.state);
      new MutationObserver(look).observe(document.getElementById('app'), { attributeFilter: ['data-state'] });
    });
  });
  await next.goto(site.url);
  await next.waitForFunction((second) => document.getElementById('version')?.textContent === second, second);
  assert.equal(await reached(next, 'idle', 'error'), 'idle');
  assert.ok(!isMixed, 'the old page never came as far as to judge');
});

test('what was asked for once is kept as well, and only as it was listed', async (t) => {
  const site = await host(t);
  const { context } = await kept(t, site);
  const page = await tab(context, site);
  await reached(page, 'idle');
  const card = 'models/face/MODEL_CARD.md';
  const text = await got(page, card);
  assert.equal(text, await readFile(path.join(site.folder, card), 'utf8'));
  await writeFile(path.join(site.folder, 'models/faces/manifest.json'), '{"of": "another version"}');
  assert.equal(await got(page, 'models/faces/manifest.json'), null);
  site.stop();
  assert.equal(await got(page, card), text);
});

test('a kept version that does not start makes room for the next one', async (t) => {
  const site = await host(t);
  const { context, first } = await kept(t, site);
  const script = path.join(site.folder, 'app.js');
  const right = await readFile(script);
  await writeFile(script, 'throw new Error("a mistake of ours")');
  const second = await list(site.folder);
  let page = await tab(context, site);
  await keeps(page, 'update-ready');
  assert.equal(await version(page), first);
  await page.click('#update-now');
  await page.waitForSelector('#app[data-state="start-failed"]', { state: 'attached' });
  assert.equal(await version(page), second);
  await until(() => page.evaluate(async () => !(await navigator.serviceWorker.getRegistration())));
  await writeFile(script, right);
  await list(site.folder);
  await page.reload();
  assert.equal(await reached(page, 'idle', 'start-failed'), 'idle');
  assert.equal(await version(page), first);
});

const NO_SCRIPT = { 'is no script': 'const', 'is not there': null };
for (const [story, body] of Object.entries(NO_SCRIPT)) {
  test(`a service worker that ${story} stops nobody`, async (t) => {
    const site = await host(t);
    const spoilt = (name, response) =>
      name === '/service_worker.js' &&
      (body ? response.writeHead(200, { 'Content-Type': 'text/javascript' }).end(body) : response.writeHead(404).end(), true);
    site.before = spoilt;
    const { page } = await come(t, site);
    const right = await judge(page, PHOTO);
    await keeps(page, 'failed');
    site.before = () => false;
    const { context } = await kept(t, site);
    site.before = spoilt;
    assert.deepEqual(await judge(await tab(context, site), PHOTO), right);
  });
}

test('m09: a full disk keeps nothing, and the page judges; an old version stays', { skip: notInFirefox(MISSING.devtools) }, async (t) => {
  const site = await host(t);
  const { page, context } = await come(t, site, {
    before: async (page, context) => {
      const debug = await context.newCDPSession(page);
      await debug.send('Storage.overrideQuotaForOrigin', { origin: new URL(site.url).origin, quotaSize: 1_000_000 });
    },
  });
  const right = await judge(page, PHOTO);
  await keeps(page, 'full');
  assert.match(await page.textContent('#offline-state'), /no room/);
  assert.deepEqual(await caches(page), []);
  const debug = await context.newCDPSession(page);
  await debug.send('Storage.overrideQuotaForOrigin', { origin: new URL(site.url).origin });
  await page.reload();
  assert.deepEqual(await judge(page, PHOTO), right);
  await keeps(page, 'kept');
  const first = await version(page);
  await publish(site);
  await debug.send('Storage.overrideQuotaForOrigin', { origin: new URL(site.url).origin, quotaSize: 1_000_000 });
  await page.evaluate(async () => (await navigator.serviceWorker.getRegistration()).update());
  await until(() => isSettled(page));
  site.stop();
  await page.reload();
  assert.deepEqual(await judge(page, PHOTO), right);
  assert.equal(await version(page), first);
  await keeps(page, 'kept');
});

const NO_STORAGE = {
  'has no service workers': () => delete Navigator.prototype.serviceWorker,
  'refuses service workers': () => {
    ServiceWorkerContainer.prototype.register = async () => {
      throw new DOMException('not here', 'SecurityError');
    };
  },
};
for (const [story, forbid] of Object.entries(NO_STORAGE)) {
  test(`m09: a private window that ${story}, nor any storage, judges from memory`, async (t) => {
    const site = await host(t);
    const { page } = await come(t, site, {
      before: async (page) => {
        await page.addInitScript(forbid);
        await page.addInitScript(() => {
          for (const name of ['caches', 'indexedDB', 'localStorage', 'sessionStorage']) {
            Object.defineProperty(window, name, { get: () => { throw new DOMException('not here', 'SecurityError'); } });
          }
        });
      },
    });
    const before = await judge(page, PHOTO);
    assert.ok(before.label);
    await keeps(page, 'unavailable');
    assert.match(await page.textContent('#offline-state'), /private window/);
    site.stop();
    assert.deepEqual(await judge(page, PHOTO), before);
  });
}

test('what is kept can be removed', async (t) => {
  const site = await host(t);
  const { page } = await come(t, site);
  await reached(page, 'idle');
  await keeps(page, 'kept');
  await page.click('#offline-forget');
  await keeps(page, 'forgotten');
  assert.deepEqual(await caches(page), []);
  assert.deepEqual(await page.evaluate(async () => (await navigator.serviceWorker.getRegistrations()).length), 0);
  assert.ok((await judge(page, PHOTO)).label);
  assert.deepEqual(await caches(page), []);
});

/** Makes time pass 40 times as fast for the timers of the worker that judges. */
const hurried = (name, response) => {
  if (name !== '/worker_relaxed_loader.js') return false;
  const text = "import init from './worker_relaxed.js';const wait=setTimeout;self.setTimeout=(ring,ms)=>wait(ring,ms/40);await init();";
  response.writeHead(200, { 'Content-Type': 'text/javascript', 'Cross-Origin-Embedder-Policy': 'require-corp' }).end(text);
  return true;
};

test('m08: a download that stalls is tried again, then said, and "Try again" begins anew', async (t) => {
  const site = await host(t);
  const half = (await readFile(path.join(site.folder, 'models/cascade/stage1.onnx'))).subarray(0, 1_000_000);
  let asked = 0;
  site.before = (name, response) => {
    if (!name.endsWith('stage1.onnx')) return hurried(name, response);
    asked++;
    response.writeHead(200, { 'Content-Length': 2 * half.length }).write(half);
    return true;
  };
  const { page } = await visit(t, site);
  await page.waitForFunction(() => /1\.0 of 2\.\d MB/.test(document.getElementById('progress-bytes').textContent));
  await reached(page, 'error');
  const failure = await outcome(page);
  assert.equal(failure.code, 'model_load');
  assert.match(failure.message, /no byte came for 20 seconds/);
  assert.equal(asked, 3);
  site.before = () => false;
  await page.click('#retry');
  assert.equal(await reached(page, 'idle', 'error'), 'idle');
});

test('m08: a server that fails for a while is asked until it answers', async (t) => {
  const site = await host(t);
  let failures = 2;
  site.before = (name, response) =>
    name.endsWith('stage1.onnx') && failures-- > 0 ? (response.writeHead(503).end(), true) : hurried(name, response);
  const { page } = await visit(t, site);
  assert.equal(await reached(page, 'idle', 'error'), 'idle');
  assert.equal(failures, -1);
});

test('m08: a download can be stopped', async (t) => {
  const site = await host(t);
  site.before = (name) => name.endsWith('stage1.onnx');
  const { page } = await visit(t, site);
  await reached(page, 'loading');
  await page.click('#stop-loading');
  assert.equal((await outcome(page)).code, 'stopped');
  site.before = () => false;
  await page.click('#retry');
  assert.equal(await reached(page, 'idle', 'error'), 'idle');
  assert.ok(await page.isHidden('#stop-loading'));
});

for (const [name, state] of [['app_bg.wasm', 'start-failed'], ['worker_relaxed_bg.wasm', 'error'], ['worker_relaxed.js', 'error']]) {
  test(`m08: ${name} that never comes is said after a minute`, async (t) => {
    const site = await host(t);
    const { promise, resolve } = Promise.withResolvers?.() ?? withResolvers();
    site.before = (asked) => asked === `/${name}` && (resolve(), true);
    const context = await browser.newContext({ serviceWorkers: 'block' });
    t.after(() => context.close());
    const page = await context.newPage();
    await page.clock.install();
    await page.goto(site.url, { waitUntil: 'commit' });
    await promise;
    if (state === 'error') await reached(page, 'loading');
    await page.clock.fastForward(61_000);
    assert.equal(await reached(page, 'start-failed', 'error'), state);
  });
}

function withResolvers() {
  const parts = {};
  parts.promise = new Promise((resolve) => (parts.resolve = resolve));
  return parts;
}

test('the manifest is linked and valid, and browsers would install the page', { skip: notInFirefox(MISSING.devtools) }, async (t) => {
  const site = await host(t);
  const { page, context } = await come(t, site);
  await keeps(page, 'kept');
  const href = await page.getAttribute('link[rel="manifest"]', 'href');
  const answer = await fetch(new URL(href, site.url));
  assert.equal(answer.headers.get('content-type'), 'application/manifest+json');
  const { icons } = await answer.json();
  for (const { src, sizes, type } of icons) {
    const bytes = await readFile(path.join(site.folder, src));
    if (type !== 'image/png') continue;
    assert.equal(`${bytes.readUInt32BE(16)}x${bytes.readUInt32BE(20)}`, sizes, src);
  }
  assert.ok(icons.some(({ purpose }) => purpose === 'maskable'));
  const debug = await context.newCDPSession(page);
  const manifest = await debug.send('Page.getAppManifest');
  assert.deepEqual(manifest.errors, []);
  assert.equal(manifest.url, new URL(href, site.url).href);
  const { installabilityErrors } = await debug.send('Page.getInstallabilityErrors');
  // Test profiles are off the record, where nothing is installed.
  assert.deepEqual(installabilityErrors.filter(({ errorId }) => errorId !== 'in-incognito'), []);
});

test('w10: page, engine and filter take at most 3 MB compressed, and nothing else comes before it is needed', async (t) => {
  const site = await host(t);
  const { page } = await come(t, site);
  await judge(page, PHOTO);
  await keeps(page, 'kept');
  const names = [...new Set(site.log.map((name) => name.slice(1) || 'index.html'))];
  const sizes = await Promise.all(
    names.map(async (name) => gzipSync(await readFile(path.join(site.folder, name)), { level: 9 }).length),
  );
  // Pictures to try are no part of a verdict.
  const total = (isCounted) => sizes.reduce((sum, size, index) => sum + (isCounted(names[index]) ? size : 0), 0);
  const bytes = total((name) => !name.startsWith('models/samples/'));
  t.diagnostic(`${names.length} files, ${total(() => true)} bytes after gzip, ${bytes} without samples`);
  assert.ok(bytes <= BUDGET, `${bytes} bytes`);
  for (const name of names) assert.doesNotMatch(name, /^wonnx|^decoder|^worker\.|^worker_bg|models\/faces\/|int8-a8|\.tflite|\bort|^peers/);
});

test('every file of the site is listed, and the list is of this build', async () => {
  const script = await readFile(path.join(DIST, 'service_worker.js'), 'utf8');
  const { files } = JSON.parse(script.slice(script.indexOf('{'), script.indexOf(';\n')));
  const there = await readdir(DIST, { recursive: true, withFileTypes: true });
  const names = there
    .filter((entry) => entry.isFile())
    .map((entry) => path.relative(DIST, path.join(entry.parentPath ?? entry.path, entry.name)));
  assert.deepEqual(Object.keys(files).sort(), names.filter((name) => name !== 'service_worker.js').sort());
});
