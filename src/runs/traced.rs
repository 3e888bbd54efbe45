//! What programs print while we run them, and nobody else's lines: a trace instance of our own, read after each run.

use std::fs::File;
use std::io::Read;

use rxdp_loader::sys::tracefs::{TraceError, TraceInstance, TraceLine};

/// Lines of our runs. Field order matters: the pipe is closed before its instance is removed.
#[derive(Debug)]
pub(crate) struct Traced {
    pipe: File,
    _instance: TraceInstance,
}

impl Traced {
    /// From now on, everything that programs print is kept for us.
    pub(crate) fn start() -> Result<Self, TraceError> {
        let instance = TraceInstance::new()?;
        Ok(Self { pipe: instance.pipe_nonblocking()?, _instance: instance })
    }

    /// What was printed in this process since the last time; what comes several times in a row once, with how often.
    pub(crate) fn take(&mut self) -> Vec<String> {
        let mut text = Vec::new();
        // It ends with EAGAIN where there is no more.
        let _no_more = self.pipe.read_to_end(&mut text);
        ours(&String::from_utf8_lossy(&text), std::process::id())
    }
}

/// Messages of the lines that this process caused. Each begins with `NAME-PID`; the kernel has not always a name at hand.
fn ours(text: &str, pid: u32) -> Vec<String> {
    let task = format!("-{pid}");
    let is_ours = |line: &&str| line.split_whitespace().next().is_some_and(|word| word.ends_with(&task));
    let messages = text.lines().filter(is_ours).filter_map(TraceLine::parse);
    let mut counted: Vec<(String, usize)> = Vec::new();
    for TraceLine { message, .. } in messages {
        match counted.last_mut() {
            Some((last, count)) if *last == message.trim_end() => *count = count.saturating_add(1),
            _ => counted.push((message.trim_end().to_string(), 1)),
        }
    }
    let shown = |(message, count): (String, usize)| {
        if count == 1 { message } else { format!("{message} ({count} times)") }
    };
    counted.into_iter().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_others_are_left_out() {
        let line = |task: &str, message: &str| {
            format!("       {task}     [001] b.s21  7293.307851: bpf_trace_printk: {message}\n")
        };
        let text = [
            line("rxdp-load-12", "one"),
            line("<...>-12", "one"),
            line("curl-112", "theirs"),
            line("rxdp-load-123", "theirs"),
            line("rxdp-load-12", "two"),
        ]
        .concat();
        assert_eq!(ours(&text, 12), ["one (2 times)", "two"]);
        assert_eq!(ours(&text, 9), [""; 0]);
    }
}
