//! Console blocks of the project's pages: every command in them is run, and what it prints is compared. README, docs and the
//! book all stand on this. What may not enter: what a page is about.
//!
//! A block begins with ```` ```console ````. In it
//!
//! - `$ COMMAND` is run by anybody; a block with a `# COMMAND` is run by root, in a network of its own that has an `eth0`;
//! - the lines below a command are all that it prints, standard output first; `[...]` stands for lines left out;
//! - a command that fails is followed by `$ echo $?` and its exit code;
//! - the command behind `# rm PIN` is run again and again until it prints what is shown;
//! - after a command of root with `--pin`, [`PACKETS`] UDP packets come in on `eth0`, and the next one is run until it prints what
//!   is shown;
//! - [`VARIES`] says what may differ from run to run;
//! - a block that begins with ```` ```console,6.18 ```` shows words of the kernel, and is compared on that Linux only.
//!
//! Commands run where `bpf-progs/` and `tests/` are those of the repository and files that they write last as long as the page.
//! `UPDATE_EXPECT=1` prints blocks anew; between two `[...]` the first and the last line say which part is meant.

#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::arithmetic_side_effects, reason = "a test fails by panicking, in helpers too")]

use std::collections::VecDeque;
use std::fs;
use std::io::Write;
use std::ops::Range;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use regex::Regex;
use rxdp_sandbox::{End, PacketSocket, Sandbox, packets};

/// What differs from run to run, and what is compared in its place. In a line that has such a thing, blanks in a row count as
/// one, since columns are as wide as what stands in them.
pub(crate) const VARIES: &[(&str, &str)] = &[
    // Descriptors, the kernel's ids, processors.
    (r"\b(fd|id|cpu|pid) \d+", "$1 N"),
    (r#""(fd|id|ifindex)":\d+"#, "\"$1\":N"),
    (r"\b((?:id|fd|load_time|created_by_uid)=)\d+", "$1 N"),
    (r"\b(map_ids=)[\d,]+", "$1 N"),
    (r"(_fd\[\d+\]) = \d+", "$1 = N"),
    (r"was written, \d+ is read", "was written, N is read"),
    (r"(--replace=)\d+", "$1 N"),
    // Memory that grows with the number of processors.
    (r"(entries) +[\d.]+ [KM]iB", "$1 N KiB"),
    (r"\b(process|kill|bpf_link) \d+", "$1 N"),
    // Times.
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "TIME"),
    (r"^\d+\.\d+  cpu", "TIME cpu"),
    (r"\d+ (ns|usec)\b", "N $1"),
    // The running kernel: its version, and addresses in it.
    (r"^for Linux [^;]+;", "for Linux N;"),
    (r"kern_version=\d+\.\d+\.\d+", "kern_version=N"),
    (r"0xffff[0-9a-f]{12}", "ADDRESS"),
];

static RULES: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
    VARIES.iter().map(|(varies, by)| (Regex::new(varies).expect("a regular expression"), *by)).collect()
});

/// Commands that are shown and not run: they take long, or change this machine.
const NOT_HERE: &[&str] =
    &["cargo test --workspace", "cargo install --path .", "cargo xtask book", "cargo xtask bpf"];

const GAP: &str = "[...]";

/// How many packets come in after something was left on `eth0`.
const PACKETS: usize = 3;

/// Longer than anything here takes.
const TOO_LONG: Duration = Duration::from_secs(20);

/// Who runs a page's commands.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Who<'a> {
    /// Those of blocks that need no privilege.
    Anybody,
    /// Those of the other blocks. The sandbox has an `eth0`.
    Root(&'a Sandbox),
}

/// Runs the commands of a page, by its path from the repository's root, and says where it shows something else than they print.
pub(crate) fn differences(path: &str, who: Who<'_>) -> Vec<String> {
    static WRITING: Mutex<()> = Mutex::new(());
    // The two tests of a page are not to write it at the same time.
    let _one_by_one = update().then(|| WRITING.lock().unwrap_or_else(PoisonError::into_inner));
    let text = fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    let mut page = Page { path, lines: text.lines().map(ToString::to_string).collect() };
    let shell = Shell::new(who);
    let wanted = |block: &Block| block.needs_root() == matches!(who, Who::Root(_));
    let mut wrong = Vec::new();
    let mut anew = Vec::new();
    for block in page.blocks().into_iter().filter(wanted) {
        if let Some(version) = block.version.as_ref().filter(|version| !kernel().starts_with(*version)) {
            let line = block.steps.first().map_or(0, |step| step.line);
            writeln!(std::io::stderr(), "SKIPPED {path}:{line}: shows Linux {version}, this is {}", kernel())
                .expect("standard error");
            continue;
        }
        shell.block(&page, block, &mut wrong, &mut anew);
    }
    if !anew.is_empty() {
        for (lines, printed) in anew.into_iter().rev() {
            page.lines.splice(lines, printed);
        }
        fs::write(root().join(path), page.lines.join("\n") + "\n").expect("the page");
    }
    wrong
}

