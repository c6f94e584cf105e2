// Keeps the page on this device, so that it works without a network.
//
// `cargo xtask offline` writes a line `const SITE = …` above this text: the version of the site, and size and SHA-256 of each
// of its files. So every version of the site is a service worker of its own, with a cache of its own, and gives out bytes of
// its own version or none: a page never gets parts of two versions, whatever the server has by now.

const ROOT = new URL('./', location).href;
// Other sites of the same origin have caches too.
const OURS = `aware ${ROOT} `;
const CACHE = OURS + SITE.version;

// A download without a byte for so long has stalled.
const STALL_MS = 20_000;
// Waits before a download is tried again.
const BACK_OFF_MS = [1_000, 4_000];

// The function that web/src/worker_handle.rs chooses the engine by: only that one is kept.
const relaxedSimd = Uint8Array.of(
  0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 15, 1, 13, 0, 65, 0, 253, 15, 65, 0, 253, 15, 253, 128, 2, 11);
const engine = WebAssembly.validate(relaxedSimd) ? 'relaxed' : 'simd128';

const FILES = new Map(Object.entries(SITE.files).map(([path, file]) => [new URL(path, ROOT).href, file]));
// What a first verdict takes; the rest is kept when somebody has asked for it.
const needed = [...FILES.keys()].filter((url) => ['always', engine].includes(FILES.get(url).when));

// Pages that came from the network past this version, and their workers.
const strangers = new Set();
// What came of a file before its download broke off, whose next try asks for the rest: `{ url, parts, length, tag }`. Of one
// file alone, which bounds the memory.
let broken;
// Files whose parts did not fit: the browser's own cache may have a part as well.
const misfits = new Set();
// By a visitor's wish, or since this version cannot be had whole any more.
let keepsNothing = false;

/** The server has another file, or none, where this version has one. */
class Outdated extends Error {}

addEventListener('install', (event) => event.waitUntil(install()));

async function install() {
  try {
    const cache = await caches.open(CACHE);
    // One after the other, so that a page which is in use does not wait for them.
    for (const url of needed) await cache.put(url, (await keptAnywhere(url)) ?? (await download(url, BACK_OFF_MS)));
    // An old version stays for as long as one of its pages is open, unless it has lost what its pages need.
    if ((await ourCaches()).length === 1) await skipWaiting();
  } catch (error) {
    await caches.delete(CACHE).catch(() => {});
    const reason = error.name === 'QuotaExceededError' ? 'full' : 'download';
    const windows = await clients.matchAll({ type: 'window', includeUncontrolled: true });
    windows.forEach((window) => window.postMessage({ Failed: { reason } }));
    throw error;
  }
}

addEventListener('activate', (event) => event.waitUntil(forgetOthers()));

async function forgetOthers() {
  // A version that comes after this one is filling its cache, and will do this itself.
  if (registration.installing || registration.waiting) return;
  for (const name of await ourCaches()) if (name !== CACHE) await caches.delete(name);
}

addEventListener('message', (event) => event.waitUntil(onMessage(event)));

async function onMessage({ data, source }) {
  if (data?.Start?.version === SITE.version) {
    // A page that came from the network, and is of this version all the same.
    await clients.claim();
    await fill();
  } else if (data === 'Switch') {
    // It would pull the old version from under other tabs.
    const windows = await clients.matchAll({ type: 'window', includeUncontrolled: true });
    if (windows.length > 1) source.postMessage('OtherTabs');
    else await skipWaiting();
  } else if (data === 'Forget') {
    keepsNothing = true;
    for (const name of await ourCaches()) await caches.delete(name);
    await registration.unregister();
    source.postMessage('Forgotten');
  }
}

/** Keeps what is needed by now: a browser may have learnt new instructions, or have thrown files away. */
async function fill() {
  const cache = await caches.open(CACHE);
  for (const url of needed) {
    if (keepsNothing || (await cache.match(url))) continue;
    // Not kept now; the next start tries again.
    await download(url, BACK_OFF_MS).then((response) => cache.put(url, response)).catch(() => {});
  }
}

