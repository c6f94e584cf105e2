// A model that is not the right one judges nothing, and a worker that dies is replaced.

import assert from 'node:assert/strict';
import { after } from 'node:test';
import { fixture, judge, open, outcome, reached, test, visit, withoutRelaxedSimd } from './site.mjs';

const site = await open(after);

/** Answers requests for `pattern` with what `change` makes of the right answer's body. */
const tamper = (pattern, change) => (page, context) =>
  context.route(pattern, async (route) => {
    const response = await route.fetch();
    const body = change(await response.body());
    await route.fulfill({ response, body, headers: { ...response.headers(), 'content-length': String(body.length) } });
  });

const answer = (pattern, reply) => (page, context) => context.route(pattern, (route) => route.fulfill(reply));

const flipped = (body) => {
  body[body.length >> 1] ^= 1;
  return body;
};
const html = { status: 200, contentType: 'text/html', body: '<!doctype html><title>Sign in</title>' };

const WRONG = {
  'one bit of the network differs': [tamper('**/*.onnx', flipped), 'model_integrity'],
  'the network is cut off': [tamper('**/*.onnx', (body) => body.subarray(0, body.length >> 1)), 'model_integrity'],
  'the network is longer': [tamper('**/*.onnx', (body) => Buffer.concat([body, body])), 'model_integrity'],
  'the network is a web page': [answer('**/*.onnx', html), 'model_integrity'],
  'the network is empty': [answer('**/*.onnx', { status: 200, body: '' }), 'model_integrity'],
  'the network is not there': [answer('**/*.onnx', { status: 404 }), 'model_load'],
  'the server fails': [answer('**/*.onnx', { status: 500 }), 'model_load'],
  'the connection breaks': [(page, context) => context.route('**/*.onnx', (route) => route.abort()), 'model_load'],
  'the manifest is not there': [answer('**/manifest.json', { status: 404 }), 'model_load'],
  'the manifest is a web page': [answer('**/manifest.json', html), 'manifest'],
  'the manifest is of another schema': [
    tamper('**/manifest.json', (body) => Buffer.from(String(body).replace(/"schema_version": "1/, '"schema_version": "9'))),
    'manifest',
  ],
};

for (const [story, [before, code]] of Object.entries(WRONG)) {
  test(`${story}: ${code}, and no verdict`, async (t) => {
    const { page } = await visit(t, site, { before });
    await reached(page, 'error');
    const failure = await outcome(page);
    assert.equal(failure.code, code);
    assert.ok(failure.message.length > 20, failure.message);
    await page.setInputFiles('#picture', fixture('photo.jpg'));
    assert.equal((await outcome(page)).code, code);
  });
}

test('a spoilt cache is passed by', async (t) => {
  let asked = 0;
  const { page } = await visit(t, site, {
    before: (page, context) =>
      context.route('**/stage1.onnx', (route) => (asked++ === 0 ? route.fulfill(html) : route.continue())),
  });
  assert.equal(await reached(page, 'idle', 'error'), 'idle');
  assert.equal(asked, 2);
});

test('when the model is back, "Try again" judges the picture that waited', async (t) => {
  const { page, context } = await visit(t, site, { before: answer('**/*.onnx', { status: 404 }) });
  await reached(page, 'error');
  await page.setInputFiles('#picture', fixture('photo.jpg'));
  assert.equal((await outcome(page)).code, 'model_load');
  await context.unroute('**/*.onnx');
  await page.click('#retry');
  await reached(page, 'result');
  assert.equal(await page.textContent('#file-name'), 'photo.jpg');
});

const builds = [
  ['worker', withoutRelaxedSimd],
  ['worker_relaxed', () => {}],
];
for (const [file, prepare] of builds.flatMap(([name, prepare]) =>
  ['_loader.js', '.js', '_bg.wasm'].map((end) => [name + end, prepare]),
)) {
  test(`a worker without its ${file} ends in an error`, async (t) => {
    const before = async (page, context) => {
      await prepare(page);
      await answer(`**/${file}`, { status: 404 })(page, context);
    };
    const { page } = await visit(t, site, { before });
    await reached(page, 'error');
    assert.equal((await outcome(page)).code, 'worker_died');
  });
}

/** The wasm `body` whose memory cannot grow by more than `pages` of 64 KiB (WebAssembly's binary format, section 5). */
function withLittleMemory(body, pages) {
  const number = (at) => {
    let [value, shift] = [0, 0];
    for (;; at++, shift += 7) {
      value += (body[at] & 127) * 2 ** shift;
      if (body[at] < 128) return [value, at + 1];
    }
  };
  const bytes = (value) => (value < 128 ? [value] : [(value & 127) | 128, ...bytes(Math.floor(value / 128))]);
  let at = 8;
  while (body[at] !== 5) {
    const [size, content] = number(at + 1);
    at = content + size;
  }
  const [size, content] = number(at + 1);
  const [least] = number(content + 2); // behind the count and the flags
  const section = [1, 1, ...bytes(least), ...bytes(least + pages)];
  return Buffer.concat([
    body.subarray(0, at),
    Buffer.from([5, ...bytes(section.length), ...section]),
    body.subarray(content + size),
  ]);
}

test('w02: memory that is refused is said as such, and a new worker is tried', async (t) => {
  let started = 0;
  const before = tamper('**/worker_relaxed_bg.wasm', (body) => (started++ === 0 ? withLittleMemory(body, 16) : body));
  const { page } = await visit(t, site, { before });
  await reached(page, 'error');
  const failure = await outcome(page);
  assert.equal(failure.code, 'memory');
  assert.match(failure.message, /close other tabs/);
  await page.click('#retry');
  assert.equal(await reached(page, 'idle', 'error'), 'idle');
  assert.equal(started, 2);
});

test('a worker that dies while it judges is replaced, and the page lives on', async (t) => {
  let started = 0;
  // The clock is the one thing that a judgement asks the browser for; loading asks for it too, so it is spoilt by the first
  // request. Only the first worker is.
  const trap = (body) => {
    const fault = `addEventListener('message', () => {
      performance.now = () => { throw new WebAssembly.RuntimeError('unreachable'); };
    });\n`;
    return started++ === 0 ? Buffer.concat([Buffer.from(fault), body]) : body;
  };
  const { page } = await visit(t, site, { before: tamper('**/worker_relaxed.js', trap) });
  await reached(page, 'idle');
  assert.equal((await judge(page, fixture('photo.jpg'))).code, 'worker_died');
  await page.click('#retry');
  await reached(page, 'result');
  assert.equal(started, 2);
});
