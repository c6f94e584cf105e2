//! The wasm of the worker that gives the second opinion on WebGPU.

fn main() {
    web::wonnx_worker::start();
}
