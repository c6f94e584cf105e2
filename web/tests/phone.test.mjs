// `aware bench --mobile-simulation` in the browser that the tests drive: the page on a simulated phone, and nothing left of it.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, readdir, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { isFirefox } from './browsers.mjs';
import { ROOT, noProgram, test } from './site.mjs';

const skip = (isFirefox && 'it drives Chromium') || noProgram || (process.platform !== 'linux' && 'processes are looked for in /proc');
const BUNDLE = path.join(ROOT, 'models/cascade');

/** A simulation with a folder of its own for its report and all that it leaves behind. */
async function simulation(t, ...options) {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'aware-test-phone-'));
  const output = path.join(folder, 'out');
  const words = ['bench', BUNDLE, '--mobile-simulation', '--site', path.join(ROOT, 'dist'), '--output', output, '--runs', '3'];
  const env = { ...process.env, TMPDIR: folder, AWARE_CHROMIUM: process.env.AWARE_CHROMIUM ?? '/usr/bin/chromium' };
  const program = spawn(process.env.AWARE_BIN, [...words, ...options], { env, stdio: ['ignore', 'ignore', 'pipe'] });
  t.after(async () => {
    program.kill('SIGKILL');
    await rm(folder, { recursive: true, force: true });
  });
  let said = '';
  program.stderr.on('data', (text) => (said += text));
  const report = async () => JSON.parse(await readFile(path.join(output, 'bench.json'), 'utf8'));
  const left = async () => (await readdir(folder)).filter((name) => name !== 'out');
  return { folder, output, program, report, left, said: () => said };
}

/** Processes of a browser whose profile is in `folder`. */
async function processes(folder) {
  const numbers = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const lines = numbers.map(async (number) => readFile(`/proc/${number}/cmdline`, 'utf8').catch(() => ''));
  return (await Promise.all(lines)).filter((line) => line.includes(`user-data-dir=${folder}`));
}

/** Waits until `holds`; the test's own limit ends it. */
async function until(holds) {
  while (!(await holds())) await new Promise((resolve) => setTimeout(resolve, 50));
}

/** Waits until the first measurement is done and the next, slower one has a browser to run in. */
const isUnderWay = ({ folder, report }) =>
  until(async () => {
    const runs = await report().then((report) => report.mobile_compatibility?.runs.length ?? 0, () => 0);
    return runs === 1 && (await processes(folder)).length > 0;
  });

test('h6 the built page on a simulated phone: labelled figures, their size, and no process left', { skip }, async (t) => {
  const phone = await simulation(t, '--rates', '4', '--seconds', '0.5');
  const [code] = await once(phone.program, 'exit');
  assert.equal(code, 0, phone.said());
  const { mobile_compatibility: mobile, parts } = await phone.report();
  assert.deepEqual(parts, ['mobile']);
  assert.match(mobile.browser, /Chrom/);
  assert.ok(mobile.is_small && mobile.model_size_mb > 0);
  assert.deepEqual(mobile.runs.map(({ simulated }) => simulated), ['cpu-1x', 'cpu-4x']);
  assert.ok(mobile.runs[0].measured_rate === null && mobile.runs[1].measured_rate > 1);
  for (const { simulated, figures, report } of mobile.runs) {
    assert.deepEqual(report.invalid, []);
    assert.equal(report.simulated, simulated);
    assert.deepEqual(report.environment.screen, [390, 844]);
    assert.equal(report.environment.pixel_ratio, 3);
    assert.deepEqual(report.places.map(({ golden_passed }) => golden_passed), [true]);
    assert.deepEqual(figures.map(({ subject }) => subject), ['stage1', 'efficientnet', 'faces', 'picture']);
    assert.ok(figures.every((figure) => figure.simulated === simulated && figure.runs >= 3 && figure.p50_ms <= figure.p90_ms));
  }
  assert.ok(mobile.runs[1].figures.every(({ slowdown }) => slowdown > 0));
  const html = await readFile(path.join(phone.output, 'report.html'), 'utf8');
  assert.match(html, /Simulated phone/);
  assert.match(await readFile(path.join(phone.output, 'plots/mobile_readiness.svg'), 'utf8'), /simulated/);
  assert.deepEqual(await processes(phone.folder), []);
  assert.deepEqual(await phone.left(), []);
});

test('h6 c01 Ctrl-C keeps what was simulated, and leaves neither browser nor profile', { skip }, async (t) => {
  const phone = await simulation(t, '--rates', '6', '--seconds', '3');
  await isUnderWay(phone);
  phone.program.kill('SIGINT');
  const [code] = await once(phone.program, 'exit');
  assert.equal(code, 130, phone.said());
  const report = await phone.report();
  assert.equal(report.stopped, true);
  assert.equal(report.mobile_compatibility.runs.length, 1);
  assert.deepEqual(await processes(phone.folder), []);
  assert.deepEqual(await phone.left(), []);
});

test('h6 when the program itself is killed, the browser ends, and so do processes that stand still', { skip }, async (t) => {
  const phone = await simulation(t, '--rates', '50', '--seconds', '3');
  await isUnderWay(phone);
  phone.program.kill('SIGKILL');
  await once(phone.program, 'exit');
  await until(async () => (await processes(phone.folder)).length === 0);
});
