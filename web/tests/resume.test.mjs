// A download that breaks off goes on where it broke off, whatever servers make of that; the digest has the last word.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { after } from 'node:test';
import { serve, HEADERS } from './serve.mjs';
import { ROOT, outcome, reached, open, test, visit } from './site.mjs';

const { browser } = await open(after);

const NAME = 'models/cascade/stage1.onnx';
const RIGHT = await readFile(path.join(ROOT, 'dist', NAME));
/** Not a multiple of what is read at once. */
const HALF = 1_000_003;
const TAG = '"of this version"';

/** Bytes of the same number, another one of which differs in each part. */
const OTHER = Buffer.from(RIGHT).fill(0, 1000, 2000).fill(0, HALF + 1000, HALF + 2000);

/** Begins to answer with `body` and does not end. */
const begin = (response, body, { tag = TAG, length = RIGHT.length } = {}) => {
  response.writeHead(200, { ...HEADERS, 'Content-Length': length, ...(tag && { ETag: tag }) });
  return new Promise((sent) => response.write(body, sent));
};

/** Answers with the first half and cuts the line. */
const cut = async (response, options) => {
  await begin(response, RIGHT.subarray(0, HALF), options);
  // What is on its way arrives before the end.
  setTimeout(() => response.destroy(), 200);
};

const whole = (response) => {
  response.writeHead(200, { ...HEADERS, 'Content-Length': RIGHT.length, ETag: TAG }).end(RIGHT);
};

const part = (response, first, body, range = `bytes ${first}-${RIGHT.length - 1}/${RIGHT.length}`) => {
  response.writeHead(206, { ...HEADERS, 'Content-Length': body.length, 'Content-Range': range, ETag: TAG }).end(body);
};

/** As a server should: the part that is asked for, if it is of the version that is there. */
const proper = (response, { headers }) => {
  const first = Number(headers.range?.match(/^bytes=(\d+)-$/)?.[1]);
  if (!headers.range || (headers['if-range'] ?? TAG) !== TAG) whole(response);
  else part(response, first, RIGHT.subarray(first));
};

/** How the worker that judges is loaded where its timers run 40 times as fast. */
const HURRIED =
  "import init from './worker_relaxed.js';const wait=setTimeout;self.setTimeout=(ring,ms)=>wait(ring,ms/40);await init();";

/** A site that answers requests for the network with `answers`, one after the other, the last one again and again. */
async function host(t, answers, { isHurried }) {
  const asked = [];
  const { url, close } = await serve(undefined, 0, async (name, response, request) => {
    if (isHurried && name === '/worker_relaxed_loader.js') {
      response.writeHead(200, { ...HEADERS, 'Content-Type': 'text/javascript' }).end(HURRIED);
      return true;
    }
    if (name !== `/${NAME}`) return false;
    const entry = { range: request.headers.range, ifRange: request.headers['if-range'], bytes: 0 };
    asked.push(entry);
    const { write, end } = response;
    const counted = (send) => (body, ...rest) => {
      entry.bytes += body?.length ?? 0;
      return send.call(response, body, ...rest);
    };
    // `end` writes by itself.
    Object.assign(response, { write: counted(write), end: counted(end) });
    await answers[Math.min(asked.length, answers.length) - 1](response, request);
    return true;
  });
  t.after(close);
  return { url, asked, browser };
}

const rest = `bytes=${HALF}-`;

/** A visit that ends with the right network; gives what was asked for. */
async function right(t, ...answers) {
  const site = await host(t, answers, { isHurried: true });
  const { page } = await visit(t, site);
  assert.equal(await reached(page, 'idle', 'error'), 'idle');
  return site.asked;
}

test('m08: a download that breaks off goes on where it broke off', async (t) => {
  const asked = await right(t, (response) => cut(response), proper);
  assert.deepEqual(asked, [
    { range: undefined, ifRange: undefined, bytes: HALF },
    { range: rest, ifRange: TAG, bytes: RIGHT.length - HALF },
  ]);
});

