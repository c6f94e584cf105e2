// What every test needs: the site, a browser, and words for what a visitor does.

import { execFile } from 'node:child_process';
import { readFile, writeFile, mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { test as nodeTest } from 'node:test';
import { fileURLToPath } from 'node:url';
import { launch } from './browsers.mjs';
import { serve } from './serve.mjs';

export const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** The network that the page fetches for the first picture of which its filter is not sure. */
export const EXPERT = 'models/cascade/efficientnet.onnx';

/** A picture of `fixtures`. */
export const fixture = (name) => fileURLToPath(new URL(`fixtures/${name}`, import.meta.url));

/** A sample picture of the site. */
export const sample = (name) => path.join(ROOT, 'models/samples', name);

export const SAMPLES = JSON.parse(await readFile(sample('samples.json'), 'utf8'));

/** Why tests that need the native program do not run; false where they do. */
export const noProgram = process.env.AWARE_BIN ? false : 'AWARE_BIN names no native program';

export const WEBGPU_FLAGS = ['--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader'];

/** Beginnings of the names of the tests that are to run, one a line; all of them where nobody says. */
const ONLY = process.env.AWARE_ONLY?.split('\n');
/** Those of them that name a test. */
export const found = new Set();

/** A test that fails after two minutes, instead of never; a slow one takes twelve seconds. */
export const test = (name, options, body) => {
  const beginning = ONLY?.find((beginning) => name.startsWith(beginning));
  if (ONLY && !beginning) return;
  found.add(beginning);
  if (body) nodeTest(name, { timeout: 120_000, ...options }, body);
  else nodeTest(name, { timeout: 120_000 }, options);
};

/** Makes a page believe that its browser lacks relaxed SIMD: it then starts the engine's other build. */
export const withoutRelaxedSimd = (page) =>
  page.addInitScript(() => {
    const validate = WebAssembly.validate.bind(WebAssembly);
    // i8x16.relaxed_swizzle, which the page's probe uses.
    const isRelaxed = (bytes) => [...new Uint8Array(bytes.buffer ?? bytes)].join().includes('253,128,2');
    WebAssembly.validate = (bytes) => !isRelaxed(bytes) && validate(bytes);
  });

/** Starts browser and site; `after` ends them, the test file's own `after`. */
export async function open(after, flags = []) {
  const site = process.env.AWARE_URL ? { url: process.env.AWARE_URL, close() {} } : await serve();
  const browser = await launch(flags);
  after(async () => {
    await browser.close();
    site.close();
  });
  return { url: site.url, browser };
}

/**
 * A visitor in a browser profile of their own. `before` may change the page before it loads, for example with routes;
 * `query` stands behind the address.
 * `visit.requests` and `visit.violations` fill up as the visit goes on. Without service workers, whose requests no route
 * sees; offline.test.mjs has them.
 */
export async function visit(t, { url, browser }, { before, query = '', ...options } = {}) {
  const context = await browser.newContext({ serviceWorkers: 'block', ...options });
  t.after(() => context.close());
  const page = await context.newPage();
  page.setDefaultTimeout(60_000);
  const requests = [];
  const violations = [];
  // Of the whole context: what workers ask for is in it too.
  context.on('request', (request) => requests.push(request));
  page.on('console', (message) => {
    if (/content security policy|trusted(html|script|type)/i.test(message.text())) violations.push(message.text());
  });
  await page.exposeFunction('reportViolation', (text) => violations.push(text));
  await page.addInitScript(() => {
    addEventListener('securitypolicyviolation', (event) => {
      window.reportViolation(`${event.effectiveDirective}: ${event.blockedURI}`);
    });
  });
  if (before) await before(page, context);
  await page.goto(url + query);
  if (options.javaScriptEnabled !== false) await started(t, page);
  return { page, context, requests, violations };
}

/**
 * Waits until the page has started. On busy machines one page in fifty waited for ever for a file, by a race in the server of
 * `cargo xtask` (see there). A page that stands still is loaded once more, and the test says how far it came.
 */
async function started(t, page) {
  // The packed example is another page.
  if (!(await page.$('#app'))) return;
  for (let tries = 1; ; tries++) {
    const attached = { state: 'attached', timeout: 20_000 };
    const isStarted = await page.waitForSelector('#app:not([data-state="starting"])', attached).then(() => true, () => false);
    if (isStarted) return;
    const trace = await page.evaluate(() =>
      performance.getEntries().map(({ entryType, name, startTime, responseEnd }) =>
        `${entryType} ${name} ${Math.round(startTime)} ${Math.round(responseEnd ?? 0)}`));
    t.diagnostic(`the page did not start within 20 s:\n${trace.join('\n')}`);
    if (tries === 3) throw new Error('the page did not start, three times');
    await page.reload();
  }
}

/** Waits until the page is in one of `states`, and says in which. */
export async function reached(page, ...states) {
  const selector = states.map((state) => `#app[data-state="${state}"]`).join(', ');
  return (await page.waitForSelector(selector, { state: 'attached' })).getAttribute('data-state');
}

/** Forgets the state that is shown, so that the next one is known to be new; a page that has not started hears nothing yet. */
export async function forget(page) {
  await page.waitForSelector('#app:not([data-state="starting"])', { state: 'attached' });
  await page.evaluate(() => (document.getElementById('app').dataset.state = 'forgotten'));
}

/** Chooses `file` (a path, or `{ name, mimeType, buffer }`) and gives what the page says of it. */
export async function judge(page, file) {
  await forget(page);
  await page.setInputFiles('#picture', file);
  return outcome(page);
}

/** What the page says of the picture that it was given: `{ label, probability }` or `{ code, message }`. */
export async function outcome(page) {
  const state = await reached(page, 'result', 'error');
  return page.evaluate((state) => {
    const element = (id) => document.getElementById(id);
    const shown = (id) => !element(id).hidden;
    if (shown('result') === shown('error')) throw new Error('the page shows verdict and error, or neither');
    if (state === 'error') {
      return { code: element('error').dataset.code, message: element('error-message').textContent };
    }
    const { label, probability } = element('result').dataset;
    return { label, probability };
  }, state);
}

/** What `aware detect --json` says of each of `files`, in the same words as `outcome`. */
export const aware = (...files) => awareBy(null, ...files);

/** The same by the bundle in `folder`, the program's own choice if that is null. */
export async function awareBy(folder, ...files) {
  return (await detected(folder, files)).map(({ line, report, error }) => {
    if (error) return { code: error.code };
    // The digits as they stand there, before JSON.parse has read them.
    const [, probability] = line.match(/"verdict":\{[^}]*"probability_fake":([^,}]+)/);
    return { label: report.verdict.label, probability };
  });
}

/** The logits that the bundle in `folder` gives for `files`, by the program. */
export async function logitsBy(folder, ...files) {
  return (await detected(folder, files)).map(({ report }) => report.stages[0].logit);
}

/** Each line of `aware detect --json`, and what it says. */
async function detected(folder, files) {
  const options = folder ? ['--bundle', folder] : [];
  const stdout = await new Promise((resolve, reject) => {
    // From the root, where the program finds the bundle. It ends with 3 if a file was not judged.
    execFile(process.env.AWARE_BIN, ['detect', '--json', ...options, ...files], { cwd: ROOT }, (error, stdout) => {
      if (error && error.code !== 3) reject(error);
      else resolve(stdout);
    });
  });
  return stdout
    .trim()
    .split('\n')
    .map((line) => ({ line, ...JSON.parse(line) }));
}

/** Writes `contents` (name -> bytes) to files that end with the test; gives their paths. */
export async function temporary(t, contents) {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'aware-test-'));
  t.after(() => rm(folder, { recursive: true }));
  const files = Object.entries(contents).map(([name, bytes]) => [path.join(folder, name), bytes]);
  await Promise.all(files.map(([file, bytes]) => writeFile(file, bytes)));
  return files.map(([file]) => file);
}
