//! Processes that run for a share of the time: what DevTools' own throttle does to the thread of a page, done to all of a page's
//! threads. That one leaves workers as they are, and the networks run in workers.

use super::signals::{Order, tell};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A run and a rest together, in seconds. Shorter than what is measured, or it would fit between two rests; ten times what a
/// wake-up of this thread takes.
const PERIOD_S: f64 = 0.002;
/// Longest rest at once, in seconds, when this thread came late: what is left of it follows.
const LONGEST_REST_S: f64 = 0.1;

/// Processes that are slowed down until this goes; then all of them run.
pub(super) struct Throttle {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<f64>>,
}

struct Shared {
    is_over: AtomicBool,
    processes: Mutex<BTreeSet<u32>>,
}

impl Throttle {
    /// From now on `processes` run `1 / rate` of the time.
    pub fn start(processes: BTreeSet<u32>, rate: f64) -> Self {
        let shared = Arc::new(Shared { is_over: AtomicBool::new(false), processes: Mutex::new(processes) });
        let own = shared.clone();
        let thread = std::thread::spawn(move || own.keep_to(rate));
        Throttle { shared, thread: Some(thread) }
    }

    /// From now on it is these processes.
    pub fn watch(&self, processes: BTreeSet<u32>) {
        *self.shared.processes.lock().unwrap_or_else(PoisonError::into_inner) = processes;
    }

    /// Lets all run, and tells how many times less than the time that passed they were let run.
    pub fn end(mut self) -> f64 {
        self.join().unwrap_or(f64::NAN)
    }

    fn join(&mut self) -> Option<f64> {
        self.shared.is_over.store(true, Ordering::SeqCst);
        self.thread.take()?.join().ok()
    }
}

impl Drop for Throttle {
    fn drop(&mut self) {
        self.join();
    }
}

impl Shared {
    fn keep_to(&self, rate: f64) -> f64 {
        let began = Instant::now();
        let elapsed_s = || began.elapsed().as_secs_f64();
        let mut account = Account { rate, ran_s: 0.0 };
        while !self.is_over.load(Ordering::SeqCst) {
            let started_s = elapsed_s();
            sleep(account.run_s(started_s));
            let resting = {
                let processes = self.processes.lock().unwrap_or_else(PoisonError::into_inner);
                Resting::all(&processes)
            };
            let stopped_s = elapsed_s();
            account.ran_s += stopped_s - started_s;
            sleep(account.rest_s(stopped_s));
            drop(resting);
        }
        elapsed_s() / account.ran_s
    }
}

/// Processes that stand still until this goes.
struct Resting(BTreeSet<u32>);

impl Resting {
    fn all(processes: &BTreeSet<u32>) -> Self {
        processes.iter().for_each(|process| tell(*process, Order::Rest));
        Resting(processes.clone())
    }
}

impl Drop for Resting {
    fn drop(&mut self) {
        self.0.iter().for_each(|process| tell(*process, Order::Run));
    }
}

/// Who came late to one turn makes up for it in the next.
struct Account {
    rate: f64,
    ran_s: f64,
}

impl Account {
    /// How long the processes run next.
    fn run_s(&self, elapsed_s: f64) -> f64 {
        let slice_s = PERIOD_S / self.rate;
        (slice_s + elapsed_s / self.rate - self.ran_s).clamp(slice_s / 4.0, slice_s * 4.0)
    }

    /// How long they rest next.
    fn rest_s(&self, elapsed_s: f64) -> f64 {
        (self.ran_s * self.rate - elapsed_s).clamp(0.0, LONGEST_REST_S)
    }
}

fn sleep(seconds: f64) {
    std::thread::sleep(Duration::from_secs_f64(seconds));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The share of the time that they run, if each sleep takes `late` more than it was to take, in seconds.
    fn share(rate: f64, late: impl Fn(usize) -> f64) -> f64 {
        let mut account = Account { rate, ran_s: 0.0 };
        let mut now = 0.0;
        for turn in 0..5000 {
            let run = account.run_s(now) + late(2 * turn);
            now += run;
            account.ran_s += run;
            now += account.rest_s(now) + late(2 * turn + 1);
        }
        now / account.ran_s
    }

    #[test]
    fn the_rate_is_kept_by_who_comes_late() {
        for rate in [1.5, 4.0, 6.0] {
            let always = share(rate, |_| 0.0001);
            let at_times = share(rate, |turn| if turn % 50 == 7 { 0.01 } else { 0.0 });
            let to_rests = share(rate, |turn| if turn % 2 == 1 { 0.0005 } else { 0.0 });
            for kept in [share(rate, |_| 0.0), always, at_times, to_rests] {
                assert!((kept / rate - 1.0).abs() < 0.01, "{kept} in place of {rate}");
            }
        }
        // Nothing makes up for a machine that always comes too late, and nothing waits for ever.
        assert!(Account { rate: 4.0, ran_s: 10.0 }.rest_s(1.0) <= LONGEST_REST_S);
        assert!(Account { rate: 4.0, ran_s: 0.0 }.run_s(10.0) <= PERIOD_S);
    }

    #[cfg(target_os = "linux")]
    mod processes {
        use super::*;
        use std::process::{Child, Command, Stdio};

        /// A child that waits for input, ended with the test.
        struct Waiting(Child);

        impl Waiting {
            fn new() -> Self {
                let child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
                Waiting(child)
            }

            /// 'T' if it stands still.
            fn state(&self) -> char {
                let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0.id())).unwrap();
                stat.rsplit_once(") ").unwrap().1.chars().next().unwrap()
            }

            fn waits_for(&self, is_reached: impl Fn(char) -> bool) -> bool {
                (0..2_000_000).any(|_| is_reached(self.state()))
            }
        }

        impl Drop for Waiting {
            fn drop(&mut self) {
                self.0.kill().unwrap();
                self.0.wait().unwrap();
            }
        }

        #[test]
        fn processes_rest_and_run_again_at_the_end() {
            let [first, second, gone] = [Waiting::new(), Waiting::new(), Waiting::new()];
            let number = gone.0.id();
            drop(gone);
            let throttle = Throttle::start(BTreeSet::from([first.0.id(), number]), 50.0);
            assert!(first.waits_for(|state| state == 'T'));
            assert!(second.state() != 'T');
            throttle.watch(BTreeSet::from([second.0.id()]));
            assert!(second.waits_for(|state| state == 'T'));
            assert!(first.waits_for(|state| state != 'T'));
            let rate = throttle.end();
            assert!(rate > 1.0, "{rate}");
            assert!(first.waits_for(|state| state != 'T') && second.waits_for(|state| state != 'T'));
        }

        #[test]
        fn processes_run_again_after_a_panic() {
            let child = Waiting::new();
            let panicked = std::panic::catch_unwind(|| {
                let _throttle = Throttle::start(BTreeSet::from([child.0.id()]), 50.0);
                assert!(child.waits_for(|state| state == 'T'));
                panic!("on purpose");
            });
            assert!(panicked.is_err());
            assert!(child.waits_for(|state| state != 'T'));
            // What runs does not rest later.
            assert!((0..1000).all(|_| child.state() != 'T'));
        }
    }
}
