// The browser that the tests drive: Chromium, or Debian's Firefox where AWARE_BROWSER says so.

import { rmSync } from 'node:fs';
import { mkdtemp, readFile, readdir, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { chromium, firefox } from 'playwright-core';

export const isFirefox = process.env.AWARE_BROWSER === 'firefox';

/** Why a test that needs `what` is left out; false in a browser that has it. */
export const notInFirefox = (what) => isFirefox && `not in Firefox: ${what}`;

/** What the driver of Firefox cannot do, where a test is made of it. */
export const MISSING = {
  devtools: 'only Chromium speaks the protocol of its developer tools',
  permissions: 'its driver neither allows nor forbids a camera',
  media: 'its driver chooses neither colours nor paper',
  scripts: 'its driver does not switch scripts off',
};

const CHROMIUM_FLAGS = [
  '--no-sandbox',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/** Where Firefox puts what a page saves. */
const downloads = isFirefox && (await mkdtemp(path.join(os.tmpdir(), 'aware-downloads-')));
if (downloads) process.on('exit', () => rmSync(downloads, { recursive: true, force: true }));

/** Starts the browser; `flags` are Chromium's. */
export const launch = (flags = []) => (isFirefox ? (running ??= launchFirefox()) : launchChromium(flags));

/** The one Firefox of this process: each visit has a profile of its own in it. */
let running;

const launchChromium = (flags) =>
  chromium.launch({
    executablePath: process.env.AWARE_CHROMIUM ?? '/usr/bin/chromium',
    args: [...CHROMIUM_FLAGS, ...flags],
  });

/** A stock Firefox, by WebDriver BiDi: Playwright's own protocol needs a Firefox that Playwright has patched. */
async function launchFirefox() {
  const browser = await firefox.launch({
    channel: 'moz-firefox',
    executablePath: process.env.AWARE_FIREFOX ?? '/usr/bin/firefox-esr',
    downloadsPath: downloads,
    firefoxUserPrefs: {
      'media.navigator.streams.fake': true,
      // For all: nobody is there to be asked, and what the driver allows does not reach the camera.
      'permissions.default.camera': 1,
      'media.autoplay.default': 0,
    },
  });
  // Firefox 153 does not know this command, which Playwright sends for every visitor; it would end each test.
  const session = browser._connection.toImpl(browser)._browserSession;
  const send = session.send.bind(session);
  session.send = async (method, ...rest) => (method === 'emulation.setMediaFeaturesOverride' ? {} : send(method, ...rest));
  return browser;
}

/** What the page saves when `selector` is clicked: `{ name, text }`. */
export const saved = (page, selector) => (isFirefox ? savedByFirefox(page, selector) : savedByChromium(page, selector));

async function savedByChromium(page, selector) {
  const [download] = await Promise.all([page.waitForEvent('download'), page.click(selector)]);
  return { name: download.suggestedFilename(), text: await readFile(await download.path(), 'utf8') };
}

/** Firefox tells the driver of downloads without saying which one: the file itself is waited for. */
async function savedByFirefox(page, selector) {
  await page.click(selector);
  let before;
  for (let tries = 0; tries < 200; tries++) {
    const names = await readdir(downloads);
    const [name] = names;
    const text = name && !names.some((name) => name.endsWith('.part')) && (await readFile(path.join(downloads, name), 'utf8'));
    // The file has its name before it has its content.
    if (text && text === before) {
      await rm(path.join(downloads, name));
      return { name, text };
    }
    before = text;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`nothing was saved by ${selector}`);
}
