//! Any bytes are a graph or an error, never a panic.
#![no_main]

use engine::runtime::onnx;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = onnx::parse(bytes);
});
