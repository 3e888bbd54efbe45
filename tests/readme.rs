//! What README and docs show is what comes out: their commands are run, their tables are printed from the code.
#![cfg(test)]

#[path = "common/console.rs"]
mod console;

use std::fs;
use std::process::Command;

use console::{Who, root};
use rxdp_loader::core_relo::CoreKind;
use rxdp_loader::patch::Reason;
use rxdp_loader::spec::section::{ROWS, SectionFlags};
use rxdp_loader::uapi::pseudo;
use rxdp_sandbox::testing::kernel_or_skip;
use serde_json::Value;

/// README, and the pages of `docs/`.
fn pages() -> Vec<String> {
    assert!(console::commands("README.md") >= 5, "README shows commands");
    [vec!["README.md".to_string()], console::pages("docs")].concat()
}

#[test]
fn commands_print_what_pages_show() {
    let wrong: Vec<String> =
        pages().iter().flat_map(|page| console::differences(page, Who::Anybody)).collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n\n"));
}

#[test]
fn commands_of_root_print_what_pages_show() {
    let Some(sandbox) = kernel_or_skip("commands_of_root_print_what_pages_show") else {
        return;
    };
    sandbox.add_veth("eth0", "peer0").expect("an interface with the name that people use");
    let wrong: Vec<String> =
        pages().iter().flat_map(|page| console::differences(page, Who::Root(&sandbox))).collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n\n"));
}

/// What a row of the table of questions quotes stands in the parts that it names.
#[test]
fn explain_answers_the_twenty_questions() {
    let docs = fs::read_to_string(root().join("docs/explain.md")).expect("docs/explain.md");
    let rows: Vec<Vec<&str>> = docs
        .lines()
        .filter(|line| {
            line.strip_prefix("| ").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
        })
        .map(|line| line.split(" | ").collect())
        .collect();
    assert_eq!(rows.len(), 20);
    for row in rows {
        let [number, question, parts, answer] = row.as_slice() else {
            panic!("a row of four columns: {row:?}");
        };
        let parts: Vec<&str> = quoted(parts).into_iter().filter(|part| *part != "kernel").collect();
        let printed = explain("bpf-progs/tail_kern.o", &["--section", &parts.join(",")]);
        let printed = printed.split_whitespace().collect::<Vec<_>>().join(" ");
        let quotes = quoted(answer);
        assert!(!quotes.is_empty(), "{number}: {question}");
        for quote in quotes {
            assert!(
                printed.contains(quote),
                "{number}: {question} {quote:?} is not in the output of {parts:?}"
            );
        }
    }
}

/// What stands between backquotes.
fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

#[test]
fn docs_of_sections_are_the_code_s_table() {
    printed("docs/sections.md", &section_docs());
}

#[test]
fn docs_of_relocations_are_what_the_code_does() {
    printed("docs/relocations.md", &relocation_docs());
}

/// A page is what is printed.
fn printed(path: &str, printed: &str) {
    let file = root().join(path);
    if console::update() {
        fs::write(&file, printed).expect("a page of docs");
    }
    let written = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{path}: {error}"));
    assert!(written == printed, "{path}: print it anew with UPDATE_EXPECT=1");
}

