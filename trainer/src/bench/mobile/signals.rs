//! The edge to the system: signals to the processes of a browser. Who is gone already hears nothing, and that is no error.

/// What a process is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// Stand still.
    Rest,
    /// Go on.
    Run,
}

#[cfg(unix)]
mod system {
    use super::Order;
    use rustix::process::{Pid, Signal, geteuid, kill_process, kill_process_group, test_kill_process_group};

    /// Tells the process of that number.
    pub fn tell(process: u32, order: Order) {
        let signal = match order {
            Order::Rest => Signal::STOP,
            Order::Run => Signal::CONT,
        };
        // 1 and less are no processes of a browser, and mean many to `kill`.
        if let Some(process) = pid(process).filter(|process| !process.is_init()) {
            let _ = kill_process(process, signal);
        }
    }

    /// Ends the group of processes that `leader` leads.
    pub fn end_group(leader: u32) {
        if let Some(leader) = pid(leader) {
            let _ = kill_process_group(leader, Signal::CONT);
            let _ = kill_process_group(leader, Signal::KILL);
        }
    }

    /// Whether a process of the group of `leader` is still there.
    pub fn has_group(leader: u32) -> bool {
        pid(leader).is_some_and(|leader| test_kill_process_group(leader).is_ok())
    }

    /// Whether this is the administrator, as whom Chromium has no sandbox.
    pub fn is_root() -> bool {
        geteuid().is_root()
    }

    fn pid(process: u32) -> Option<Pid> {
        Pid::from_raw(i32::try_from(process).ok()?)
    }
}

#[cfg(not(unix))]
mod system {
    use super::Order;

    /// See `IS_SUPPORTED`.
    pub fn tell(_process: u32, _order: Order) {}

    /// See `IS_SUPPORTED`.
    pub fn end_group(_leader: u32) {}

    /// See `IS_SUPPORTED`.
    pub fn has_group(_leader: u32) -> bool {
        false
    }

    /// See `IS_SUPPORTED`.
    pub fn is_root() -> bool {
        false
    }
}

pub(super) use system::{end_group, has_group, is_root, tell};

/// Whether this system lets processes stand still.
pub(super) const IS_SUPPORTED: bool = cfg!(unix);
