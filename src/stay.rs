//! Waiting with something attached: until a signal, a time, or the end of the interface; trace output meanwhile.

use std::convert::Infallible;
use std::io::{self, Write};
use std::time::Duration;

use rxdp_loader::sys::Errno;
use rxdp_loader::sys::tracefs::{TraceInstance, TraceLine};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::net::unix::pipe::Receiver;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::error::Failure;
use crate::report::{self, TraceEvent};

/// The signals that end the waiting. Made before anything is attached, so that none is missed in between.
#[derive(Debug)]
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
}

impl Signals {
    pub(crate) fn new() -> Result<Self, Failure> {
        let of = |kind| signal(kind).map_err(Failure::Wait);
        Ok(Self {
            interrupt: of(SignalKind::interrupt())?,
            terminate: of(SignalKind::terminate())?,
            hang_up: of(SignalKind::hangup())?,
        })
    }

    /// The name of the next signal.
    pub(crate) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.hang_up.recv() => "SIGHUP",
        }
    }
}

/// Ends after `time`, or never.
pub(crate) async fn after(time: Option<Duration>) {
    match time {
        Some(time) => tokio::time::sleep(time).await,
        None => std::future::pending().await,
    }
}

/// Trace output that is shown as it comes. Field order matters: the pipe is closed before its instance is removed.
#[derive(Debug)]
pub(crate) struct Tracing {
    lines: Lines<BufReader<Receiver>>,
    _instance: TraceInstance,
}

impl Tracing {
    /// From now on, everything that programs print is kept for us.
    pub(crate) fn start() -> Result<Self, Failure> {
        let instance = TraceInstance::new()?;
        // tokio would check for a pipe(7); a trace pipe is none, but can be waited for in the same way.
        let pipe = Receiver::from_file_unchecked(instance.pipe_nonblocking()?).map_err(Failure::Wait)?;
        Ok(Self { lines: BufReader::new(pipe).lines(), _instance: instance })
    }

    /// The next line.
    pub(crate) async fn next(&mut self) -> Result<TraceLine, Failure> {
        while let Some(raw) =
            self.lines.next_line().await.map_err(|error| Failure::TraceRead(Errno::from_io(&error)))?
        {
            if let Some(line) = TraceLine::parse(&raw) {
                return Ok(line);
            }
        }
        std::future::pending().await
    }
}

/// Shows trace output for ever, if there is any. What stands in its way is no reason to take the program off: it is
/// said once, and the waiting goes on.
pub(crate) async fn show_or_warn(tracing: Option<&mut Tracing>, json: bool) -> Infallible {
    if let Some(tracing) = tracing {
        let Err(failure) = show(tracing, json).await;
        // Standard error may be closed as well.
        let _nobody_listens = writeln!(io::stderr(), "rxdp-load: trace output ends here: {failure}");
    }
    std::future::pending().await
}

/// Shows trace output for ever, as text or as JSON.
pub(crate) async fn show(tracing: &mut Tracing, json: bool) -> Result<Infallible, Failure> {
    loop {
        let line = tracing.next().await?;
        let shown = if json { print_json(&line) } else { print_line(&line) };
        shown.map_err(Failure::Output)?;
    }
}

/// A line of trace output for scripts.
fn print_json(line: &TraceLine) -> io::Result<()> {
    let TraceLine { message, cpu, seconds, .. } = line;
    report::json(&mut io::stdout().lock(), &TraceEvent { event: "trace", seconds, cpu, message })
}

/// A line of trace output as a person reads it: when, where, what.
pub(crate) fn print_line(line: &TraceLine) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match (&line.seconds, line.cpu) {
        (Some(seconds), Some(cpu)) => writeln!(out, "{seconds}  cpu {cpu}  {}", line.message)?,
        _ => writeln!(out, "{}", line.message)?,
    }
    out.flush()
}

/// A runtime for one thread: commands wait, they do not compute.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::Wait)
}
