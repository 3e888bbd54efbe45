//! What two looks at a program say about how fast it runs. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use rxdp_loader::sys::RunStats;
use serde::Serialize;

/// What was counted at a moment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Sample {
    pub(super) stats: RunStats,
    /// Packets by verdict, where somebody counts them.
    pub(super) verdicts: Option<BTreeMap<String, u64>>,
}

/// How fast it went between two moments.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub(super) struct Rates {
    pub(super) runs_per_second: f64,
    /// Time of one run on average; null if there was none.
    pub(super) ns_per_run: Option<u64>,
    /// Packets a second by verdict; null where nobody counts them.
    pub(super) verdicts_per_second: Option<BTreeMap<String, f64>>,
}

impl Rates {
    /// From what was counted before and after some time. Counters that were set back count from 0.
    pub(super) fn between(before: &Sample, after: &Sample, passed: Duration) -> Self {
        let more = |now: u64, then: u64| now.checked_sub(then).unwrap_or(now);
        let runs = more(after.stats.runs, before.stats.runs);
        let time = more(after.stats.nanoseconds, before.stats.nanoseconds);
        let by_verdict = after.verdicts.as_ref().zip(before.verdicts.as_ref()).map(|(now, then)| {
            let rate = |(verdict, now): (&String, &u64)| {
                let then = then.get(verdict).copied().unwrap_or(0);
                (verdict.clone(), per_second(more(*now, then), passed))
            };
            now.iter().map(rate).collect()
        });
        Self {
            runs_per_second: per_second(runs, passed),
            ns_per_run: time.checked_div(runs),
            verdicts_per_second: by_verdict,
        }
    }
}

/// With one digit behind the point.
#[expect(clippy::cast_precision_loss, reason = "a rate is no count")]
fn per_second(count: u64, passed: Duration) -> f64 {
    if passed.is_zero() { 0.0 } else { (count as f64 / passed.as_secs_f64() * 10.0).round() / 10.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(runs: u64, nanoseconds: u64, drops: Option<u64>) -> Sample {
        Sample {
            stats: RunStats { runs, nanoseconds, recursion_misses: 0 },
            verdicts: drops.map(|drops| [("XDP_DROP".to_string(), drops)].into()),
        }
    }

    #[test]
    fn what_was_counted_is_divided_by_the_time() {
        let rates =
            Rates::between(&sample(10, 1000, Some(4)), &sample(15, 1600, Some(7)), Duration::from_secs(2));
        let verdicts = Some([("XDP_DROP".to_string(), 1.5)].into());
        assert_eq!(
            rates,
            Rates { runs_per_second: 2.5, ns_per_run: Some(120), verdicts_per_second: verdicts }
        );
    }

    #[test]
    fn what_was_not_counted_has_no_rate() {
        let none = Rates::between(&sample(3, 9, None), &sample(3, 9, Some(1)), Duration::from_secs(1));
        assert_eq!(none, Rates { runs_per_second: 0.0, ns_per_run: None, verdicts_per_second: None });
        // Somebody set it to 0 in between, and nobody stopped the time.
        let back = Rates::between(&sample(9, 900, Some(9)), &sample(2, 80, Some(2)), Duration::ZERO);
        assert_eq!((back.runs_per_second, back.ns_per_run), (0.0, Some(40)));
        let back = Rates::between(&sample(9, 900, Some(9)), &sample(2, 80, Some(2)), Duration::from_secs(1));
        assert_eq!((back.runs_per_second, &back.verdicts_per_second.unwrap()["XDP_DROP"]), (2.0, &2.0));
    }
}
