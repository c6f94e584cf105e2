//! A network that learns in integers what it knew in floats (quantisation-aware training).
//!
//! 1. [`reestimate`]: running moments of the teacher, from pictures as they are judged;
//! 2. [`observer`]: the range of each value on the way, while floats flow;
//! 3. [`student`]: weights, biases and scales as variables, and [`fake`], the executor that computes with them what the
//!    engine computes in integers, with gradients;
//! 4. [`sensitivity`]: which weights take four bits, which layers stay in floats;
//! 5. [`parity`]: the exported file in the engine gives the student's bytes, value by value.

mod fake;
mod observer;
mod parity;
mod reestimate;
mod sensitivity;
mod student;

pub use observer::Observer;
pub use parity::{Parity, check_parity};
pub use reestimate::reestimate;
pub use sensitivity::{LayerSensitivity, Strategy, StrategyConfig, choose_strategy};
pub use student::{Student, StudentConfig, SymmetryOfActivations};
