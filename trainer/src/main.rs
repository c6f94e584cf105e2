//! The program `aware`.

mod allocator;
mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    share_the_cores();
    cli::run()
}

/// Gives the cores to rayon, and none to candle's own pool for element-wise operations: its workers
/// spin between operations and took a third of the time of a training step on two cores.
fn share_the_cores() {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    for (name, value) in [("RAYON_NUM_THREADS", cores), ("CANDLE_NUM_THREADS", 1)] {
        if std::env::var_os(name).is_none() {
            // SAFETY: the program has one thread yet, so nobody reads the environment meanwhile.
            unsafe { std::env::set_var(name, value.to_string()) };
        }
    }
}
