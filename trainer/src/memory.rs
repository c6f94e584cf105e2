//! How much memory this process took, and how much there is.

/// The most bytes that were resident at once, as the system counts them; none where it does not say.
pub fn peak_bytes() -> Option<u64> {
    peak_in(&std::fs::read_to_string("/proc/self/status").ok()?)
}

/// Bytes that the system could give to a process without swapping, as it guesses; none where it does not say.
pub fn available_bytes() -> Option<u64> {
    bytes_of("MemAvailable:", &std::fs::read_to_string("/proc/meminfo").ok()?)
}

/// The line `VmHWM: N kB` of Linux's status of a process (proc_pid_status(5)).
fn peak_in(status: &str) -> Option<u64> {
    bytes_of("VmHWM:", status)
}

/// The line `name N kB` of one of Linux's files, in bytes.
fn bytes_of(name: &str, text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kilobytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_the_peak_is_read() {
        assert_eq!(peak_in("VmPeak:\t  900 kB\nVmHWM:\t   512 kB\nVmRSS:\t 100 kB\n"), Some(512 << 10));
        assert_eq!(peak_in("VmHWM:\t18446744073709551615 kB"), None);
        assert_eq!(peak_in(""), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_process_takes_more_than_nothing() {
        assert!(peak_bytes().is_some_and(|bytes| bytes > 1 << 20));
        assert!(available_bytes().is_some_and(|bytes| bytes > 1 << 20));
    }
}