/// How many commands a page shows.
pub(crate) fn commands(path: &str) -> usize {
    let text = fs::read_to_string(root().join(path)).expect("a page");
    let page = Page { path, lines: text.lines().map(ToString::to_string).collect() };
    page.blocks().iter().map(|block| block.steps.len()).sum()
}

/// The repository.
pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Whether what is shown is to be replaced by what is so.
pub(crate) fn update() -> bool {
    std::env::var_os("UPDATE_EXPECT").is_some_and(|value| value == "1")
}

fn kernel() -> String {
    nix::sys::utsname::uname().expect("uname").release().to_string_lossy().into_owned()
}

struct Page<'a> {
    path: &'a str,
    lines: Vec<String>,
}

#[derive(Debug)]
struct Block {
    version: Option<String>,
    steps: Vec<Step>,
}

/// A command and the lines that it is said to print, by their numbers.
#[derive(Debug)]
struct Step {
    root: bool,
    command: String,
    /// The line of the command, counted from 1, as editors do.
    line: usize,
    shown: Range<usize>,
}

impl Block {
    fn needs_root(&self) -> bool {
        self.steps.iter().any(|step| step.root)
    }
}

impl Page<'_> {
    fn blocks(&self) -> Vec<Block> {
        let mut blocks = Vec::new();
        let mut open: Option<Block> = None;
        for (at, line) in self.lines.iter().enumerate() {
            let Some(block) = &mut open else {
                open = line.strip_prefix("```console").map(|info| {
                    let version = info.strip_prefix(',').map(ToString::to_string);
                    Block { version, steps: Vec::new() }
                });
                continue;
            };
            if line == "```" {
                blocks.extend(open.take());
                continue;
            }
            let (anybody, root) = (line.strip_prefix("$ "), line.strip_prefix("# "));
            match (anybody.or(root), block.steps.last_mut()) {
                (Some(command), _) => block.steps.push(Step {
                    root: root.is_some(),
                    command: command.to_string(),
                    line: at + 1,
                    shown: at + 1..at + 1,
                }),
                (None, Some(step)) => step.shown.end = at + 1,
                (None, None) => panic!("{}:{}: output without a command: {line}", self.path, at + 1),
            }
        }
        assert!(open.is_none(), "{}: a block without an end", self.path);
        blocks
    }
}

/// How a command ended, and all that it printed.
struct Printed {
    code: i32,
    lines: Vec<String>,
}

/// Where commands run.
struct Shell<'a> {
    who: Who<'a>,
    dir: PathBuf,
}

impl Drop for Shell<'_> {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.dir).expect("what was made");
    }
}

impl<'a> Shell<'a> {
    fn new(who: Who<'a>) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("rxdp-console-{}-{number}", std::process::id()));
        fs::create_dir(&dir).expect("a directory");
        for there in ["bpf-progs", "tests"] {
            symlink(root().join(there), dir.join(there)).expect("a link");
        }
        Self { who, dir }
    }

    fn block(
        &self,
        page: &Page<'_>,
        block: Block,
        wrong: &mut Vec<String>,
        anew: &mut Vec<(Range<usize>, Vec<String>)>,
    ) {
        let (mut last, mut removed) = (0, false);
        let mut steps: VecDeque<Step> = block.steps.into();
        while let Some(step) = steps.pop_front() {
            if NOT_HERE.contains(&step.command.as_str()) {
                assert!(step.shown.is_empty(), "{}:{}: it is not run here", page.path, step.line);
                continue;
            }
            let place = format!("{}:{}: {}", page.path, step.line, step.command);
            let shown = &page.lines[step.shown.clone()];
            let printed = if step.command == "echo $?" {
                vec![std::mem::take(&mut last).to_string()]
            } else {
                let Some(printed) = self.printed(&step.command, shown, removed) else {
                    writeln!(std::io::stderr(), "SKIPPED {place}: no cargo here").expect("standard error");
                    continue;
                };
                last = printed.code;
                printed.lines
            };
            removed = step.command.starts_with("rm ") || self.packets(&step.command);
            if last != 0 && steps.front().is_none_or(|next| next.command != "echo $?") {
                wrong.push(format!("{place}\nended with {last}, which the page does not say: {printed:#?}"));
                last = 0;
            }
            let Err(missing) = compare(shown, &printed) else {
                continue;
            };
            match update().then(|| reprint(shown, &printed)) {
                Some(Ok(lines)) => anew.push((step.shown, lines)),
                Some(Err(line)) => wrong.push(format!("{place}\nno line to begin or end with: {line}")),
                None => wrong.push(format!(
                    "{place}\n--- it does not print this:\n{}\n--- it prints:\n{}",
                    missing.join("\n"),
                    printed.join("\n")
                )),
            }
        }
    }