addEventListener('fetch', (event) => {
  const { request, clientId, resultingClientId } = event;
  if (strangers.has(clientId)) {
    if (resultingClientId) strangers.add(resultingClientId);
    return;
  }
  const url = address(request);
  if (request.method === 'GET' && FILES.has(url)) event.respondWith(answer(event, url));
});

/** Where the file of `request` is in the list. */
function address({ url, mode }) {
  const address = new URL(url);
  address.hash = '';
  // The page reads its own query; no other file has one.
  if (mode === 'navigate') address.search = '';
  return address.href === ROOT ? `${ROOT}index.html` : address.href;
}

/** The file of this version at `url`: as it is kept, else from the network. */
async function answer(event, url) {
  const { request, resultingClientId } = event;
  const isPage = request.mode === 'navigate';
  try {
    const kept = await keptIn(CACHE, url).catch(() => undefined);
    if (kept) return kept;
    if (isPage) {
      // In whole: a page that is shown in part cannot be taken back. Of other files nobody takes a part.
      const response = await download(url, []);
      if (!keepsNothing) event.waitUntil(keep(url, response.clone()).catch(() => {}));
      return response;
    }
    const cache = request.cache === 'reload' ? 'reload' : 'no-cache';
    return checked(url, await ask(url, cache, request.signal));
  } catch (error) {
    if (error instanceof Outdated) await moveOn(url);
    if (!isPage) return Response.error();
    strangers.add(resultingClientId);
    return fetch(request);
  }
}

/** The file at `url` as it comes in, which breaks off before its end if its bytes are not those of this version. */
function checked(url, { response, begun, isPatched }) {
  const chunks = [];
  const check = new TransformStream({
    transform(chunk, controller) {
      if (chunks.length) controller.enqueue(chunks.at(-1));
      chunks.push(chunk);
    },
    async flush(controller) {
      const bytes = await new Blob(chunks).arrayBuffer();
      if (!(await isRight(url, bytes))) {
        if (!isPatched) await moveOn(url);
        throw wrong(url, isPatched);
      }
      if (chunks.length) controller.enqueue(chunks.at(-1));
      // Where there is no room, the page goes on without.
      if (!keepsNothing) await keep(url, clean(bytes, response)).catch(() => {});
    },
  });
  return clean(incoming(response, begun).pipeThrough(check), response);
}

/** The site is of another version by now, and this one can never have the file at `url` again. */
async function moveOn(url) {
  if (needed.includes(url)) {
    keepsNothing = true;
    await caches.delete(CACHE).catch(() => {});
  }
  // Offline there is no newer version; the browser looks again at the next visit.
  await registration.update().catch(() => {});
}

const keep = async (url, response) => (await caches.open(CACHE)).put(url, response);

const ourCaches = async () => (await caches.keys()).filter((name) => name.startsWith(OURS));

/** The file at `url` from the cache `name`; none if its bytes are not those of this version. */
async function keptIn(name, url) {
  // Not `open`, which would make the cache if it is not there.
  const response = await caches.match(url, { cacheName: name });
  if (response && (await isRight(url, await response.clone().arrayBuffer()))) return response;
}

/** The file at `url` from any version's cache: most files stay the same. */
async function keptAnywhere(url) {
  for (const name of await ourCaches()) {
    const response = await keptIn(name, url);
    if (response) return response;
  }
}

async function isRight(url, bytes) {
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
  return [...digest].map((byte) => byte.toString(16).padStart(2, '0')).join('') === FILES.get(url).sha256;
}

/** The file at `url` from the network, tried again after each of `waits_ms`. */
async function download(url, waits_ms) {
  // What the browser has just loaded it need not load again; the digest decides, not the age.
  const tries = [['force-cache', 0], ...[0, ...waits_ms].map((wait_ms) => ['reload', wait_ms])];
  let failure;
  for (const [cache, wait_ms] of tries) {
    await new Promise((resolve) => setTimeout(resolve, wait_ms));
    try {
      return await downloadOnce(url, cache);
    } catch (error) {
      failure = error;
    }
  }
  throw failure;
}

