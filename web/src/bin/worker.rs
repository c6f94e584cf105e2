//! The wasm of the worker that judges.

fn main() {
    web::worker::start();
}
