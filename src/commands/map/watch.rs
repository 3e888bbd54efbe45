//! Shows what changes in a map, and how fast.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use rxdp_loader::btf::value::Value;
use rxdp_loader::load::Entry;
use serde::Serialize;
use tokio::time::{MissedTickBehavior, interval};

use super::look::{not_this, open};
use crate::args::MapWatch;
use crate::error::Failure;
use crate::maps::{EntryRow, Layout, MapError, Names, OpenMap, Shown, Tree, rate, sum};
use crate::report;
use crate::stay::{self, Signals};

/// Most entries of which two states are kept.
const MOST: usize = 1 << 20;

/// What was there at a moment, by key.
type State = BTreeMap<Vec<u8>, Vec<Vec<u8>>>;

/// What happened to an entry, as scripts see it.
#[derive(Debug, Serialize)]
struct Change<'a> {
    /// `added`, `changed` or `removed`.
    event: &'static str,
    /// Since the watch began.
    seconds: f64,
    #[serde(flatten)]
    now: &'a EntryRow,
    before: Option<Shown>,
    /// By how much the numbers in it grow.
    per_second: Option<Tree<'a>>,
}

/// Runs until a signal comes, or the time is up.
pub(crate) fn run(args: &MapWatch) -> Result<(), Failure> {
    let (map, layout) = open(&args.map, args.showing.hex)?;
    if layout.is_queue() {
        return Err(not_this(&layout, "it has no keys; `map get` shows what is next").into());
    }
    stay::runtime()?.block_on(watch(args, &map, &layout))
}

async fn watch(args: &MapWatch, map: &OpenMap, layout: &Layout) -> Result<(), Failure> {
    let mut signals = Signals::new()?;
    let end = stay::after(args.stay_for);
    tokio::pin!(end);
    let (names, start) = (Names::default(), Instant::now());
    let (mut last, mut at) = (state(map, layout)?, start);
    // Said after the first look: whatever changes from now on is seen.
    let (name, every) = (&layout.map, humantime::format_duration(args.interval));
    writeln!(io::stderr(), "watching map {name} (id {}) every {every}; Ctrl-C ends", map.info.id)
        .map_err(Failure::Output)?;
    let mut ticks = interval(args.interval.max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await;
    loop {
        tokio::select! {
            _ = signals.next() => return Ok(()),
            () = &mut end => return Ok(()),
            _ = ticks.tick() => {}
        }
        let (now, then) = (state(map, layout)?, Instant::now());
        let shower = Shower {
            args,
            layout,
            names: &names,
            since_start: then.duration_since(start),
            passed: then.duration_since(at),
        };
        shower.differences(&last, &now).map_err(Failure::Output)?;
        (last, at) = (now, then);
    }
}

fn state(map: &OpenMap, layout: &Layout) -> Result<State, Failure> {
    let mut state = State::new();
    let walk = map.entries()?.each(|Entry { key, values }| {
        state.insert(key, values);
        if state.len() > MOST { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    walk.map_err(|error| map.failed(error))?;
    if state.len() > MOST {
        return Err(MapError::TooMany { map: layout.map.clone(), most: MOST }.into());
    }
    Ok(state)
}

struct Shower<'a> {
    args: &'a MapWatch,
    layout: &'a Layout,
    names: &'a Names,
    since_start: Duration,
    /// Between the two looks.
    passed: Duration,
}

impl Shower<'_> {
    fn differences(&self, before: &State, now: &State) -> io::Result<()> {
        let mut out = io::stdout().lock();
        for (key, values) in now {
            match before.get(key) {
                None => self.show(&mut out, "added", key, None, values)?,
                Some(old) if old != values => self.show(&mut out, "changed", key, Some(old), values)?,
                Some(_) => {}
            }
        }
        for (key, values) in before.iter().filter(|(key, _)| !now.contains_key(*key)) {
            self.show(&mut out, "removed", key, None, values)?;
        }
        out.flush()
    }

    fn show(
        &self,
        out: &mut impl Write,
        event: &'static str,
        key: &[u8],
        before: Option<&Vec<Vec<u8>>>,
        values: &[Vec<u8>],
    ) -> io::Result<()> {
        let row = EntryRow::new(self.layout, self.names, Some(key), values, self.args.showing.per_cpu);
        let old = before.and_then(|values| self.one(values));
        let growth = old.as_ref().zip(self.one(values)).and_then(|(old, now)| now.growth(old));
        let per_second = growth.map(|growth| rate(&growth, self.passed.as_secs_f64()));
        let before = old.map(|tree| Shown::value(self.layout, tree, self.names));
        let seconds = tenths(self.since_start);
        if self.args.showing.json {
            let per_second = per_second.as_ref().map(Tree);
            return report::json(out, &Change { event, seconds, now: &row, before, per_second });
        }
        let was = match (event, before) {
            ("removed", _) => ", removed".to_string(),
            ("added", _) => ", new".to_string(),
            (_, Some(before)) => format!(", was {before}"),
            (_, None) => String::new(),
        };
        let rate = per_second.map(|rate| format!(", {rate} a second")).unwrap_or_default();
        let mut text = Vec::new();
        row.write(&mut text)?;
        let text = String::from_utf8_lossy(&text);
        let (first, rest) = text.split_once('\n').unwrap_or((&text, ""));
        write!(out, "{seconds:.1} s  {first}{was}{rate}\n{rest}")
    }

    /// One value for all CPUs, if there is one.
    fn one(&self, values: &[Vec<u8>]) -> Option<Value> {
        let trees: Vec<Value> = values.iter().map(|value| self.layout.tree(value)).collect();
        sum(&trees)
    }
}

/// Seconds with one digit behind the point.
fn tenths(time: Duration) -> f64 {
    (time.as_secs_f64() * 10.0).round() / 10.0
}