    /// Lets packets come in, if a command left something on `eth0` that may count them.
    fn packets(&self, command: &str) -> bool {
        let Who::Root(sandbox) = self.who else {
            return false;
        };
        if !command.contains(" eth0 --pin ") {
            return false;
        }
        let peer = sandbox.inside(End::Far, || PacketSocket::open("peer0")).expect("far");
        let peer = peer.expect("the other end of eth0");
        for _ in 0..PACKETS {
            peer.send(&packets::udp(packets::ORIGIN, 9, b"for the page")).expect("a packet");
        }
        true
    }

    /// What a command prints. After something was removed, it is run until it prints what is shown: the kernel takes programs out
    /// of a table some time after the last one who holds it is gone, and tells nobody.
    fn printed(&self, command: &str, shown: &[String], removed: bool) -> Option<Printed> {
        let end = Instant::now() + TOO_LONG;
        loop {
            let Output { status, stdout, stderr } = self.run(command)?;
            let all = text(&stdout) + &text(&stderr);
            let lines: Vec<String> = all.lines().map(|line| line.trim_end().to_string()).collect();
            if !removed || compare(shown, &lines).is_ok() || Instant::now() > end {
                return Some(Printed { code: status.code().expect("no signal"), lines });
            }
        }
    }

    /// `None` for an example where cargo did not start this test: in another machine, there is none.
    fn run(&self, command: &str) -> Option<Output> {
        let words: Vec<&str> = command.split_whitespace().collect();
        let (program, args) = match words.as_slice() {
            ["rxdp-load", args @ ..] | ["cargo", "run", "--release", "--", args @ ..] => {
                (PathBuf::from(env!("CARGO_BIN_EXE_rxdp-load")), args)
            }
            ["cargo", "run", "--example", name, "--", args @ ..] => (example(name)?, args),
            ["cat", args @ ..] => (PathBuf::from("cat"), args),
            ["rm", pin] if self.may_remove(pin) => (PathBuf::from("rm"), &words[1..]),
            _ => panic!("a page shows a command that is not known here: {command}"),
        };
        let mut child = Command::new(program);
        child.args(args).current_dir(&self.dir);
        let run = |mut child: Command| child.output().expect("a command that starts");
        match self.who {
            Who::Anybody => Some(run(child)),
            Who::Root(sandbox) => Some(sandbox.near(|| run(child))),
        }
    }
}

impl Shell<'_> {
    /// Pins of the sandbox's own bpffs.
    fn may_remove(&self, path: &str) -> bool {
        matches!(self.who, Who::Root(_)) && path.starts_with("/sys/fs/bpf/") && !path.contains("..")
    }
}

/// A program of `examples/`. Cargo builds them for a whole test run only, so it is asked for this one.
fn example(name: &str) -> Option<PathBuf> {
    let test = std::env::current_exe().expect("this program's path");
    let profile = test.ancestors().nth(2).expect("a folder of a profile");
    let cargo = std::env::var_os("CARGO")?;
    let build = ["build", "--quiet", "--example", name, "--target-dir"];
    let built = Command::new(cargo)
        .args(build)
        .arg(profile.parent().expect("the target folder"))
        .current_dir(root())
        .status();
    assert!(built.is_ok_and(|status| status.success()), "example {name} builds");
    Some(profile.join("examples").join(name))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("text")
}

fn is_gap(line: &String) -> bool {
    line == GAP
}

/// A line without what differs from run to run.
pub(crate) fn normal(line: &str) -> String {
    let line = line.trim_end();
    let same =
        RULES.iter().fold(line.to_string(), |line, (varies, by)| varies.replace_all(&line, *by).into_owned());
    if same == line { same } else { same.split_whitespace().collect::<Vec<_>>().join(" ") }
}

