// wonnx on WebGPU computes the network in floats as the engine does, or says why it says nothing; the verdict, by the network
// in integers, stays in any case.

import assert from 'node:assert/strict';
import { after } from 'node:test';
import { SAMPLES, WEBGPU_FLAGS, fixture, judge, logitsBy, noProgram, open, outcome, sample, test, visit } from './site.mjs';

const withWebgpu = await open(after, WEBGPU_FLAGS);
const withoutWebgpu = await open(after);

/** Asks for a second opinion on `picture`, and gives `{ state, code, text }`. */
async function ask(page) {
  await page.click('#second');
  await page.waitForSelector('#second-opinion:is([data-state="done"], [data-state="error"])');
  return page.evaluate(() => {
    const element = (id) => document.getElementById(id);
    return {
      state: element('second-opinion').dataset.state,
      code: element('second-error').hidden ? null : element('second-error').dataset.code,
      numbers: !element('second-numbers').hidden,
      logit: Number(element('second-logit').textContent),
      cpu: Number(element('second-cpu').textContent),
      difference: Number(element('second-difference').textContent),
      adapter: element('second-adapter').textContent,
    };
  });
}

/** An error and no number. */
function assertRefused(opinion, code) {
  assert.equal(opinion.state, 'error');
  assert.equal(opinion.numbers, false, 'numbers beside an error');
  if (code) assert.equal(opinion.code, code);
}

test('wonnx gives the logit of the network in floats, as the program does', { skip: noProgram }, async (t) => {
  const { page, violations } = await visit(t, withWebgpu);
  const pictures = [sample(SAMPLES[0].file), fixture('alpha.png'), fixture('photo.jpg')];
  const native = await logitsBy('models/faces', ...pictures);
  for (const [i, picture] of pictures.entries()) {
    const verdict = await judge(page, picture);
    const opinion = await ask(page);
    assert.equal(opinion.state, 'done', await page.textContent('#second-opinion'));
    assert.equal(Math.fround(opinion.cpu), Math.fround(native[i]), picture);
    assert.ok(Math.abs(opinion.logit - native[i]) < 1e-4, `${opinion.logit} and ${native[i]}`);
    assert.equal(opinion.difference, Math.fround(opinion.logit) - Math.fround(opinion.cpu));
    assert.match(opinion.adapter, /swiftshader/i);
    // Another network judged: the one in integers.
    assert.notEqual(Number(await page.textContent('#number-logit')), opinion.cpu);
    assert.deepEqual(await outcome(page), verdict);
  }
  assert.match(await page.textContent('#second-model'), /^AWARE faces \d/);
  assert.deepEqual(violations, []);
});

/** What goes wrong on the GPU, as a line at the start of the worker's script. */
const FAULTS = {
  'a shader that WebGPU refuses': `
    const create = GPUDevice.prototype.createShaderModule;
    GPUDevice.prototype.createShaderModule = function (descriptor) {
      return create.call(this, { ...descriptor, code: 'not a shader' });
    };`,
  'a shader that computes something else': `
    const create = GPUDevice.prototype.createShaderModule;
    GPUDevice.prototype.createShaderModule = function (descriptor) {
      return create.call(this, { ...descriptor, code: descriptor.code.replaceAll('max(', 'min(').replaceAll('clamp(', 'mix(') });
    };`,
  'a device that is lost after the pipelines were built': `
    const submit = GPUQueue.prototype.submit;
    const request = GPUAdapter.prototype.requestDevice;
    let device;
    GPUAdapter.prototype.requestDevice = async function (...rest) {
      return (device = await request.apply(this, rest));
    };
    GPUQueue.prototype.submit = function (...rest) {
      device.destroy();
      return submit.apply(this, rest);
    };`,
  'a dispatch that WebGPU refuses': `
    const dispatch = GPUComputePassEncoder.prototype.dispatchWorkgroups;
    GPUComputePassEncoder.prototype.dispatchWorkgroups = function () {
      return dispatch.call(this, 1 << 24, 1, 1);
    };`,
  'a result that is not a number': `
    const map = GPUBuffer.prototype.getMappedRange;
    GPUBuffer.prototype.getMappedRange = function (...rest) {
      const range = map.apply(this, rest);
      if (this.usage & GPUBufferUsage.MAP_READ) new Float32Array(range).fill(NaN);
      return range;
    };`,
  'a device that cannot be had': `
    GPUAdapter.prototype.requestDevice = async () => { throw new DOMException('out of luck', 'OperationError'); };`,
  'a worker that dies': `
    GPUAdapter.prototype.requestDevice = () => { throw new WebAssembly.RuntimeError('unreachable'); };
    setTimeout(() => { throw new WebAssembly.RuntimeError('unreachable'); }, 500);`,
};
for (const [fault, line] of Object.entries(FAULTS)) {
  test(`${fault} ends as an error, never as a number`, async (t) => {
    const { page } = await visit(t, withWebgpu, {
      before: (page, context) =>
        context.route('**/wonnx.js', async (route) => {
          const response = await route.fetch();
          await route.fulfill({ response, body: `${line}\n${await response.text()}` });
        }),
    });
    const verdict = await judge(page, fixture('photo.jpg'));
    const opinion = await ask(page);
    t.diagnostic(`${opinion.code}: ${await page.textContent('#second-message')}`);
    assertRefused(opinion);
    assert.deepEqual(await outcome(page), verdict);
  });
}

test('a network in floats that is not the one of its manifest is not asked', async (t) => {
  const { page, context } = await visit(t, withWebgpu);
  const verdict = await judge(page, fixture('photo.jpg'));
  await context.route('**/*.onnx', (route) => route.fulfill({ status: 200, body: 'other' }));
  assertRefused(await ask(page), 'model_integrity');
  assert.deepEqual(await outcome(page), verdict);
});

test('another picture ends the second opinion on the one before', async (t) => {
  const { page } = await visit(t, withWebgpu);
  await judge(page, fixture('photo.jpg'));
  await page.click('#second');
  await judge(page, fixture('alpha.png'));
  assert.ok(await page.isHidden('#second-opinion'));
  assert.equal((await ask(page)).state, 'done');
});

test('without WebGPU, the second opinion says that there is no adapter, and the verdict stays', async (t) => {
  const { page } = await visit(t, withoutWebgpu);
  const verdict = await judge(page, fixture('photo.jpg'));
  assertRefused(await ask(page), 'no_adapter');
  assert.deepEqual(await outcome(page), verdict);
  assert.match(await page.textContent('#second-status'), /verdict above stays/);
});

test('its parts may be missing as well', async (t) => {
  for (const part of ['**/wonnx_loader.js', '**/wonnx.js', '**/wonnx_bg.wasm']) {
    const { page } = await visit(t, withoutWebgpu, {
      before: (page, context) => context.route(part, (route) => route.fulfill({ status: 404 })),
    });
    const verdict = await judge(page, fixture('photo.jpg'));
    assertRefused(await ask(page), 'worker_died');
    assert.deepEqual(await outcome(page), verdict, part);
  }
});
