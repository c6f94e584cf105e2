//! The wasm of the worker that judges.

#[global_allocator]
static ALLOCATOR: web::memory::TellingAllocator = web::memory::TellingAllocator;

fn main() {
    web::worker::start();
}
