//! Looks at attached programs again and again, and shows how fast they run.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use rxdp_loader::sys::{Errno, Linux, MapInfo};
use serde::Serialize;
use tokio::time::{MissedTickBehavior, interval};

use super::rates::{Rates, Sample};
use super::{Placed, about, states, verdicts};
use crate::args::Status;
use crate::error::Failure;
use crate::inventory;
use crate::report::{self, NamedId};
use crate::stay::{self, Signals};

/// A program on an interface, as scripts see it while they watch.
#[derive(Debug, Serialize)]
struct Row {
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<String>,
    interface: String,
    ifindex: u32,
    mode: String,
    program: NamedId,
    run_count: u64,
    run_time_ns: u64,
    /// Null when it is seen for the first time.
    rates: Option<Rates>,
    /// The map that counts verdicts; null if none says that it does.
    verdicts_from: Option<NamedId>,
    /// Packets by verdict so far.
    verdicts: Option<BTreeMap<String, u64>>,
}

/// A program on an interface: where, which interface, which program.
type Key = (Option<String>, u32, u32);

/// Runs until a signal comes, or the time is up.
pub(crate) fn run(args: &Status) -> Result<(), Failure> {
    stay::runtime()?.block_on(watch(args))
}

async fn watch(args: &Status) -> Result<(), Failure> {
    let mut signals = Signals::new()?;
    let end = stay::after(args.stay_for);
    tokio::pin!(end);
    // Kept as long as somebody watches.
    let statistics = Linux.keep_statistics();
    let mut watcher = Watcher { args, before: BTreeMap::new(), at: Instant::now() };
    watcher.look()?;
    begin(args, statistics.as_ref().err().copied()).map_err(Failure::Output)?;
    let mut ticks = interval(args.interval.max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await;
    loop {
        tokio::select! {
            _ = signals.next() => return Ok(()),
            () = &mut end => return Ok(()),
            _ = ticks.tick() => {}
        }
        let rows = watcher.look()?;
        show(&rows, args).map_err(Failure::Output)?;
    }
}

/// What is said once.
fn begin(args: &Status, without: Option<Errno>) -> io::Result<()> {
    let mut err = io::stderr();
    let every = humantime::format_duration(args.interval);
    if let Some(errno) = without {
        writeln!(
            err,
            "rxdp-load: the kernel keeps no statistics ({errno}): runs and their time may stand still"
        )?;
    }
    writeln!(err, "looking every {every}; Ctrl-C ends")
}

struct Watcher<'a> {
    args: &'a Status,
    before: BTreeMap<Key, Sample>,
    at: Instant,
}

impl Watcher<'_> {
    fn look(&mut self) -> Result<Vec<Row>, Failure> {
        let now = Instant::now();
        let passed = now.duration_since(self.at);
        let (mut rows, mut seen) = (Vec::new(), BTreeMap::new());
        for Placed { namespace, state } in states(self.args)? {
            for attached in &state.programs {
                let key = (namespace.clone(), state.ifindex, attached.id);
                let maps = maps_of(attached.id);
                let counter = verdicts::counter(&maps);
                let sample = Sample {
                    stats: about::statistics(attached.id).unwrap_or_default(),
                    verdicts: counter.and_then(|counter| verdicts::counts(counter.id)),
                };
                let before = self.before.get(&key);
                let name = inventory::program(attached.id).map(|info| info.name).unwrap_or_default();
                rows.push(Row {
                    namespace: namespace.clone(),
                    interface: state.name.clone(),
                    ifindex: state.ifindex,
                    mode: attached.mode.to_string(),
                    program: NamedId { name, id: attached.id },
                    run_count: sample.stats.runs,
                    run_time_ns: sample.stats.nanoseconds,
                    rates: before.map(|before| Rates::between(before, &sample, passed)),
                    verdicts_from: counter.map(|info| NamedId { name: info.name.clone(), id: info.id }),
                    verdicts: sample.verdicts.clone(),
                });
                seen.insert(key, sample);
            }
        }
        (self.before, self.at) = (seen, now);
        Ok(rows)
    }
}

/// Maps of a program, and of those that it calls.
fn maps_of(program: u32) -> Vec<MapInfo> {
    let ids = inventory::reached(&[program]).into_iter().flat_map(|info| info.map_ids);
    ids.filter_map(|id| inventory::open_map(id).map(|(_, info)| info)).collect()
}

fn show(rows: &[Row], args: &Status) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if args.json {
        report::json(&mut out, &rows)?;
        return out.flush();
    }
    if out.is_terminal() {
        // To the upper left corner, and everything below it away. Source: console_codes(4).
        write!(out, "\x1b[H\x1b[J")?;
    }
    if rows.is_empty() {
        writeln!(out, "no interface carries an XDP program")?;
    }
    rows.iter().try_for_each(|row| write_row(&mut out, row))?;
    out.flush()
}

fn write_row(out: &mut impl Write, row: &Row) -> io::Result<()> {
    let NamedId { name, id } = &row.program;
    let place = row.namespace.as_ref().map(|name| format!("{name}: ")).unwrap_or_default();
    let rates = row.rates.as_ref().map_or_else(
        || "new".to_string(),
        |rates| {
            let each = rates.ns_per_run.map(|each| format!(", {each} ns each")).unwrap_or_default();
            format!("{:.1} runs a second{each}", rates.runs_per_second)
        },
    );
    writeln!(out, "{place}{}: {name} (id {id}) in {} mode: {rates}", row.interface, row.mode)?;
    let Some(NamedId { name, id }) = &row.verdicts_from else {
        return writeln!(
            out,
            "  by verdict: nobody counts; a program can, in an array {} of 5",
            verdicts::NAME
        );
    };
    let by_verdict = row.rates.iter().flat_map(|rates| &rates.verdicts_per_second).flatten();
    let by_verdict: Vec<String> = by_verdict
        .filter(|(_, rate)| **rate > 0.0)
        .map(|(verdict, rate)| format!("{verdict} {rate:.1}"))
        .collect();
    let words = if by_verdict.is_empty() { "none".to_string() } else { by_verdict.join(", ") };
    writeln!(out, "  packets a second by verdict, from map {name} (id {id}): {words}")
}
