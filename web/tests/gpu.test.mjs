// The GPU gives the CPU's bits, or the CPU does the work and the page says why; whatever goes wrong on the way.

import assert from 'node:assert/strict';
import { after } from 'node:test';
import { saved } from './browsers.mjs';
import { SAMPLES, WEBGPU_FLAGS, aware, fixture, judge, noProgram, open, reached, sample, test, visit } from './site.mjs';

const withWebgpu = await open(after, WEBGPU_FLAGS);
const withoutWebgpu = await open(after);

/** By force: the only adapter here is software. */
const FORCED = { query: '?backend=gpu' };

/** Puts `line` before the engine worker's script. */
const faulty = (line) => (page, context) =>
  context.route(/\/worker(_relaxed)?\.js$/, async (route) => {
    const response = await route.fetch();
    await route.fulfill({ response, body: `${line}\n${await response.text()}` });
  });

const backend = (page) => page.textContent('#number-backend');
const notices = (page) => page.textContent('#notices');

/** What the page says of the GPU, once it knows. */
async function gpuState(page) {
  await page.waitForFunction(() => document.getElementById('gpu-state').textContent !== '');
  return page.textContent('#gpu-state');
}

test('g01 without WebGPU the CPU judges, and the page says so', async (t) => {
  const { page } = await visit(t, withoutWebgpu);
  await judge(page, fixture('photo.jpg'));
  assert.equal(await backend(page), 'cpu');
  assert.match(await gpuState(page), /on the CPU: no GPU can be used/);
});

test('g02 an adapter in software is not used', async (t) => {
  const { page } = await visit(t, withWebgpu);
  await reached(page, 'idle');
  assert.match(await gpuState(page), /on the CPU: .*software/);
  await judge(page, fixture('photo.jpg'));
  assert.equal(await backend(page), 'cpu');
});

