//! The command line: what can be said, and nothing about what it does.

mod map;

use std::env;
use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Command, FromArgMatches, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use rxdp_dispatcher::actions::{Actions, NoAction};
use rxdp_explain::model::Part;
use rxdp_loader::spec::{MapDialect, SectionDialect};
use rxdp_netlink::XdpMode;

use crate::fallback::Fallback;

pub(crate) use map::{Map, MapDelete, MapDump, MapGet, MapList, MapSet, MapVerb, MapWatch, Showing};

/// Loads a BPF object file, fills its jump tables and puts its XDP program on an interface.
///
/// Stays until Ctrl-C, then takes the program off again: a jump table is emptied when its last user closes it.
#[derive(Debug, Parser)]
#[command(
    name = "rxdp-load",
    version,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) verb: Option<Verb>,
    #[command(flatten)]
    pub(crate) attach: Attach,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Load every map and program of object files, report on each, leave nothing behind
    Verify(Verify),
    /// Show every step from an object's bytes to the kernel's calls, and why; without privilege
    Explain(Explain),
    /// Run a program on packets, without an interface: verdict, time, packet before and after
    Run(Run),
    /// Show which XDP programs are attached where, and whether their jump tables still have their slots
    Status(Status),
    /// Look into maps, whoever made them, and change them
    Map(Map),
    /// Take the XDP program off an interface
    Unload(Unload),
    /// Say whether this machine and an interface can do the main job, and what to do where they cannot
    Doctor(Doctor),
    /// Print what BPF programs print with bpf_trace_printk, until Ctrl-C
    Trace,
    /// Run the built-in tail-call program on real packets in a network of its own
    Demo,
    /// Print a shell's completions for this command
    Completions(Completions),
    /// Print the manual page
    Man,
}

/// What is asked for.
#[derive(Debug)]
pub(crate) enum Asked {
    /// One of the verbs.
    Verb(Verb),
    /// The main job.
    Attach(Attach),
}

impl Asked {
    /// Reads the command line. Where it is wrong, or asks for help, this process ends.
    pub(crate) fn read() -> Self {
        if let Some(verify) = verify_alone(env::args_os()) {
            return Self::Verb(Verb::Verify(verify));
        }
        let Cli { verb, attach } = Cli::parse();
        verb.map_or(Self::Attach(attach), Self::Verb)
    }

    /// Whether an error is to be told at length.
    pub(crate) fn verbose(&self) -> bool {
        match self {
            Self::Verb(_) => false,
            Self::Attach(attach) => attach.verbose,
        }
    }
}

/// `verify`, if that is asked for: to make all other verbs takes longer than to load a small object. What cannot be read, help
/// among it, is for the whole command line to say.
fn verify_alone(given: impl Iterator<Item = OsString>) -> Option<Verify> {
    let mut given = given.skip(1);
    given.next().filter(|verb| verb == "verify")?;
    let command = Verify::augment_args(Command::new("verify").no_binary_name(true));
    Verify::from_arg_matches(&command.try_get_matches_from(given).ok()?).ok()
}