test('m08: so does one that stalls, and one of a server that gives no tag', async (t) => {
  const asked = await right(t, (response) => begin(response, RIGHT.subarray(0, HALF), { tag: null }), proper);
  assert.deepEqual(asked.slice(1), [{ range: rest, ifRange: undefined, bytes: RIGHT.length - HALF }]);
});

test('m08: a weak tag is no promise that parts fit, and is not given back', async (t) => {
  const asked = await right(t, (response) => cut(response, { tag: 'W/"of this version"' }), proper);
  assert.deepEqual(asked.slice(1), [{ range: rest, ifRange: undefined, bytes: RIGHT.length - HALF }]);
});

test('m08: a download that breaks off twice asks for less each time', async (t) => {
  const asked = await right(
    t,
    (response) => cut(response),
    async (response) => {
      const range = `bytes ${HALF}-${RIGHT.length - 1}/${RIGHT.length}`;
      response.writeHead(206, { ...HEADERS, 'Content-Length': RIGHT.length - HALF, 'Content-Range': range, ETag: TAG });
      response.write(RIGHT.subarray(HALF, HALF + 500_000), () => setTimeout(() => response.destroy(), 200));
    },
    proper,
  );
  assert.deepEqual(asked.map(({ range }) => range), [undefined, rest, `bytes=${HALF + 500_000}-`]);
  assert.equal(asked.reduce((sum, { bytes }) => sum + bytes, 0), RIGHT.length);
});

test('m08: a server that fails on the way is asked for the rest again', async (t) => {
  const asked = await right(t, (response) => cut(response), (response) => response.writeHead(503).end(), proper);
  assert.deepEqual(asked.map(({ range }) => range), [undefined, rest, rest]);
});

test('m08: a server that knows no ranges sends all of it, once more', async (t) => {
  const asked = await right(t, (response) => cut(response), whole);
  assert.deepEqual(asked.map(({ range, bytes }) => [range, bytes]), [[undefined, HALF], [rest, RIGHT.length]]);
});

// With the right bytes, which the digest would let pass.
const LIES = {
  'names another place': (response) => part(response, HALF, RIGHT.subarray(HALF), `bytes 0-${RIGHT.length - 1}/${RIGHT.length}`),
  'names another size': (response) => part(response, HALF, RIGHT.subarray(HALF), `bytes ${HALF}-${RIGHT.length}/${RIGHT.length + 1}`),
  'stops short of the end': (response) => part(response, HALF, RIGHT.subarray(HALF), `bytes ${HALF}-${RIGHT.length - 2}/${RIGHT.length}`),
  'names no place': (response) => response.writeHead(206, HEADERS).end(RIGHT.subarray(HALF)),
  'has no such part': (response) => response.writeHead(416, { ...HEADERS, 'Content-Range': `bytes */${RIGHT.length}` }).end(),
  'takes offence': (response) => response.writeHead(400, HEADERS).end(),
};
for (const [story, lie] of Object.entries(LIES)) {
  test(`m08: a server that ${story} is asked for all of it`, async (t) => {
    const asked = await right(t, (response) => cut(response), lie, whole);
    assert.deepEqual(asked.map(({ range }) => range), [undefined, rest, undefined]);
  });
}

test('m08: a part with other bytes than it says does not pass the digest, and all of it is fetched', async (t) => {
  const asked = await right(t, (response) => cut(response), (response) => part(response, HALF, RIGHT.subarray(0, -HALF)), whole);
  assert.deepEqual(asked.map(({ range }) => range), [undefined, rest, undefined]);
});

test('m08: a file that changed between two tries comes whole by its tag', async (t) => {
  const old = async (response) => {
    await begin(response, OTHER.subarray(0, HALF), { tag: '"of another version"' });
    setTimeout(() => response.destroy(), 200);
  };
  const asked = await right(t, old, proper);
  assert.deepEqual(asked.map(({ range, ifRange, bytes }) => [range, ifRange, bytes]), [
    [undefined, undefined, HALF],
    [rest, '"of another version"', RIGHT.length],
  ]);
});

