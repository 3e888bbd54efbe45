//! What damaged input may cost: time of this thread's own, and memory of the whole test.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use peak_alloc::PeakAlloc;

/// **Bytes** that a whole test may use at once, whatever a damaged object claims to need.
const MOST_MEMORY: usize = 256 << 20;
/// How long one damaged object may take through all stages. Time in which others run does not count.
const MOST_TIME: Duration = Duration::from_secs(1);

/// Does something that must neither panic nor take long nor need much memory.
pub(crate) fn bounded<T>(memory: &PeakAlloc, what: &str, work: impl FnOnce() -> T) -> T {
    let start = processor_time();
    let done = catch_unwind(AssertUnwindSafe(work));
    let took = processor_time() - start;
    let done = done.unwrap_or_else(|_| panic!("{what}: panicked"));
    assert!(took < MOST_TIME, "{what}: took {took:?}");
    // Other threads count too, but they use little, or fail as well.
    let peak = memory.peak_usage();
    assert!(peak < MOST_MEMORY, "{what}: {} MiB", peak >> 20);
    done
}

/// What this thread has used of a processor.
fn processor_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap().into()
}
