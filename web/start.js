// Starts the page, or says why this browser cannot.

// A function that returns a vector: i32.const 0, i8x16.splat, i8x16.popcnt (WebAssembly SIMD, as Safari has it
// since 16.4).
const simd = Uint8Array.of(
  0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11);

const refuse = (id) => {
  document.getElementById(id).hidden = false;
  document.getElementById('app').dataset.state = id;
};

if (typeof WebAssembly !== 'object' || !WebAssembly.validate(simd)) {
  refuse('browser-too-old');
} else {
  // Marks tell how far a page came that does not start.
  const mark = (name) => performance.mark(`aware-${name}`);
  try {
    mark('import');
    // Beside the script, and held to the digest of the build; no preload, see `without_wasm_preload` in xtask/src/wasm.rs.
    const link = document.querySelector('link[rel="x-wasm"]');
    const wasm = fetch('./app_bg.wasm', { integrity: link?.integrity ?? '' });
    const { default: init } = await import('./app.js');
    mark('init');
    await init({ module_or_path: wasm });
    mark('started');
  } catch (error) {
    console.error(error);
    refuse('start-failed');
  }
}
