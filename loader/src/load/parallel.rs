//! Programs into the kernel by several threads.
//!
//! Verifying is what takes the time of large programs, and the kernel verifies several at once for those who may load
//! without restrictions. Maps are made one after another: there is nothing to win. Which programs load, and what is said
//! about those that do not, is the same as one after another; threads only fetch it ahead.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, available_parallelism};
use std::time::{Duration, Instant};

use super::LoadError;
use super::program::Taken;
use super::session::Session;
use crate::insn::Insn;
use crate::plan::{LoadPlan, LoadProgram};
use crate::spec::ProgId;
use crate::sys::{Kernel, files};

/// What loading one program gave, and the time that the kernel took.
pub(super) type Outcome = (Result<Taken, LoadError>, Duration);

/// Programs that are loaded already, before their step.
pub(super) type Ahead = BTreeMap<ProgId, Outcome>;

/// What loading a program costs besides its instructions, in slots that are verified once.
const BASE: usize = 100;

/// How often a program that jumps back is thought to go through its code. Nobody knows before the verifier does.
const ROUNDS: usize = 64;

/// Cost from which on a thread wins more than it takes to start one, in slots that are verified once: half a millisecond.
const WORTH_A_THREAD: usize = 1000;

/// What happens behind a program that does not load.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum OnFailure {
    /// The load is over.
    Stop,
    /// The others are tried all the same.
    GoOn,
}

/// Loads all programs of the plan by up to `jobs` threads, or none of them where threads do not pay.
///
/// With [`OnFailure::Stop`], programs behind one that failed may be missing.
pub(super) fn load_ahead<K: Kernel>(
    session: &Session<'_, '_, K>,
    jobs: Option<NonZeroUsize>,
    on_failure: OnFailure,
) -> Ahead {
    let plan = session.plan;
    let mut queue: Vec<(usize, &LoadProgram)> =
        plan.programs().map(|load| (cost(plan, load), load)).collect();
    // The costliest first, or the last thread would work on it alone. Equal ones in definition order.
    queue.sort_by_key(|(cost, load)| (std::cmp::Reverse(*cost), load.program));
    let besides_the_first = queue.iter().skip(1).fold(0usize, |sum, (cost, _)| sum.saturating_add(*cost));
    if besides_the_first < WORTH_A_THREAD || !session.kernel.at_once() {
        return Ahead::new();
    }
    let threads = jobs.or_else(|| available_parallelism().ok()).map_or(1, NonZeroUsize::get).min(queue.len());
    if threads < 2 {
        return Ahead::new();
    }
    // A table of files that several threads use grows slowly.
    files::grow_file_table(plan.descriptors().saturating_add(super::SPARE_FILES));
    let queue: Vec<_> = queue.into_iter().map(|(_, load)| load).collect();
    let load = |load: &&LoadProgram| timed(|| session.load_program(load));
    in_threads(threads, on_failure, &queue, |load| load.program, load)
}

/// Does all that stands in the queue, from its beginning, in so many threads.
fn in_threads<L: Sync, T: Send, E: Send>(
    threads: usize,
    on_failure: OnFailure,
    queue: &[L],
    number: impl Fn(&L) -> ProgId + Sync,
    load: impl Fn(&L) -> (Result<T, E>, Duration) + Sync,
) -> BTreeMap<ProgId, (Result<T, E>, Duration)> {
    let (next, first_failed) = (AtomicUsize::new(0), AtomicUsize::new(usize::MAX));
    let work = || {
        let mut done = BTreeMap::new();
        while let Some(item) = queue.get(next.fetch_add(1, Ordering::Relaxed)) {
            let id = number(item);
            // The first failure is the one that is told: what stands behind it does not matter any more.
            if on_failure == OnFailure::Stop && id.index() > first_failed.load(Ordering::Relaxed) {
                continue;
            }
            let outcome = load(item);
            if outcome.0.is_err() {
                first_failed.fetch_min(id.index(), Ordering::Relaxed);
            }
            done.insert(id, outcome);
        }
        done
    };
    thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        let mut done = work();
        // A thread that panicked has loaded nothing: its programs are loaded at their step.
        done.extend(others.into_iter().filter_map(|thread| thread.join().ok()).flatten());
        done
    })
}

/// Does something, and says how long it took.
pub(super) fn timed<T>(what: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    (what(), start.elapsed())
}

/// What verifying a program may cost, in slots that are verified once.
fn cost(plan: &LoadPlan<'_>, load: &LoadProgram) -> usize {
    let insns = plan.object.program(load.program).map(|linked| linked.insns.as_slice()).unwrap_or_default();
    let rounds = if insns.iter().copied().any(Insn::jumps_back) { ROUNDS } else { 1 };
    insns.len().saturating_mul(rounds).saturating_add(BASE)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    type Done = BTreeMap<ProgId, (Result<usize, usize>, Duration)>;

    fn load(
        threads: usize,
        on_failure: OnFailure,
        queue: &[usize],
        load: impl Fn(usize) -> bool + Sync,
    ) -> Done {
        let load = |at: &usize| (if load(*at) { Ok(*at) } else { Err(*at) }, Duration::ZERO);
        in_threads(threads, on_failure, queue, |at| ProgId::new(*at), load)
    }

    fn loaded(done: &Done) -> Vec<usize> {
        done.keys().map(|id| id.index()).collect()
    }

    #[test]
    fn two_are_under_way_at_once() {
        // Each waits for the other to have begun.
        let (tell, told): (Vec<Sender<()>>, Vec<Receiver<()>>) = (0..2).map(|_| channel()).unzip();
        let ends = Mutex::new((tell, told));
        let met = |at: usize| {
            let (tell, told) = {
                let (tell, told) = &mut *ends.lock().unwrap();
                (tell[1 - at].clone(), std::mem::replace(&mut told[at], channel().1))
            };
            tell.send(()).unwrap();
            told.recv_timeout(Duration::from_secs(60)).is_ok()
        };
        let done = load(2, OnFailure::GoOn, &[1, 0], met);
        assert!(done.len() == 2 && done.values().all(|(result, _)| result.is_ok()));
    }

    #[test]
    fn what_stands_before_a_failure_is_still_loaded() {
        let fails_at_2 = |at| at != 2;
        assert_eq!(loaded(&load(1, OnFailure::Stop, &[3, 2, 4, 0, 1], fails_at_2)), [0, 1, 2, 3]);
        assert_eq!(loaded(&load(3, OnFailure::GoOn, &[3, 2, 4, 0, 1], fails_at_2)), [0, 1, 2, 3, 4]);
    }
}
