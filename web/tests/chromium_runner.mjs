// Runs a WebAssembly test program of cargo in headless Chromium, as cargo's runner:
//
//     node chromium_runner.mjs TEST.wasm [ARGUMENTS...]
//
// wasm-bindgen-test-runner serves the tests; its own way to a browser needs a driver program besides.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { chromium } from 'playwright-core';

const LIMIT_MS = 300_000;
const LAST_LINE = /^test result: (\w+)\..*$/m;

const runner = spawn('wasm-bindgen-test-runner', process.argv.slice(2), {
  env: {
    ...process.env,
    NO_HEADLESS: '1',
    WASM_BINDGEN_USE_BROWSER: '1',
    WASM_BINDGEN_TEST_ADDRESS: '127.0.0.1:0',
  },
  stdio: ['ignore', 'pipe', 'inherit'],
});
let passed = false;
try {
  const browser = await chromium.launch({
    executablePath: process.env.AWARE_CHROMIUM ?? '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-quic', '--no-first-run', '--disable-background-networking'],
  });
  try {
    const page = await browser.newPage();
    await page.goto(await address());
    const output = page.locator('#output');
    await page.waitForFunction(
      () => /^test result:|error/im.test(document.getElementById('output')?.textContent ?? ''),
      null,
      { timeout: LIMIT_MS },
    );
    const text = await output.textContent();
    console.log(text);
    passed = text.match(LAST_LINE)?.[1] === 'ok';
  } finally {
    await browser.close();
  }
} finally {
  runner.kill();
}
process.exit(passed ? 0 : 1);

/** Where the tests are served, as the runner says. */
async function address() {
  const lines = createInterface(runner.stdout);
  const ended = once(runner, 'exit').then(() => {
    throw new Error('wasm-bindgen-test-runner ended before it served the tests');
  });
  const found = (async () => {
    for await (const line of lines) {
      const url = line.match(/http:\/\/[\d.]+:\d+/)?.[0];
      if (url) return url;
    }
    return ended;
  })();
  return Promise.race([found, ended]);
}