test('the GPU gives the bits of the program', { skip: noProgram }, async (t) => {
  const pictures = [sample(SAMPLES[0].file), fixture('photo.jpg'), fixture('alpha.png')];
  const native = await aware(...pictures);
  const { page, violations, requests } = await visit(t, withWebgpu, FORCED);
  for (const [i, picture] of pictures.entries()) {
    assert.deepEqual(await judge(page, picture), native[i], picture);
    assert.equal(await backend(page), 'gpu i8-dot');
  }
  assert.match(await gpuState(page), /on the GPU \(.*swiftshader/i);
  assert.deepEqual(violations, []);
  assert.ok(requests.every((request) => request.method() === 'GET'));
});

test('w3 a browser without packed dot products multiplies in floats, to the same bits', { skip: noProgram }, async (t) => {
  const [native] = await aware(fixture('photo.jpg'));
  const before = faulty(`
    Object.defineProperty(GPU.prototype, 'wgslLanguageFeatures', { value: new Set() });`);
  const { page } = await visit(t, withWebgpu, { ...FORCED, before });
  assert.deepEqual(await judge(page, fixture('photo.jpg')), native);
  assert.equal(await backend(page), 'gpu f32');
});

/** Loses the device at submission number `n`: before, during or after it, or at each one from there on. */
const losing = (n, when) => `
  const submit = GPUQueue.prototype.submit;
  const request = GPUAdapter.prototype.requestDevice;
  let device, count = 0;
  GPUAdapter.prototype.requestDevice = async function (...rest) {
    return (device = await request.apply(this, rest));
  };
  GPUQueue.prototype.submit = function (...rest) {
    count += 1;
    const is_turn = ${when === 'always' ? `count >= ${n}` : `count === ${n}`};
    const lost = device;
    if (is_turn && ${when === 'before' || when === 'always'}) lost.destroy();
    submit.apply(this, rest);
    if (is_turn && ${when === 'during'}) lost.destroy();
    if (is_turn && ${when === 'after'}) this.onSubmittedWorkDone().then(() => setTimeout(() => lost.destroy()));
  };`;

// The golden vectors are the first submissions, two on each device.
for (const when of ['before', 'during', 'after']) {
  test(`g04 a device that is lost ${when} a run is replaced, and the run done again`, { skip: noProgram }, async (t) => {
    const pictures = [fixture('photo.jpg'), fixture('alpha.png')];
    const native = await aware(...pictures);
    const { page } = await visit(t, withWebgpu, { ...FORCED, before: faulty(losing(3, when)) });
    for (const [i, picture] of pictures.entries()) {
      assert.deepEqual(await judge(page, picture), native[i]);
      assert.equal(await backend(page), 'gpu i8-dot');
    }
  });
}

test('g04 two losses in a minute leave everything to the CPU', { skip: noProgram }, async (t) => {
  const [native] = await aware(fixture('photo.jpg'));
  const { page } = await visit(t, withWebgpu, { ...FORCED, before: faulty(losing(3, 'always')) });
  assert.deepEqual(await judge(page, fixture('photo.jpg')), native);
  assert.equal(await backend(page), 'cpu');
  assert.match(await gpuState(page), /on the CPU: .*lost/);
  assert.match(await notices(page), /graphics processor/);
});

const wrongShader = (change) => `
  const create = GPUDevice.prototype.createShaderModule;
  GPUDevice.prototype.createShaderModule = function (descriptor) {
    const code = ${change};
    return create.call(this, { ...descriptor, code });
  };`;

/** What goes wrong, what the page says of it, and whether the report must say it. */
const FAULTS = [
  ['g06 a shader that WebGPU refuses', wrongShader(`'not a shader'`), /reported an error/, true],
  ['g07 a shader that computes something else', wrongShader(`descriptor.code.replaceAll('sums + bias', 'sums - bias')`), /wrong numbers/, true],
  ['g07 a shader that is wrong in one bit', wrongShader(`descriptor.code.replaceAll('return round(', 'return floor(')`), /wrong numbers/, true],
  ['g06 a dispatch that WebGPU refuses', `
    const dispatch = GPUComputePassEncoder.prototype.dispatchWorkgroups;
    GPUComputePassEncoder.prototype.dispatchWorkgroups = function () {
      return dispatch.call(this, 1 << 24, 1, 1);
    };`, /reported an error/, true],
  ['g08 a result that is no number, behind the golden vectors', `
    const map = GPUBuffer.prototype.getMappedRange;
    let count = 0;
    GPUBuffer.prototype.getMappedRange = function (...rest) {
      const range = map.apply(this, rest);
      if (this.usage & GPUBufferUsage.MAP_READ && ++count > 2) new Float32Array(range).fill(NaN);
      return range;
    };`, /not finite/, true],
  ['g03 a device that cannot be had', `
    GPUAdapter.prototype.requestDevice = async () => { throw new DOMException('out of luck', 'OperationError'); };`,
    /no GPU can be used/, false],
  ['g01 no adapter', `GPU.prototype.requestAdapter = async () => null;`, /no GPU can be used/, false],
  ['g03 a device that takes next to nothing', `
    const limits = Object.getOwnPropertyDescriptor(GPUDevice.prototype, 'limits').get;
    Object.defineProperty(GPUDevice.prototype, 'limits', {
      get() {
        return new Proxy(limits.call(this), {
          get: (target, name) => (name === 'maxStorageBufferBindingSize' ? 1024 : target[name]),
        });
      },
    });`, /beyond what the GPU takes/, false],
];
for (const [fault, line, reason, isNoted] of FAULTS) {
  test(`${fault}: the CPU judges, and the page says why`, { skip: noProgram }, async (t) => {
    const [native] = await aware(fixture('photo.jpg'));
    const { page } = await visit(t, withWebgpu, { ...FORCED, before: faulty(line) });
    assert.deepEqual(await judge(page, fixture('photo.jpg')), native);
    assert.equal(await backend(page), 'cpu');
    assert.match(await gpuState(page), reason);
    assert.equal(/graphics processor/.test(await notices(page)), isNoted);
  });
}

test('what was measured is kept for the next visit, and shown', async (t) => {
  const pretend = faulty(`
    // A driver in software that does not say so.
    const info = Object.getOwnPropertyDescriptor(GPUDevice.prototype, 'adapterInfo').get;
    const named = (info) => new Proxy(info, {
      get: (target, name) => (name === 'architecture' ? 'pretended' : name === 'isFallbackAdapter' ? false : target[name]),
    });
    Object.defineProperty(GPUDevice.prototype, 'adapterInfo', { get() { return named(info.call(this)); } });
    const ofAdapter = Object.getOwnPropertyDescriptor(GPUAdapter.prototype, 'info').get;
    Object.defineProperty(GPUAdapter.prototype, 'info', { get() { return named(ofAdapter.call(this)); } });`);
  const { page } = await visit(t, withWebgpu, { before: pretend });
  const measured = await gpuState(page);
  assert.match(measured, /on the CPU: .*faster here.* Measured: cpu [\d.]+ ms, gpu i8-dot [\d.]+ ms/);
  await page.reload();
  assert.match(await gpuState(page), /Measured before: cpu [\d.]+ ms/);
});

test('w7 the benchmark measures the GPU where it is asked to, by results that must be the processor\'s', async (t) => {
  const { page } = await visit(t, withWebgpu, { query: '#benchmark?seconds=0.1&runs=1&places=cpu-relaxed,gpu,wonnx&compare&start' });
  // In software, on a machine that has more to do.
  await page.waitForSelector('#bench[data-state="done"], #bench[data-state="error"]', { timeout: 110_000 });
  const report = JSON.parse((await saved(page, '#bench-save')).text);
  assert.match(report.environment.adapter, /swiftshader/i);
  assert.equal(report.environment.is_software_adapter, true);
  const cell = (place, subject) => report.cells.find((cell) => cell.place === place && cell.subject === subject);
  // Integers to the bit, floats by the order of sums.
  assert.equal(cell('gpu', 'stage1').difference, 0);
  assert.ok(cell('gpu', 'file').difference < 1e-4 && cell('wonnx', 'file').difference < 1e-4);
  for (const [place, subject] of [['gpu', 'stage1'], ['gpu', 'file'], ['wonnx', 'file']]) {
    assert.ok(cell(place, subject).summary.runs > 0, `${place} ${subject}`);
  }
  const gpu = report.places.find(({ place }) => place === 'gpu');
  assert.ok(gpu.golden_passed && gpu.cold.gpu_ms > 0, JSON.stringify(gpu));
});
