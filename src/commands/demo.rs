//! The article in a network of its own: the built-in program, real packets, the lines that prove the tail call.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;

use rxdp_loader::link;
use rxdp_loader::plan::Options;
use rxdp_loader::spec::Dialects;
use rxdp_loader::sys::{Linux, host};
use rxdp_loader::uapi::ProgType;
use rxdp_netlink::{Handle, XdpMode};
use rxdp_sandbox::{End, Sandbox, packets};

use crate::error::Failure;
use crate::job::{self, Wishes};
use crate::report;
use crate::stay::{self, Tracing, print_line};
use crate::target::Targets;

/// The article's program, as `cargo xtask bpf` builds it.
const TAIL_KERN: &[u8] = include_bytes!("../../bpf-progs/tail_kern.o");
const NAME: &str = "tail_kern.o";

/// What the two programs print: the first always, the second only behind the tail call.
const PROOF: [&str; 2] = ["XDP: Killroy was here! 42", "XDP: tail call (xdp_1) id=1"];

/// How long the lines may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Loads, attaches, sends a packet, waits for the lines, cleans up.
pub(crate) fn run() -> Result<(), Failure> {
    let sandbox = Sandbox::new()?;
    let sender = sandbox.packet_socket(End::Far)?;
    let interface = (End::Near.interface(), sandbox.ifindex(End::Near));
    say(&format!(
        "made a network of its own: {} and {}, two ends of one cable",
        interface.0,
        End::Far.interface()
    ))?;
    sandbox.near(|| {
        stay::runtime()?.block_on(async {
            let mut tracing = Tracing::start()?;
            let loaded = load()?;
            let entry = loaded.entry_program(Path::new(NAME))?;
            let netlink = Handle::connect()?;
            let attachment = netlink.hold(interface.1, entry.as_fd(), XdpMode::Auto).await?;
            let report = report::attached(&Linux, NAME, interface, attachment.mode().to_string(), &loaded)?;
            report::show(&mut io::stdout().lock(), &report, &loaded, false).map_err(Failure::Output)?;

            sender.send(&packets::udp(packets::ORIGIN, 7, b"hello"))?;
            say(&format!("sent a packet from {}; what the programs print:", End::Far.interface()))?;
            prove(&mut tracing).await?;
            attachment.detach().await?;
            Ok::<(), Failure>(())
        })
    })?;
    drop(sandbox);
    say("both lines came: the tail call works. Everything is cleaned up")
}

fn load() -> Result<job::Loaded, Failure> {
    let name = rxdp_loader::object_name(Path::new(NAME));
    let spec = rxdp_loader::read(&name, TAIL_KERN, Dialects::default());
    let linked = link::link(spec.map_err(|error| Failure::object(NAME, error))?);
    let options = Options { default_type: Some(ProgType::XDP), ..Options::default() };
    let read = job::Read { object: linked, targets: Targets::default(), maps: BTreeMap::new() };
    job::load(&Linux, read, NAME, &host::machine(), Wishes { options, ..Wishes::default() })
}

/// Waits for both lines, in order, and prints them. Lines of other programs on this machine are passed over.
async fn prove(tracing: &mut Tracing) -> Result<(), Failure> {
    let mut found = 0usize;
    let reading = async {
        for expected in PROOF {
            loop {
                let line = tracing.next().await?;
                if line.message.trim_end() == expected {
                    found = found.saturating_add(1);
                    print_line(&line).map_err(Failure::Output)?;
                    break;
                }
            }
        }
        Ok(())
    };
    match tokio::time::timeout(PATIENCE, reading).await {
        Ok(proved) => proved,
        Err(_elapsed) => Err(Failure::DemoSilent { found, seconds: PATIENCE.as_secs() }),
    }
}

fn say(words: &str) -> Result<(), Failure> {
    writeln!(io::stdout(), "{words}").map_err(Failure::Output)
}
