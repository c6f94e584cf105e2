// Starts the page, or says why this browser cannot.

// A function that returns a vector: i32.const 0, i8x16.splat, i8x16.popcnt (WebAssembly SIMD, as Safari has it
// since 16.4).
const simd = Uint8Array.of(
  0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11);

// The page's languages come with its wasm. What is said without it stands in index.html, in each language: the address's is
// shown, else the first of the visitor's that is there, else English.
const speak = (box) => {
  const wished = [new URLSearchParams(location.search).get('lang'), ...navigator.languages, 'en'];
  const texts = [...box.querySelectorAll(':scope > [lang]')];
  const of = (tag) => texts.find(({ lang }) => lang === tag?.split('-')[0].toLowerCase());
  const shown = wished.map(of).find(Boolean);
  texts.forEach((text) => (text.hidden = text !== shown));
};

const refuse = (id) => {
  speak(document.getElementById(id));
  document.getElementById(id).hidden = false;
  document.getElementById('app').dataset.state = id;
};

// A part that did not come for so long may still come; then the page starts all the same.
const SLOW_MS = 60_000;

// A kept version that does not start must not stay: where the site answers, the next visit takes everything from there.
const letGo = async () => {
  if (!navigator.serviceWorker?.controller) return;
  const registration = await navigator.serviceWorker.getRegistration();
  const site = await fetch('./service_worker.js', { cache: 'no-store' });
  if (site.ok) await registration?.unregister();
};

// While it streams in, where the server says that it is WebAssembly.
const compile = async (response) => {
  if (!response.ok) throw new Error(`app_bg.wasm: ${response.status} ${response.statusText}`);
  return response.headers.get('Content-Type')?.startsWith('application/wasm')
    ? WebAssembly.compileStreaming(response)
    : WebAssembly.compile(await response.arrayBuffer());
};

// A task of its own for what comes next: clicks come in between.
const breath = () => new Promise((go) => setTimeout(go));

if (typeof WebAssembly !== 'object' || !WebAssembly.validate(simd)) {
  refuse('browser-too-old');
} else {
  // Marks tell how far a page came that does not start.
  const mark = (name) => performance.mark(`aware-${name}`);
  const slow = setTimeout(refuse, SLOW_MS, 'start-failed');
  try {
    mark('import');
    // Beside the script, and held to the digest of the build; no preload, see `without_wasm_preload` in xtask/src/wasm.rs.
    const link = document.querySelector('link[rel="x-wasm"]');
    const response = fetch('./app_bg.wasm', { integrity: link?.integrity ?? '' });
    const [{ default: init, startPage }, wasm] = await Promise.all([import('./app.js'), response.then(compile)]);
    mark('init');
    await breath();
    await init({ module_or_path: wasm });
    await breath();
    await startPage();
    mark('started');
    document.getElementById('start-failed').hidden = true;
  } catch (error) {
    console.error(error);
    refuse('start-failed');
    letGo().catch(console.error);
  } finally {
    clearTimeout(slow);
  }
}