fn same(shown: &[String], printed: &[String]) -> bool {
    shown.len() == printed.len() && shown.iter().zip(printed).all(|(a, b)| normal(a) == normal(b))
}

/// What is shown and not printed.
fn compare<'a>(shown: &'a [String], printed: &[String]) -> Result<(), &'a [String]> {
    let pieces: Vec<&[String]> = shown.split(is_gap).collect();
    let last = pieces.len() - 1;
    let mut from = 0;
    for (at, piece) in pieces.into_iter().enumerate() {
        let rest = &printed[from..];
        let found = match (at, at == last) {
            (0, true) => same(piece, rest).then_some(0),
            (0, false) => rest.get(..piece.len()).filter(|start| same(piece, start)).map(|_| 0),
            (_, true) => rest.len().checked_sub(piece.len()).filter(|start| same(piece, &rest[*start..])),
            (_, false) if piece.is_empty() => Some(0),
            (_, false) => rest.windows(piece.len()).position(|part| same(piece, part)),
        };
        from += found.ok_or(piece)? + piece.len();
    }
    Ok(())
}

/// What is shown, as it is printed today: each piece from its first to its last line.
fn reprint(shown: &[String], printed: &[String]) -> Result<Vec<String>, String> {
    let pieces: Vec<&[String]> = shown.split(is_gap).collect();
    let last = pieces.len() - 1;
    let mut from = 0;
    let mut lines = Vec::new();
    let find = |line: &String, from: usize| {
        let found = printed[from..].iter().position(|other| normal(other) == normal(line));
        found.map(|at| at + from).ok_or(line.clone())
    };
    for (at, piece) in pieces.into_iter().enumerate() {
        let start = match piece.first() {
            _ if at == 0 => 0,
            None => from,
            Some(line) => find(line, from)?,
        };
        let end = match piece.last() {
            _ if at == last && (at == 0 || !piece.is_empty()) => printed.len(),
            None => start,
            Some(_) if at > 0 && piece.len() == 1 => start + 1,
            Some(line) => find(line, if at > 0 { start + 1 } else { start })? + 1,
        };
        lines.extend_from_slice(&printed[start..end]);
        from = end;
        if at < last {
            lines.push(GAP.to_string());
        }
    }
    Ok(lines)
}

/// The project's pages in a folder, by their paths from its root.
pub(crate) fn pages(folder: &str) -> Vec<String> {
    let entries =
        fs::read_dir(root().join(folder)).expect("a folder").map(|entry| entry.expect("an entry").path());
    let pages = entries.filter(|path| path.extension().is_some_and(|end| end == "md"));
    let relative =
        |path: PathBuf| path.strip_prefix(root()).map(Path::to_path_buf).expect("a page of the project");
    let mut pages: Vec<String> = pages.map(|path| relative(path).display().to_string()).collect();
    pages.sort();
    pages
}

#[test]
fn a_page_that_shows_something_else_is_noticed() {
    let lines = |text: &str| text.lines().map(ToString::to_string).collect::<Vec<_>>();
    let printed = lines("one\ntwo  id 7   x\nthree\nfour");
    for right in [
        "one\ntwo  id 7   x\nthree\nfour",
        "one\n[...]",
        "[...]\nfour",
        "[...]\ntwo id 1234 x\nthree\n[...]",
        "one\n[...]\nfour",
        "[...]",
    ] {
        assert_eq!(compare(&lines(right), &printed), Ok(()), "{right}");
    }
    for wrong in [
        "",
        "one",
        "one\ntwo id 7 x\nfour",
        "one\ntwo id 7 y\nthree\nfour",
        "one\ntwo id 7 x\nthree \nfour\nfive",
        "[...]\nthree",
        "two id 7 x\n[...]",
        "[...]\nfour\n[...]\none\n[...]",
        "[...]\none\nthree\n[...]",
    ] {
        assert!(compare(&lines(wrong), &printed).is_err(), "{wrong}");
    }
    // Blanks count where nothing differs from run to run.
    assert!(compare(&lines("a  b"), &lines("a b")).is_err());
    let anew =
        reprint(&lines("[...]\none\nthree\n[...]\nold"), &lines("zero\none\nnew\nthree\nfour\nold\nlast"));
    assert_eq!(anew, Ok(lines("[...]\none\nnew\nthree\n[...]\nold\nlast")));
    assert_eq!(reprint(&lines("[...]\ngone\n[...]"), &lines("zero")), Err("gone".to_string()));
}
