//! The command line: what can be said, and nothing about what it does.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use rxdp_dispatcher::actions::{Actions, NoAction};
use rxdp_explain::model::Part;
use rxdp_loader::spec::{MapDialect, SectionDialect};
use rxdp_netlink::XdpMode;

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
    /// Take the XDP program off an interface
    Unload(Unload),
    /// Print what BPF programs print with bpf_trace_printk, until Ctrl-C
    Trace,
    /// Run the built-in tail-call program on real packets in a network of its own
    Demo,
    /// Print a shell's completions for this command
    Completions(Completions),
    /// Print the manual page
    Man,
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
    #[command(flatten)]
    pub(crate) sharing: Sharing,
    /// Detach after this time, such as 50s or 2min
    #[arg(long = "for", value_name = "TIME", value_parser = duration, conflicts_with = "pin")]
    pub(crate) stay_for: Option<Duration>,
    /// Pin all programs and maps under DIR, which is on a bpffs, leave everything attached, and end
    #[arg(long, value_name = "DIR")]
    pub(crate) pin: Option<PathBuf>,
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
    /// Only these parts, such as maps,relocations: file, maps, programs, code, relocations, graph, plan, kernel
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
    /// A packet from its Ethernet header on, in hex, or a file of them (pcap, pcapng) [default: UDP to port 7, 64 bytes]
    #[arg(long, value_name = "HEX|FILE.pcap")]
    pub(crate) packet: Vec<String>,
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
    /// A JSON array, one element an interface that carries a program
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
