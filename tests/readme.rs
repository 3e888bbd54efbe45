//! What README and docs show is what comes out: their commands are run, their tables are printed from the code.
#![cfg(test)]

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use rxdp_loader::spec::section::{ROWS, SectionFlags};
use rxdp_sandbox::testing::kernel_or_skip;

/// Commands that are not run here: the test run itself.
const NOT_HERE: &[&str] = &["cargo test --workspace"];

#[test]
fn readme_commands_print_what_readme_shows() {
    let Some(sandbox) = kernel_or_skip("readme_commands_print_what_readme_shows") else {
        return;
    };
    sandbox.add_veth("eth0", "peer0").expect("an interface with the name that people use");
    let shown = console_blocks(&read("README.md"));
    assert!(shown.len() >= 5, "README shows commands");
    for (command, expected) in shown {
        if NOT_HERE.contains(&command.as_str()) {
            continue;
        }
        let printed = sandbox.near(|| run(&command));
        assert_eq!(normal(&printed), normal(&expected), "{command}");
    }
}

#[test]
fn docs_of_explain_show_what_comes_out() {
    let shown = console_blocks(&read("docs/explain.md"));
    assert!(shown.len() >= 5, "docs/explain.md shows commands");
    for (command, expected) in shown {
        let printed = run(&command);
        assert_eq!(normal(&without_version(&printed)), normal(&without_version(&expected)), "{command}");
    }
}

/// What a row of the table of questions quotes stands in the parts that it names.
#[test]
fn explain_answers_the_twenty_questions() {
    let docs = read("docs/explain.md");
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
        let command = format!("rxdp-load explain bpf-progs/tail_kern.o --section {}", parts.join(","));
        let printed = run(&command).split_whitespace().collect::<Vec<_>>().join(" ");
        let quotes = quoted(answer);
        assert!(!quotes.is_empty(), "{number}: {question}");
        for quote in quotes {
            assert!(
                printed.contains(quote),
                "{number}: {question} {quote:?} is not in the output of {command}"
            );
        }
    }
}

/// What stands between backquotes.
fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// Text without the version of the kernel that it came from, which programs are told.
fn without_version(text: &str) -> String {
    let mut parts = text.split("kern_version=0x");
    let first = parts.next().unwrap_or_default().to_string();
    parts.fold(first, |out, part| {
        out + "kern_version=N" + part.trim_start_matches(|c: char| c.is_ascii_hexdigit())
    })
}

#[test]
fn docs_of_sections_are_the_code_s_table() {
    let path = root().join("docs/sections.md");
    let printed = section_docs();
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        fs::write(&path, &printed).expect("docs/sections.md");
    }
    assert_eq!(read("docs/sections.md"), printed, "print it anew with UPDATE_EXPECT=1");
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

/// Commands behind `# ` in `console` blocks, each with the output that follows.
fn console_blocks(text: &str) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    for block in text.split("```console\n").skip(1) {
        let block = block.split("```").next().expect("the end of a block");
        for line in block.lines() {
            match (line.strip_prefix("# "), found.last_mut()) {
                (Some(command), _) => found.push((command.to_string(), String::new())),
                (None, Some((_, output))) => *output += &format!("{line}\n"),
                (None, None) => panic!("output without a command: {line}"),
            }
        }
    }
    found
}

/// Runs `rxdp-load ...` or `cargo run --release -- ...`, which is the same program.
fn run(command: &str) -> String {
    let words =
        command.strip_prefix("rxdp-load ").or_else(|| command.strip_prefix("cargo run --release -- "));
    let words =
        words.unwrap_or_else(|| panic!("README shows a command that this test cannot run: {command}"));
    let mut child = Command::new(env!("CARGO_BIN_EXE_rxdp-load"));
    let output = child.args(words.split(' ')).current_dir(root()).output().expect("rxdp-load");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command}: {errors}");
    String::from_utf8(output.stdout).expect("text")
}

/// Output without what differs from run to run: descriptors, ids, times, CPUs, and the widths of columns.
fn normal(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        let words: Vec<String> = line.split_whitespace().map(ToString::to_string).collect();
        let mut line = words.join(" ");
        if let Some((time, rest)) = line.split_once(" cpu ") {
            assert!(time.parse::<f64>().is_ok(), "a trace line begins with a time: {line}");
            line = format!("TIME cpu {rest}");
        }
        for before in ["fd ", "id ", "cpu ", "\"fd\":", "\"id\":", "\"ifindex\":"] {
            line = without_numbers_after(&line, before);
        }
        out += &format!("{line}\n");
    }
    out
}

fn without_numbers_after(line: &str, before: &str) -> String {
    let mut parts = line.split(before);
    let mut out = parts.next().unwrap_or_default().to_string();
    for part in parts {
        let rest = part.trim_start_matches(|c: char| c.is_ascii_digit());
        let number = if rest.len() < part.len() { "N" } else { "" };
        out += &format!("{before}{number}{rest}");
    }
    out
}

fn read(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}