test('m01 m08: a file that is another one in all its parts is refused', async (t) => {
  const other = (response, { headers }) => {
    const first = Number(headers.range?.match(/\d+/)?.[0] ?? 0);
    if (first) part(response, first, OTHER.subarray(first));
    else response.writeHead(200, { ...HEADERS, 'Content-Length': OTHER.length }).end(OTHER);
  };
  const site = await host(t, [(response) => cut(response), other], { isHurried: true });
  const { page } = await visit(t, site);
  await reached(page, 'idle', 'error');
  assert.equal((await outcome(page)).code, 'model_integrity');
});

/** Waits until `isTrue`, asked in this process. */
async function until(isTrue) {
  while (!isTrue()) await new Promise((resolve) => setTimeout(resolve, 50));
}

/** A visit to a site whose service worker has kept everything, and then lost the network. */
async function controlled(t, ...answers) {
  // Its digests allow no other files than those of the build.
  const site = await host(t, [whole, ...answers], { isHurried: false });
  const { page } = await visit(t, site, { serviceWorkers: 'allow' });
  await reached(page, 'idle');
  await page.waitForSelector('#offline-state[data-state="kept"]', { state: 'attached' });
  await page.waitForFunction(() => navigator.serviceWorker.controller);
  // Once it has taken the page over it looks through its files, and would put back what is taken away meanwhile: another look
  // ends after that one.
  const [worker] = page.context().serviceWorkers();
  await worker.evaluate('fill()');
  await page.evaluate(async (name) => {
    for (const key of await caches.keys()) await (await caches.open(key)).delete(new URL(name, location.href).href);
  }, NAME);
  site.asked.length = 1;
  return { site, page };
}

test('m08: the service worker goes on where its own download broke off, and keeps the file', async (t) => {
  const { site, page } = await controlled(t, (response) => cut(response), proper);
  const take = () => page.evaluate(async (name) => {
    const bytes = await fetch(name).then((answer) => answer.arrayBuffer()).catch(() => null);
    const digest = bytes && new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
    return digest && [...digest].map((byte) => byte.toString(16).padStart(2, '0')).join('');
  }, NAME);
  assert.equal(await take(), null);
  const manifest = JSON.parse(await readFile(path.join(ROOT, 'models/cascade/manifest.json'), 'utf8'));
  const { sha256 } = manifest.files.find(({ name }) => name === 'stage1.onnx');
  assert.equal(await take(), sha256);
  assert.deepEqual(site.asked.slice(1).map(({ range, ifRange, bytes }) => [range, ifRange, bytes]), [
    [undefined, undefined, HALF],
    [rest, TAG, RIGHT.length - HALF],
  ]);
  assert.equal(await take(), sha256);
  assert.equal(site.asked.length, 3, 'it is kept');
});

test('m08: parts that do not fit in the service worker are thrown away, not the version', async (t) => {
  const lie = (response) => part(response, HALF, RIGHT.subarray(0, -HALF));
  const { site, page } = await controlled(t, (response) => cut(response), lie, whole);
  const length = () => page.evaluate((name) =>
    fetch(name).then((answer) => answer.arrayBuffer()).then(({ byteLength }) => byteLength, () => null), NAME);
  assert.deepEqual([await length(), await length(), await length()], [null, null, RIGHT.length]);
  assert.deepEqual(site.asked.slice(1).map(({ range }) => range), [undefined, rest, undefined]);
  assert.equal(await page.evaluate(async () => (await caches.keys()).length), 1);
});

test('m08: a part that the service worker is to keep and that breaks off is fetched on', async (t) => {
  // The page's own request first: it has been answered with `no-store`, so that the service worker cannot take it over.
  const unkept = (response) =>
    response.writeHead(200, { ...HEADERS, 'Cache-Control': 'no-store', 'Content-Length': RIGHT.length }).end(RIGHT);
  const site = await host(t, [unkept, (response) => cut(response), proper], { isHurried: false });
  const { page } = await visit(t, site, { serviceWorkers: 'allow' });
  await reached(page, 'idle');
  await page.waitForSelector('#offline-state[data-state="kept"]', { state: 'attached' });
  await until(() => site.asked.length === 3);
  assert.deepEqual(site.asked.slice(1).map(({ range, bytes }) => [range, bytes]), [[undefined, HALF], [rest, RIGHT.length - HALF]]);
});