fn section_docs() -> String {
    let mut text = String::from(
        "# Section names\n\n\
         What a section's name says about its programs, in this order:\n\n\
         1. Only sections with code (`SHF_EXECINSTR`) hold programs, whatever their names.\n\
         2. A leading `?` is dropped; such programs are loaded when they are asked for, and by `verify`.\n\
         3. The rows below: the whole name, or, where the row ends in `/...`, also a name that goes on with a `/`.\n\
         4. `ID/KEY`, two numbers as in C (`2/1`, `0xab/010`): iproute2's slot KEY of the table with that id. Its type is that of\n\
         the table's users. A slot that the table does not have is an error of the slot.\n\
         5. The longest row that the name begins with, as loaders before libbpf 1.0 did: `xdp1`, `xdp_drop_UDP`, \
         `classifier/ingress`. `xdp_devmap` and `xdp_cpumap` mean `xdp/devmap` and `xdp/cpumap`.\n\
         6. Anything else (`prog`, `from-container`, `.text`) takes the type that `--type` gives. Without it, it is XDP to those\n\
         who attach, and `verify` finds the type by trying (`docs/decisions/0005-a-type-found-by-trying.md`), as it does for names\n\
         such as `xdp_stats` if the kernel does not take what rule 5 says.\n\n\
         `--section-dialect` narrows this: `libbpf` stops after 3, `iproute2` takes only 4, `samples` takes only the\n\
         beginnings that the kernel's `bpf_load.c` knew.\n\n\
         ## Maps\n\n\
         A definition of numbers is read by its size: 36 bytes are iproute2's, 280 gobpf's, others those of the kernel's samples.\n\
         Where words behind the known ones are not zero, as in Android's, only type, sizes, entries and flags are read.\n\n\
         Maps of descriptors (jump tables, arrays of perf events, cgroups or maps) have keys and values of 4 bytes where a\n\
         definition leaves them out. `--map NAME=ENTRIES` gives a number of entries. Where a definition leaves it open, because the\n\
         loader of its time set it, `verify` takes what such loaders do, and says so: one entry a CPU for arrays and cpumaps,\n\
         64 pages for ring buffers, 1024 for others; and stacks of 127 addresses.\n\n\
         Where nobody says what the inner maps of a map of maps look like, because the loader of its time made them when it ran,\n\
         `verify` makes one up and says so: like a map of the object that no program refers to, or a hash with keys of 1 byte and\n\
         values of 64 KiB, which suits programs that only look something up. If the kernel refuses a program with that, the other\n\
         maps of the object are tried, what the program's helpers take (a devmap, an array of perf events, ...), and shorter values.\n\n\
         Definitions by type (`SEC(\".maps\")`) have their numbers in types, or, as in 2019, as integers in the section's bytes.\n\n\
         ## The table\n\n\
         It is printed from the code.\n\n\
         | section | program type | attach type | |\n|---|---|---|---|\n",
    );
    for row in ROWS {
        let target = if row.takes_target { "/..." } else { "" };
        let attach = if row.attach.0 == 0 { "".to_string() } else { row.attach.to_string() };
        let flags: Vec<&str> = [
            (SectionFlags::ATTACH_BTF, "by BTF id"),
            (SectionFlags::SLEEPABLE, "may sleep"),
            (SectionFlags::XDP_FRAGS, "frags"),
            (SectionFlags::ATTACH_OPTIONAL, "attach type optional"),
            (SectionFlags::RETURNS, "where functions return"),
        ]
        .iter()
        .filter(|(flag, _)| row.flags.contains(*flag))
        .map(|(_, words)| *words)
        .collect();
        text += &format!("| `{}{target}` | {} | {attach} | {} |\n", row.name, row.ty, flags.join(", "));
    }
    text
}