/// The main job.
#[derive(Debug, Args)]
pub(crate) struct Attach {
    // Both are there unless a verb is.
    /// The object file that clang made
    #[arg(required = true)]
    object: Option<PathBuf>,
    /// The interface to attach to
    #[arg(required = true, value_name = "IFACE")]
    interface: Option<String>,
    #[command(flatten)]
    pub(crate) choices: Choices,
    /// How to attach: auto, native (drv), generic (skb) or offload (hw); auto leaves it to the kernel
    #[arg(long, default_value_t = XdpMode::Auto)]
    pub(crate) mode: XdpMode,
    /// Replace what is attached, if it is program ID or, without an ID, what was there a moment ago
    #[arg(long, value_name = "ID", num_args = 0..=1, require_equals = true)]
    pub(crate) replace: Option<Option<u32>>,
    /// What to try next where an attach fails that it can cure, in this order
    #[arg(long, value_name = "WAY,...", value_delimiter = ',', conflicts_with_all = ["replace", "upgrade"])]
    pub(crate) fallback: Vec<Fallback>,
    /// Attach by a bpf_link: nobody else can replace it, and it goes with this process or with its pin
    #[arg(long = "bpf-link", conflicts_with_all = ["replace", "upgrade"])]
    pub(crate) bpf_link: bool,
    #[command(flatten)]
    pub(crate) sharing: Sharing,
    /// Detach after this time, such as 50s or 2min
    #[arg(long = "for", value_name = "TIME", value_parser = duration, conflicts_with = "pin")]
    pub(crate) stay_for: Option<Duration>,
    /// Pin all programs and maps under DIR, which is on a bpffs, leave everything attached, and end
    #[arg(long, value_name = "DIR")]
    pub(crate) pin: Option<PathBuf>,
    /// Take over from the version that an earlier --pin DIR left attached, and keep its maps where their layout is the same
    #[arg(long, requires = "pin", conflicts_with = "replace")]
    pub(crate) upgrade: bool,
    /// What becomes of a map whose layout changed: fail, recreate (empty) or migrate (copy field by field)
    #[arg(long, requires = "upgrade", value_enum, default_value_t = OnMismatch::Fail)]
    pub(crate) on_mismatch: OnMismatch,
    /// Print what BPF programs print with bpf_trace_printk while staying
    #[arg(long, conflicts_with = "pin")]
    pub(crate) trace: bool,
    /// Write every call of bpf(2) and netlink to FILE, in order, also when the job fails
    #[arg(long, value_name = "FILE")]
    pub(crate) record: Option<PathBuf>,
    /// One JSON line when attached, one when detached
    #[arg(long)]
    pub(crate) json: bool,
    /// Print nothing but errors
    #[arg(long, short, conflicts_with_all = ["verbose", "json", "trace"])]
    pub(crate) quiet: bool,
    /// Print more: the map definitions, and the whole verifier log of a refusal
    #[arg(long, short)]
    pub(crate) verbose: bool,
}

/// What becomes of a map whose layout changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum OnMismatch {
    /// Nothing is done, and each field that differs is named.
    Fail,
    /// A new one takes its place.
    Recreate,
    /// A new one takes its place, and what the old one held is copied field by field.
    Migrate,
}

/// How to share an interface with other programs.
#[derive(Debug, Args)]
pub(crate) struct Sharing {
    /// Bring a dispatcher, so that others can add their programs; without it one that is alone is attached directly, and
    /// one that finds a dispatcher joins it
    #[arg(long, conflicts_with = "replace")]
    dispatcher: bool,
    /// The program's place among the others: lower numbers come first [default: what the object says, or 50]; brings a
    /// dispatcher, too
    #[arg(long, value_name = "N", conflicts_with = "replace")]
    pub(crate) priority: Option<u32>,
    /// The verdicts after which the next program is called, such as pass,drop, or none [default: what the object says,
    /// or pass]; brings a dispatcher, too
    #[arg(long, value_name = "VERDICTS", value_parser = actions, conflicts_with = "replace")]
    pub(crate) chain_on: Option<Actions>,
}

impl Sharing {
    /// Whether some flag says so.
    pub(crate) fn is_asked_for(&self) -> bool {
        self.dispatcher || self.priority.is_some() || self.chain_on.is_some()
    }
}

fn actions(text: &str) -> Result<Actions, NoAction> {
    text.parse()
}

/// A time such as `2min`; a bare number is seconds, as in `sleep(50)`.
fn duration(text: &str) -> Result<Duration, String> {
    let seconds = || text.parse().ok().and_then(|s: f64| Duration::try_from_secs_f64(s).ok());
    seconds().map_or_else(|| humantime::parse_duration(text).map_err(|error| error.to_string()), Ok)
}

impl Attach {
    /// The object file.
    pub(crate) fn object(&self) -> &Path {
        self.object.as_deref().unwrap_or(Path::new(""))
    }

    /// The object file, and those that it is joined with.
    pub(crate) fn objects(&self) -> Vec<&Path> {
        self.choices.with(self.object())
    }

    /// The interface's name.
    pub(crate) fn interface(&self) -> &str {
        self.interface.as_deref().unwrap_or_default()
    }
}

/// Which program of an object is meant, and what stands in its jump tables.
#[derive(Debug, Args)]
pub(crate) struct Choices {
    /// The entry program: its name, section or index [default: the first XDP program]
    #[arg(long, value_name = "NAME|SECTION|INDEX")]
    pub(crate) prog: Option<String>,
    #[command(flatten)]
    pub(crate) reading: Reading,
    /// Put a program into a slot of a jump table, such as 0:78=1 or jmp_table1:78=xdp_tail_call_1
    #[arg(long, value_name = "MAP:KEY=PROG")]
    pub(crate) tail_call: Vec<String>,
    /// Fill no slot that nobody gave, and go on with the slots as they are
    #[arg(long)]
    pub(crate) no_infer: bool,
    /// Join this object file with OBJECT before loading: what one declares (extern), another defines
    #[arg(long, value_name = "FILE")]
    link: Vec<PathBuf>,
}

