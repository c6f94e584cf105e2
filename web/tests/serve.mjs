// A static server of the built page, for tests without `cargo xtask serve`:
//
//     node web/tests/serve.mjs [FOLDER] [PORT]

import { createServer } from 'node:http';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const DIST = fileURLToPath(new URL('../../dist', import.meta.url));

const TYPES = {
  '.html': 'text/html; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.mjs': 'text/javascript; charset=utf-8',
  '.json': 'application/json',
  '.webmanifest': 'application/manifest+json',
  '.wasm': 'application/wasm',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.md': 'text/plain; charset=utf-8',
};

// The whole policy, not just what a `meta` tag cannot say: workers have only the policy of their own script's answer.
export const HEADERS = {
  'Content-Security-Policy':
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self' blob:; media-src 'self' blob:; " +
    "connect-src 'self'; worker-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; " +
    "require-trusted-types-for 'script'; trusted-types aware",
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Embedder-Policy': 'require-corp',
  'X-Content-Type-Options': 'nosniff',
  'Referrer-Policy': 'no-referrer',
  'Cache-Control': 'no-cache',
};

/**
 * Serves `folder`; resolves to `{ url, close }`. `before` sees the path of each request, its answer and itself, and answers it
 * if it gives true.
 */
export async function serve(folder = DIST, port = 0, before = () => false) {
  const server = createServer(async (request, response) => {
    try {
      if (!['GET', 'HEAD'].includes(request.method)) throw new Error(`method ${request.method}`);
      const name = decodeURIComponent(new URL(request.url, 'http://localhost').pathname);
      if (await before(name, response, request)) return;
      const file = path.join(folder, path.normalize(name.endsWith('/') ? `${name}index.html` : name));
      const body = await readFile(file);
      const type = TYPES[path.extname(file)] ?? 'application/octet-stream';
      response.writeHead(200, { ...HEADERS, 'Content-Type': type, 'Content-Length': body.length });
      response.end(body);
    } catch {
      response.writeHead(404, HEADERS);
      response.end();
    }
  });
  await new Promise((listening) => server.listen(port, '127.0.0.1', listening));
  const close = () => {
    server.close();
    // Browsers keep theirs.
    server.closeAllConnections();
  };
  return { url: `http://127.0.0.1:${server.address().port}/`, close };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { url } = await serve(process.argv[2] ?? DIST, Number(process.argv[3] ?? 8080));
  console.log(url);
}
