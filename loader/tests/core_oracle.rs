//! CO-RE as libbpf does it: the programs of the kernel's `test_core_reloc_*`, fitted to the types of each
//! `btf__core_reloc_*`, compared with what an oracle on libbpf sends to the kernel (`RXDP_CORPUS=DIR
//! RXDP_ORACLE=PROGRAM`, as root).
#![cfg(test)]
#![cfg(feature = "kernel")]
#![allow(clippy::arithmetic_side_effects, reason = "a test fails by panicking, in helpers too")]

mod common;

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{read, xdp_options};
use rxdp_loader::elf;
use rxdp_loader::insn::Insn;
use rxdp_loader::link::LinkedObject;
use rxdp_loader::load::{Ask, CodeTypes, Given, ProgramReport, link_for, verify};
use rxdp_loader::plan::{self, Options, Select};
use rxdp_loader::sys::{Linux, host};
use rxdp_loader::trace::hex;
use serde_json::Value;

#[test]
fn code_is_fitted_to_types_as_libbpf_does_it() {
    let (Some(corpus), Some(oracle)) = (env::var_os("RXDP_CORPUS"), env::var_os("RXDP_ORACLE")) else {
        let notice = "SKIPPED code_is_fitted_to_types_as_libbpf_does_it: no RXDP_CORPUS and RXDP_ORACLE\n";
        return std::io::stderr().write_all(notice.as_bytes()).unwrap();
    };
    let (corpus, oracle) = (Path::new(&corpus), Path::new(&oracle));
    let (objects, types) = (named(corpus, "test_core_reloc_"), named(corpus, "btf__core_reloc_"));
    let (mut pairs, mut loaded, mut compared, mut wrong) = (0, 0, 0, Vec::new());
    for object in &objects {
        for types in &types {
            let (theirs, mut ours) = (ask(oracle, object, types), ours(object, types));
            for (name, theirs) in theirs {
                let ours = ours.remove(&name).unwrap_or_else(|| panic!("{}: {name}", object.display()));
                (pairs, loaded) = (pairs + 1, loaded + usize::from(theirs.loads));
                compared += usize::from(theirs.code.is_some());
                if let Some(why) = difference(&theirs, &ours) {
                    wrong.push(format!("{}: {name}, types of {}: {why}", object.display(), types.display()));
                }
            }
        }
    }
    let counts = format!("{pairs} pairs, code of {compared} compared, {loaded} load");
    eprintln!("{counts}, {} not the same", wrong.len());
    assert!(wrong.is_empty() && loaded > 0 && compared > loaded, "{counts}\n{}", wrong.join("\n"));
}

/// The objects of a corpus whose names begin so.
fn named(corpus: &Path, prefix: &str) -> Vec<PathBuf> {
    let paths = fs::read_dir(corpus).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> =
        paths.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with(prefix)).collect();
    paths.sort();
    paths
}

/// What became of a program.
struct Fitted {
    loads: bool,
    /// Its code as it is sent, as far as it came to that; in place of a map's descriptor stands a hash of its name.
    code: Option<String>,
    /// What is said of it, where there is something to say.
    words: String,
}

fn difference(theirs: &Fitted, ours: &Fitted) -> Option<String> {
    let says = |who: &Fitted| if who.loads { "loads".to_string() } else { format!("fails ({})", who.words) };
    if theirs.loads != ours.loads {
        return Some(format!("{} with libbpf, and here it {}", says(theirs), says(ours)));
    }
    // Where libbpf gave up before there was any, there is nothing to be equal to.
    theirs.code.as_ref().filter(|code| Some(*code) != ours.code.as_ref()).map(|code| {
        let ours = ours.code.as_deref().unwrap_or("nothing");
        format!("libbpf sends\n    {code}, and here it is\n    {ours} ({})", says(theirs))
    })
}

/// What libbpf makes of each program of an object, alone.
fn ask(oracle: &Path, object: &Path, types: &Path) -> BTreeMap<String, Fitted> {
    let output = Command::new(oracle).args(["-p", "-d", "-b"]).args([types, object]).output().unwrap();
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    let programs = answer["progs"].as_array().unwrap_or_else(|| panic!("{}: {answer}", object.display()));
    let fitted = |entry: &Value| {
        let program = &entry["p"];
        let code = program["pre_hex"].as_str().map(str::to_string);
        let words = format!("at {}, errno {}", entry["stage"], entry["r"]);
        (program["name"].as_str().unwrap().to_string(), Fitted { loads: entry["r"] == 0, code, words })
    };
    programs.iter().map(fitted).collect()
}

/// What becomes of each program of an object here.
fn ours(object: &Path, types: &Path) -> BTreeMap<String, Fitted> {
    let (bytes, types) = (fs::read(object).unwrap(), fs::read(types).unwrap());
    let spec = read(object.file_name().unwrap().to_str().unwrap(), &bytes).unwrap();
    let types = elf::parse(&types).unwrap().section_named(".BTF").unwrap().data.to_vec();
    let object = link_for(spec, &host::machine(), CodeTypes::Given(&types)).unwrap();
    let options = Options { select: Select::All, ..xdp_options() };
    let plan = plan::plan(&object, &host::machine(), &options).unwrap();
    let report = verify(&plan, &Linux, Given::default(), Ask::Nothing);
    let fitted = |program: &ProgramReport| {
        let name = object.spec.program(program.id).unwrap().name.clone();
        let words = program.result.as_ref().err().map(ToString::to_string).unwrap_or_default();
        (name, Fitted { loads: program.result.is_ok(), code: code(&object, program), words })
    };
    report.programs.iter().map(fitted).collect()
}

/// The code of a program in the words of the oracle.
fn code(object: &LinkedObject, program: &ProgramReport) -> Option<String> {
    let linked = object.program(program.id)?;
    let mut code =
        program.load.as_ref().map_or_else(|| linked.insns.clone(), |load| load.code(linked).into());
    for (at, map) in &linked.map_refs {
        code[at.index()].imm = i32::from_ne_bytes(fnv(object.spec.map_name(*map).as_bytes()).to_ne_bytes());
    }
    Some(hex(&code.iter().flat_map(|insn: &Insn| insn.to_native()).collect::<Vec<_>>()))
}

/// The oracle's hash of names. Source: FNV-1a, 32 bits.
fn fnv(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}