/// A reference, an object that has one, and how it is found there.
struct Example {
    what: &'static str,
    object: &'static str,
    /// The kind in JSON, and the symbol.
    kind: &'static str,
    symbol: &'static str,
    /// What the source register is called that the instruction gets.
    register: (u8, &'static str),
}

const EXAMPLES: &[Example] = &[
    Example {
        what: "A map",
        object: "bpf-progs/tail_kern.o",
        kind: "map",
        symbol: "jmp_table1",
        register: (pseudo::MAP_FD, "BPF_PSEUDO_MAP_FD"),
    },
    Example {
        what: "A global variable",
        object: "tests/fixtures/data.o",
        kind: "map_value",
        symbol: "data.rodata",
        register: (pseudo::MAP_VALUE, "BPF_PSEUDO_MAP_VALUE"),
    },
    Example {
        what: "A subprogram that is called",
        object: "tests/fixtures/calls.o",
        kind: "call",
        symbol: "local",
        register: (pseudo::CALL, "BPF_PSEUDO_CALL"),
    },
    Example {
        what: "The address of a subprogram",
        object: "tests/fixtures/callbacks.o",
        kind: "function_address",
        symbol: "step",
        register: (pseudo::FUNC, "BPF_PSEUDO_FUNC"),
    },
];

fn relocation_docs() -> String {
    let mut text = String::from(
        "# Relocations\n\n\
         What becomes of an instruction that refers to something. The compiler leaves a relocation: the place of the instruction,\n\
         and a symbol. Its number (`R_BPF_64_64`, `R_BPF_64_32`, ...) plays no part, since LLVM changed what it means: the\n\
         instruction and what the symbol stands for decide.\n\n\
         This page is printed: the changes are those that the loader makes in the objects named, the questions of CO-RE are the\n\
         code's table.\n\n\
         ## References\n\n\
         The second byte of an instruction holds two registers: the destination in its low four bits, the source in its high ones. A\n\
         64-bit load and a call need no source register, so the kernel takes it as a mark: what the immediate means.\n\n",
    );
    for example in EXAMPLES {
        text += &shown(example);
    }
    text += &format!(
        "### What else\n\nDescriptors are 0 here. They are written just before `BPF_PROG_LOAD`, when the maps exist. A call with source register 0\n\
         is a call of a helper, and needs no relocation: helpers have fixed numbers.\n\n\
         Functions of the kernel are called with source register {} (`BPF_PSEUDO_KFUNC_CALL`) and the number of their type in the\n\
         kernel's BTF. Its variables are loaded with {} (`BPF_PSEUDO_BTF_ID`), or as plain addresses where the object does not say\n\
         their type. A weak one that this kernel does not have has the address 0. Variables of the kernel's configuration stand in\n\
         a map of their own, `.kconfig`. A call of something that is not there, and that the object declares weak, becomes a call\n\
         of a helper that no kernel has: if it can be reached, the verifier refuses the program.\n\n\
         Where an old kernel lacks a helper and has an older one that does the same,\n\
         the call is changed without any relocation, with this reason: `{}`.\n\n",
        pseudo::KFUNC_CALL,
        pseudo::BTF_ID,
        Reason::Helper { helper: "probe_read_kernel".to_string(), by: "probe_read".to_string() }.words(None),
    );
    text += "## CO-RE\n\n\
         These stand in `.BTF.ext`, not in a relocation section. Each is a question about a type, and the answer is written into one\n\
         instruction. The examples are from `tests/fixtures/core_kinds.o`, fitted to the types of `core_target.o`.\n\n\
         | number | kind | asks for | example | in the object | there |\n|---|---|---|---|---|---|\n";
    let changes = changes("tests/fixtures/core_kinds.o", &["--btf", "tests/fixtures/core_target.o"]);
    let kinds = (0..).map_while(|number| Some((number, CoreKind::from_number(number)?)));
    for (number, kind) in kinds {
        let asks = kind.to_string();
        let fits = |core: &&Value| {
            let question = core["question"].as_str().expect("a question");
            about(kind).is_none_or(|about| about == subject(question))
                && question.starts_with(&format!("{asks} "))
        };
        // One whose answer differs shows more.
        let cores =
            || changes.iter().map(|change| &change["core"]).filter(|core| core.is_object()).filter(fits);
        let core = cores().find(|core| core["local"] != core["target"]).or_else(|| cores().next());
        let core = core.unwrap_or_else(|| panic!("no example of {kind:?}"));
        let question = core["question"].as_str().expect("a question");
        let answer = |side: &str| core[side].to_string();
        text += &format!(
            "| {number} | {kind:?} | {asks} | {question} | {} | {} |\n",
            answer("local"),
            answer("target")
        );
    }
    text
}

/// What a question is about.
#[derive(PartialEq, Eq)]
enum Subject {
    Field,
    Type,
    Value,
}

fn subject(question: &str) -> Subject {
    match (question.contains("enum "), question.contains('.')) {
        (true, _) => Subject::Value,
        (false, true) => Subject::Field,
        (false, false) => Subject::Type,
    }
}

/// Of kinds that ask in the same words, what they ask about.
fn about(kind: CoreKind) -> Option<Subject> {
    use CoreKind::{EnumExists, FieldExists, FieldSize, TypeExists, TypeSize};

    let subjects = [
        (EnumExists, Subject::Value),
        (FieldExists, Subject::Field),
        (FieldSize, Subject::Field),
        (TypeExists, Subject::Type),
        (TypeSize, Subject::Type),
    ];
    subjects.into_iter().find(|(asks, _)| *asks == kind).map(|(_, subject)| subject)
}

fn shown(example: &Example) -> String {
    let changes = changes(example.object, &[]);
    let fits = |change: &&Value| change["kind"] == example.kind && change["symbol"] == example.symbol;
    let change = changes.iter().find(fits).unwrap_or_else(|| panic!("no example of {}", example.what));
    let word = |side: &str, field: &str| change[side][field].as_str().expect("a word").to_string();
    let source = u8::from_str_radix(&word("after", "bytes")[3..4], 16).expect("a register");
    let (number, name) = example.register;
    assert_eq!(source, number, "{}", example.what);
    let side = |side| format!("{side:6}  {:47}  {}", word(side, "bytes"), word(side, "text"));
    format!(
        "### {}\n\n`{}`, source register {number} (`{name}`): {}.\n\n```text\n{}\n{}\n```\n\n",
        example.what,
        example.object,
        change["reason"].as_str().expect("a reason"),
        side("before"),
        side("after"),
    )
}

/// All changes of all programs, as `explain` tells them.
fn changes(object: &str, options: &[&str]) -> Vec<Value> {
    let explained = explain(object, &[&["--format", "json"], options].concat());
    let explained: Value = serde_json::from_str(&explained).expect("JSON");
    let programs = explained["linked"].as_array().expect("programs");
    programs.iter().flat_map(|program| program["changes"].as_array().expect("changes").clone()).collect()
}

fn explain(object: &str, options: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rxdp-load"));
    command.args(["explain", object]).args(options).current_dir(root());
    let output = command.output().expect("rxdp-load");
    assert!(output.status.success(), "{object}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}
