// Whatever is no whole picture ends in an error that says so, the same one as on the command line, and never in a
// verdict.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after } from 'node:test';
import { crc32 } from './crc32.mjs';
import { aware, fixture, forget, judge, noProgram, open, outcome, temporary, test, visit } from './site.mjs';

const site = await open(after);

/** A PNG that claims to have `width` x `height` pixels and ends after a few bytes of them. */
function bomb(width, height) {
  const chunk = (type, data) => {
    const body = Buffer.concat([Buffer.from(type, 'latin1'), data]);
    const [length, check] = [Buffer.alloc(4), Buffer.alloc(4)];
    length.writeUInt32BE(data.length);
    check.writeUInt32BE(crc32(body));
    return Buffer.concat([length, body, check]);
  };
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  // Eight bits a channel, RGB.
  header.set([8, 2, 0, 0, 0], 8);
  const signature = Buffer.from('\x89PNG\r\n\x1a\n', 'latin1');
  return Buffer.concat([signature, chunk('IHDR', header), chunk('IDAT', Buffer.from([0x78, 0x9c])), chunk('IEND', Buffer.alloc(0))]);
}

const text = (content) => Buffer.from(content, 'latin1');

/** name -> [bytes, code, what the message must name] */
const REFUSED = {
  'empty.jpg': [Buffer.alloc(0), 'empty', /empty/],
  'bomb.png': [bomb(65_535, 65_535), 'too_large', /too large/],
  'page.html': [text('<!doctype html><title>x</title>'), 'unsupported', /HTML/],
  'drawing.svg': [text('<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'), 'unsupported', /SVG/],
  'drawing.png': [text('<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>'), 'unsupported', /SVG/],
  'paper.pdf': [text('%PDF-1.7\n'), 'unsupported', /PDF/],
  'archive.zip': [text('PK\x03\x04\x14\0\0\0'), 'unsupported', /ZIP/],
  'film.gif': [text('GIF89a\x01\0\x01\0\0\0\0;'), 'corrupt', /GIF/],
  'phone.heic': [text('\0\0\0\x18ftypheic\0\0\0\0'), 'unsupported', /HEIC/],
  'new.avif': [text('\0\0\0\x1cftypavif\0\0\0\0'), 'unsupported', /AVIF/],
  'new.jxl': [text('\xff\x0a\0\0'), 'unsupported', /JPEG XL/],
  'video.mp4': [text('\0\0\0\x20ftypisom\0\0\x02\0'), 'codec', /does not play/],
  'noise.jpg': [text('nothing at all'), 'unsupported', /this kind of file/i],
};

test('each kind of wrong file is refused by name', async (t) => {
  const { page } = await visit(t, site);
  page.on('dialog', () => assert.fail('a script in the file ran'));
  for (const [name, [buffer, code, names]] of Object.entries(REFUSED)) {
    const refused = await judge(page, { name, mimeType: 'image/jpeg', buffer });
    assert.equal(refused.code, code, name);
    assert.match(refused.message, names, name);
    assert.equal(await page.getAttribute('#preview-image', 'src'), null, 'nothing of it may be rendered');
  }
});

// Not of videos: the program decodes them with ffmpeg, the page with what the browser has.
test('page and command line refuse the same files with the same code', { skip: noProgram }, async (t) => {
  const both = Object.entries(REFUSED).filter(([name]) => name !== 'video.mp4');
  const files = await temporary(t, Object.fromEntries(both.map(([name, [bytes]]) => [name, bytes])));
  const native = await aware(...files);
  const { page } = await visit(t, site);
  for (const [i, file] of files.entries()) {
    assert.equal((await judge(page, file)).code, native[i].code, file);
  }
});

test('a picture that is cut off anywhere gets no verdict', async (t) => {
  const cut = {};
  for (const name of ['photo.jpg', 'progressive.jpg', 'photo.png', 'photo.webp']) {
    const whole = await readFile(fixture(name));
    for (let tenth = 1; tenth < 10; tenth++) {
      cut[`${tenth}0-percent-of-${name}`] = whole.subarray(0, Math.floor((whole.length * tenth) / 10));
    }
  }
  const files = await temporary(t, cut);
  const native = process.env.AWARE_BIN ? await aware(...files) : null;
  const { page } = await visit(t, site);
  for (const [i, file] of files.entries()) {
    const { code } = await judge(page, file);
    assert.equal(code, native ? native[i].code : 'corrupt', file);
  }
});

test('a file beyond the size limit is refused unread', async (t) => {
  const { page } = await visit(t, site);
  await forget(page);
  await page.evaluate(() => {
    const part = new Uint8Array(1 << 20);
    const data = new DataTransfer();
    data.items.add(new File(Array(65).fill(part), 'huge.png'));
    document.dispatchEvent(new DragEvent('drop', { dataTransfer: data, cancelable: true }));
  });
  assert.equal((await outcome(page)).code, 'too_large');
});

test('a dropped link is not followed, and two hundred files are enough', async (t) => {
  const { page, requests } = await visit(t, site);
  assert.ok((await judge(page, fixture('photo.jpg'))).label);
  const before = requests.length;
  for (const [code, files, link] of [
    ['no_file', 0, 'http://127.0.0.1:9/photo.jpg'],
    ['too_many', 201, ''],
  ]) {
    await forget(page);
    await page.evaluate(
      ({ files, link }) => {
        const data = new DataTransfer();
        for (let i = 0; i < files; i++) data.items.add(new File(['x'], `${i}.jpg`));
        if (link) data.setData('text/uri-list', link);
        document.dispatchEvent(new DragEvent('drop', { dataTransfer: data, cancelable: true }));
      },
      { files, link },
    );
    assert.equal((await outcome(page)).code, code);
  }
  assert.equal(requests.length, before);
});

test('after a refused file the next good one is judged', async (t) => {
  const { page } = await visit(t, site);
  assert.equal((await judge(page, { name: 'a', mimeType: '', buffer: Buffer.alloc(0) })).code, 'empty');
  assert.ok((await judge(page, fixture('photo.jpg'))).label);
});