impl Choices {
    /// An object file, and those that it is joined with.
    pub(crate) fn with<'a>(&'a self, object: &'a Path) -> Vec<&'a Path> {
        std::iter::once(object).chain(self.link.iter().map(PathBuf::as_path)).collect()
    }
}

/// How to read an object where it leaves things open.
#[derive(Debug, Args)]
pub(crate) struct Reading {
    /// The type of a program whose section does not say it, such as xdp_main=xdp; without PROG= of all of them
    #[arg(long = "type", value_name = "[PROG=]TYPE")]
    pub(crate) types: Vec<String>,
    /// What a program attaches to, whatever its section says: a function of program ID (without it the one that its
    /// section names, or the main one), or a function of the kernel
    #[arg(long = "target", value_name = "PROG=ID[:FUNCTION]|PROG=FUNCTION")]
    pub(crate) targets: Vec<String>,
    /// How many entries a map has, whatever the object says, such as events=64
    #[arg(long = "map", value_name = "NAME=ENTRIES")]
    pub(crate) maps: Vec<String>,
    /// Fit the code to the types in this file (CO-RE), not to the running kernel's: BTF, or an ELF file with it
    #[arg(long, value_name = "FILE")]
    pub(crate) btf: Option<PathBuf>,
    /// The license of its programs, whatever the object says, such as GPL
    #[arg(long, value_name = "TEXT")]
    pub(crate) license: Option<String>,
    /// Have at most N programs verified at once [default: one a processor]
    #[arg(long, value_name = "N")]
    pub(crate) jobs: Option<NonZeroUsize>,
    /// What section names mean
    #[arg(long, value_enum, default_value_t)]
    pub(crate) section_dialect: SectionDialectArg,
    /// What the fields of SEC("maps") definitions mean [default: by their size]
    #[arg(long, value_enum)]
    pub(crate) map_dialect: Option<MapDialectArg>,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub(crate) enum SectionDialectArg {
    /// libbpf's names, then ID/KEY, then the beginnings of names
    #[default]
    Auto,
    /// libbpf's names only
    Libbpf,
    /// The beginnings of names that the kernel's samples knew
    Samples,
    /// Labels without a meaning, but ID/KEY
    Iproute2,
}

impl From<SectionDialectArg> for SectionDialect {
    fn from(arg: SectionDialectArg) -> Self {
        match arg {
            SectionDialectArg::Auto => Self::Auto,
            SectionDialectArg::Libbpf => Self::Libbpf,
            SectionDialectArg::Samples => Self::Samples,
            SectionDialectArg::Iproute2 => Self::Iproute2,
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum MapDialectArg {
    /// inner_map_idx, numa_node (the kernel's samples)
    Samples,
    /// id, pinning (aya, early iproute2)
    IdPinning,
    /// id, pinning, inner_id, inner_idx (iproute2's bpf_elf_map)
    Iproute2,
    /// pinning, a directory's name (gobpf)
    Gobpf,
}

impl From<MapDialectArg> for MapDialect {
    fn from(arg: MapDialectArg) -> Self {
        match arg {
            MapDialectArg::Samples => Self::Samples,
            MapDialectArg::IdPinning => Self::IdPinning,
            MapDialectArg::Iproute2 => Self::Iproute2,
            MapDialectArg::Gobpf => Self::Gobpf,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// Object files
    #[arg(required = true, value_name = "OBJECT")]
    pub(crate) objects: Vec<PathBuf>,
    /// Join all of them into one object: what one declares (extern), another defines
    #[arg(long)]
    pub(crate) link: bool,
    /// One JSON line an object
    #[arg(long)]
    pub(crate) json: bool,
    /// The whole verifier log of every refusal, up to 64 MiB
    #[arg(long)]
    pub(crate) log: bool,
    /// With --json: the instructions as they are sent to the kernel, and what they refer to
    #[arg(long, requires = "json")]
    pub(crate) insns: bool,
    /// Only this program: its name, section or index
    #[arg(long, value_name = "NAME|SECTION|INDEX")]
    pub(crate) prog: Option<String>,
    #[command(flatten)]
    pub(crate) reading: Reading,
}

#[derive(Debug, Args)]
pub(crate) struct Explain {
    /// The object file
    #[arg(value_name = "OBJECT")]
    pub(crate) object: PathBuf,
    #[command(flatten)]
    pub(crate) choices: Choices,
    /// Load it, too, and show what the kernel says (as root)
    #[arg(long)]
    pub(crate) live: bool,
    /// Only these parts, such as maps,relocations: join, file, maps, programs, code, relocations, graph, btf, plan, kernel
    #[arg(long = "section", value_name = "PART", value_delimiter = ',', value_parser = part)]
    pub(crate) sections: Vec<Part>,
    /// How to show it
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
    /// Write to FILE, not to standard output
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

/// What an explanation is written as.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum)]
pub(crate) enum Format {
    /// Text for a terminal, at most 100 columns wide
    #[default]
    Text,
    /// JSON, as docs/explain.schema.json describes it; always all parts
    Json,
    /// One page of HTML that needs nothing else; always all parts
    Html,
}

fn part(name: &str) -> Result<Part, String> {
    let names: Vec<&str> = Part::ALL.iter().map(|part| part.name()).collect();
    Part::from_name(name).ok_or_else(|| format!("parts are {}", names.join(", ")))
}

#[derive(Debug, Args)]
pub(crate) struct Run {
    /// The object file
    #[arg(value_name = "OBJECT")]
    pub(crate) object: PathBuf,
    #[command(flatten)]
    pub(crate) choices: Choices,
    /// A packet from its Ethernet header on, in hex, a file of them (pcap, pcapng), or builtin: a set of all kinds, from ARP to
    /// jumbo [default: UDP to port 7, 64 bytes]
    #[arg(long, visible_alias = "packets", value_name = "HEX|FILE.pcap|builtin")]
    pub(crate) packet: Vec<String>,
    /// Run an older version of the object on the same packets, and show which get another verdict or other bytes; exit code 6 if
    /// some do
    #[arg(long, value_name = "OLD.o")]
    pub(crate) compare: Option<PathBuf>,
    /// How often to run it on each packet, which makes the time more exact
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) repeat: u32,
    /// One JSON line a packet
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Status {
    /// Only this interface
    #[arg(value_name = "IFACE")]
    pub(crate) interface: Option<String>,
    /// Look into all network namespaces: those with a name, and those that processes are in
    #[arg(long)]
    pub(crate) all_namespaces: bool,
    /// Look again and again, and show how fast programs run; the kernel keeps statistics meanwhile
    #[arg(long)]
    pub(crate) watch: bool,
    /// How often to look
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = duration, requires = "watch")]
    pub(crate) interval: Duration,
    /// End after this time, such as 50s or 2min
    #[arg(long = "for", value_name = "TIME", value_parser = duration, requires = "watch")]
    pub(crate) stay_for: Option<Duration>,
    /// A JSON array, one element an interface that carries a program; with --watch one line each time
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// Look at this interface, too
    #[arg(value_name = "IFACE")]
    pub(crate) interface: Option<String>,
    /// One JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// The shell
    #[arg(value_enum)]
    pub(crate) shell: Shell,
}

#[derive(Debug, Args)]
pub(crate) struct Unload {
    /// The interface
    #[arg(value_name = "IFACE")]
    pub(crate) interface: String,
    /// Only the program with this id, of several
    #[arg(long, value_name = "ID", conflicts_with = "prog")]
    pub(crate) id: Option<u32>,
    /// Only the program of this name, of several
    #[arg(long, value_name = "NAME")]
    pub(crate) prog: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verify_is_read_alone_as_with_all_other_verbs() {
        let read = |words: &str| {
            let given = || words.split(' ').map(OsString::from);
            let whole = Cli::try_parse_from(given()).ok().and_then(|cli| match cli.verb {
                Some(Verb::Verify(verify)) => Some(verify),
                _ => None,
            });
            (format!("{:?}", verify_alone(given())), format!("{whole:?}"))
        };
        for words in [
            "x verify a.o",
            "x verify --json --insns a.o b.o --type p=xdp -- -c.o",
            "x verify",
            "x verify --no",
            "x a.o eth0",
        ] {
            let (alone, whole) = read(words);
            assert_eq!(alone, whole, "{words}");
        }
        assert!(read("x verify a.o").0.starts_with("Some"));
    }
}
