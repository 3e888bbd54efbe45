//! Logs of several kernels, as text: what is read from them. No kernel is asked.
#![cfg(test)]

mod common;

use rxdp_loader::plan::fault;
use rxdp_loader::verifier::{Cause, Event, Refusal, causes, explain};

/// The log of a file.
fn log(name: &str) -> String {
    std::fs::read_to_string(common::crate_dir().join("tests/logs").join(name)).unwrap()
}

fn told(name: &str, cut: bool) -> Refusal {
    explain(&log(name), cut, None).unwrap_or_else(|| panic!("{name} has a message"))
}

/// A refusal in a few words: cause, instruction, line of C, and each register with its state and what happened to it.
fn brief(refusal: &Refusal) -> Vec<String> {
    let at = refusal.at.as_ref().expect("an instruction");
    let cause = refusal.why.as_ref().map_or("-", |why| why.cause.name);
    let source = at.source.as_ref().map_or("-", |source| source.text.as_str());
    let place = format!("{cause} | {}: {} | {source}", at.slot, at.insn.as_deref().unwrap_or("-"));
    let event = |event: &Event| format!("{} {}", event.kind, event.at.slot);
    let registers = refusal.registers.iter().map(|register| {
        let history: Vec<_> = register.history.iter().map(event).collect();
        format!("{} = {} | {}", register.name, register.state.as_deref().unwrap_or("-"), history.join(", "))
    });
    [place].into_iter().chain(registers).collect()
}

#[test]
fn logs_of_old_and_new_kernels() {
    let rows: &[(&str, &[&str])] = &[
        (
            "map_null-5.4.txt",
            &["map-value-null | 7: r1 = *(u64 *)(r0 +0) | *count += 1; /* refused here */", "R0 = - | set 6"],
        ),
        // All paths, one behind the other: the way back leads from the branch to its jump, not into the other path.
        (
            "branches-5.4.txt",
            &[
                "map-value-bounds | 15: r0 = *(u8 *)(r7 +0) | return table[*count];",
                "R7 = - | changed 14, compared 9, copied 8, set 7",
                "R1 = - | compared 13, set 12",
            ],
        ),
        (
            "no_source-5.10.txt",
            &["packet-bounds | 5: r1 = *(u16 *)(r1 +12) | -", "R1 = pkt(id=0,off=0,r=13,imm=0) | set 1"],
        ),
        (
            "all_paths-5.15.txt",
            &[
                "argument-type | 3: call bpf_map_lookup_elem#1 | u64 *count = bpf_map_lookup_elem(&packets, (void *)key);",
                "R2 = inv0 | set 2",
            ],
        ),
        // Logs of Linux 6.1.192 as they are.
        (
            "map_range-6.1.txt",
            &[
                "map-value-bounds | 16: *(u8 *)(r0 +0) = r1 | seen->port[data[35]] = 1; /* refused here */",
                "R0 = map_value(off=0,ks=4,vs=64,umax=255,var_off=(0x0; 0xff)) | changed 14, compared 9, set 8",
                "R1 = scalar(umax=255,var_off=(0x0; 0xff)) | set 13",
            ],
        ),
        ("recursion-6.1.txt", &["loop-back-edge | 11: - | -"]),
        (
            "reference_leak-6.1.txt",
            &["reference-leak | 17: exit | if (*event == 1) /* refused here */", "reference 2 = - | taken 5"],
        ),
        (
            "return_range-6.1.txt",
            &["return-range | 1: exit | return -1; /* refused here */", "R0 = 4294967295 | set 0"],
        ),
        (
            "stack_index-6.1.txt",
            &[
                "stack-bounds | 14: *(u8 *)(r2 +0) = r1 | seen[data[35]] = 1; /* refused here */",
                "R2 = fp(off=-16,umax=255,var_off=(0x0; 0xff)) | changed 12, changed 11, copied 10",
                "R1 = scalar(umax=255,var_off=(0x0; 0xff)) | set 9",
            ],
        ),
        // The function that was called has a register of the same name.
        (
            "calls-6.2.txt",
            &[
                "packet-bounds | 4: r0 = *(u8 *)(r7 +0) | return data[n];",
                "R7 = pkt(off=0,r=0,imm=0) | changed 3, set 1",
                "R0 = 0 | set 2",
            ],
        ),
    ];
    for (name, expected) in rows {
        let refusal = told(name, false);
        assert_eq!(brief(&refusal), *expected, "{name}");
        assert!(refusal.whole, "{name}");
    }
}