async function downloadOnce(url, cache) {
  const controller = new AbortController();
  let timer;
  const wait = () => {
    clearTimeout(timer);
    timer = setTimeout(() => controller.abort(), STALL_MS);
  };
  try {
    wait();
    const { response, begun, isPatched } = await ask(url, cache, controller.signal);
    const bytes = await read(incoming(response, begun).getReader(), wait);
    if (!(await isRight(url, bytes))) throw wrong(url, isPatched);
    return clean(bytes, response);
  } finally {
    clearTimeout(timer);
    controller.abort();
  }
}

/** What `reader` gives, after each part of which `onPart` is called. */
async function read(reader, onPart) {
  const parts = [];
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return new Blob(parts).arrayBuffer();
    onPart();
    parts.push(value);
  }
}

/** The site's answer with the file at `url`, or with what is missing of it, and what came of it before. */
async function ask(url, cache, signal) {
  if (broken?.url === url) {
    // Nobody else is to add to it meanwhile.
    const begun = broken;
    broken = undefined;
    const headers = { Range: `bytes=${begun.length}-`, ...(begun.tag && { 'If-Range': begun.tag }) };
    // No cache is to put parts together: it could not tell whether the result is right.
    const response = await fetch(url, { cache: 'no-store', headers, signal }).catch(() => {});
    if (!response || response.status >= 500) {
      broken = begun;
      throw response ? refusal(url, response) : new TypeError('no connection');
    }
    if (isRest(response, begun)) return { response, begun, isPatched: true };
    if (response.status === 200) return { response, begun: nothingOf(url, response) };
    // Something that nobody asked for: all of it then.
    response.body?.cancel();
    misfits.add(url);
  }
  const response = await fetch(url, { cache: misfits.has(url) ? 'reload' : cache, signal });
  if (!response.ok) throw refusal(url, response);
  return { response, begun: nothingOf(url, response) };
}

/** Whether `response` brings what is missing of the file that has `begun`. Places in what was compressed are other places. */
const isRest = ({ status, headers }, { url, length }) =>
  status === 206 && !headers.get('Content-Encoding') &&
  headers.get('Content-Range') === `bytes ${length}-${FILES.get(url).bytes - 1}/${FILES.get(url).bytes}`;

/** A weak tag may stand for several bodies, and then nobody promises that their parts fit. */
const nothingOf = (url, { headers }) =>
  ({ url, parts: [], length: 0, tag: headers.get('ETag')?.startsWith('"') ? headers.get('ETag') : null });

/** What has `begun`, and the body of `response` behind it; not much more than the file has. */
function incoming(response, begun) {
  const reader = response.body.getReader();
  const { headers } = response;
  const promised = begun.length + (headers.get('Content-Encoding') ? 0 : Number(headers.get('Content-Length') ?? 0));
  const breakOff = () => {
    if (begun.length) broken = begun;
  };
  let given = 0;
  return new ReadableStream({
    async pull(controller) {
      if (given === begun.parts.length) {
        try {
          const { done, value } = await reader.read();
          // Not every browser calls it an error when a connection ends before its time.
          if (done && begun.length < promised) throw new TypeError('the connection ended early');
          if (done) return controller.close();
          begun.parts.push(value);
          begun.length += value.length;
        } catch (error) {
          breakOff();
          throw error;
        }
      }
      controller.enqueue(begun.parts[given++]);
      if (begun.length <= FILES.get(begun.url).bytes) return;
      reader.cancel();
      controller.close();
    },
    cancel(reason) {
      breakOff();
      return reader.cancel(reason);
    },
  });
}

/** What is wrong with the bytes that came: parts that do not fit say nothing of what the site has. */
function wrong(url, isPatched) {
  if (!isPatched) return new Outdated(url);
  misfits.add(url);
  return new Error('the parts are not of one version');
}

/** What `response` says of the file at `url`, which it does not bring. */
const refusal = (url, { status }) =>
  status >= 500 ? new Error(`the server answered ${status}`) : new Outdated(url);

/** `body` with the headers of `response`, which hold the policy, without those of the transport, which speak of other bytes. */
function clean(body, response) {
  const headers = new Headers(response.headers);
  for (const name of ['content-encoding', 'content-length', 'content-range', 'vary']) headers.delete(name);
  return new Response(body, { headers });
}
