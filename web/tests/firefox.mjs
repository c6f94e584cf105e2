// What a visit is made of, in Firefox: tests of other files, by one browser, since it takes its time to start.
//
//     AWARE_BROWSER=firefox AWARE_BIN=target/release/aware node --test web/tests/firefox.mjs
//
// The other tests run in Firefox as well, file by file, but take much longer than a step of `cargo xtask test` should. Videos are not
// among these: played at four times their speed on two busy cores without a GPU, Firefox leaves out so many frames that a whole one is
// called truncated.

import assert from 'node:assert/strict';
import { test } from 'node:test';

/** Beginnings of the names of tests, by file. */
const CORE = {
  verdict: [
    'a sample gets',
    'a browser gets the fastest engine',
    'page and command line give the same bits',
    'a picture can be dropped',
    'the saved report',
  ],
  privacy: ['a whole visit asks only', 'neither could the worker'],
  accessibility: ['axe-core finds nothing wrong before', 'a sample can be judged with the keyboard'],
  refusals: ['each kind of wrong file'],
  faces: ['i11 two people'],
  benchmark: ['w7 a quick measurement'],
  offline: ['w8: what was visited once', 's01: a later visit'],
  resume: ['m08: a download that breaks off goes on'],
};

const names = Object.values(CORE).flat();
process.env.AWARE_ONLY = names.join('\n');
for (const file of Object.keys(CORE)) await import(`./${file}.test.mjs`);

test('each of these tests is there', async () => {
  const { found } = await import('./site.mjs');
  assert.deepEqual([...found].sort(), [...names].sort());
});
