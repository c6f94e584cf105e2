//! The wasm of the worker that decodes videos.

fn main() {
    web::decoder::worker::start();
}