#[test]
fn what_the_kernel_cut_off_is_not_guessed() {
    let refusal = told("end_only-6.6.txt", true);
    assert_eq!(brief(&refusal)[1..], ["R3 = scalar() | changed 7031", "R6 = 1757 | "]);
    assert!(!refusal.whole);
    assert!(refusal.to_string().contains("the kernel cut the log"), "{refusal}");
    // Before Linux 6.4 it is the end that is missing, and with it the message.
    let beginning = log("branches-5.4.txt");
    let counts = beginning.find("processed ").unwrap();
    for end in 0..counts {
        assert_eq!(explain(&beginning[..end], true, None), None, "{}", &beginning[..end]);
    }
}

#[test]
fn an_unknown_message_is_shown_as_it_is() {
    let refusal = told("unknown-6.18.txt", false);
    assert_eq!(refusal.message, ["R1 is of a type from the future"]);
    assert_eq!(refusal.why, None);
    let text = refusal.to_string();
    assert!(text.contains("future.c:7: return bpf_future(ctx);"), "{text}");
}

#[test]
fn no_log_is_too_strange() {
    for text in ["", "\n\n", "processed 1 insns\n", "0: (95) exit\n", "from 1 to 2: R1=ctx()\n"] {
        assert_eq!(explain(text, false, None), None, "{text:?}");
    }
    for text in [
        "from",
        "from x to y: R",
        "99999999999: (95) exit\nR0 !read_ok",
        "; @ :\nR9 !read_ok",
        "R0=(\nR",
        "é: (95) é",
    ] {
        let _any = explain(text, true, None);
    }
    // Every beginning and every end of every log.
    for name in ["branches-5.4.txt", "calls-6.2.txt", "no_source-5.10.txt"] {
        let log = log(name);
        for at in 0..log.len() {
            let _any = (explain(&log[at..], true, None), explain(&log[..at], true, None));
        }
    }
}

/// The tables of docs/verifier.md are the loader's.
#[test]
fn the_documentation_says_what_the_code_knows() {
    const CAUSES: &str = "| cause | the verifier writes | that means | to do |\n|---|---|---|---|\n";
    const TYPES: &str = "| cause | the kernel writes | that means | to do |\n|---|---|---|---|\n";
    const MAPS: &str =
        "| map type | key bytes | value bytes | entries | flags that it needs |\n|---|---|---|---|---|\n";
    let row = |cause: &Cause| {
        let words: Vec<_> = cause.messages.iter().map(|words| format!("`{words}`")).collect();
        let (name, words) = (cause.name, words.join("<br>").replace('|', "\\|"));
        format!("| {name} | {words} | {} | {} |\n", cause.explanation, cause.advice)
    };
    let maps = fault::table().map(|columns| format!("| {} |\n", columns.join(" | "))).collect::<String>();
    let tables = [
        (CAUSES, causes::all().map(row).collect::<String>()),
        (TYPES, causes::types().map(row).collect()),
        (MAPS, maps),
    ];
    let path = common::crate_dir().join("../docs/verifier.md");
    let mut page = std::fs::read_to_string(&path).unwrap();
    for (head, table) in tables {
        let (before, behind) = page.split_once(head).unwrap();
        // A table ends at the first empty line, and may be empty itself.
        let end = if behind.starts_with('\n') { 0 } else { behind.find("\n\n").map_or(0, |at| at + 1) };
        let (written, rest) = behind.split_at(end);
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            page = [before, head, &table, rest].concat();
            continue;
        }
        assert_eq!(written, table, "UPDATE_EXPECT=1 rewrites it");
    }
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(&path, page).unwrap();
    }
    assert!(causes::all().count() >= 40, "the most common messages are known");
}
