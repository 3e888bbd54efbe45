//! The file, programs, and the plan.

use super::page::{Page, Piece, bad, code, dim, name, plain, together};
use crate::model::{Argument, Call, File, Plan, Program, Section, Symbol};

pub(super) fn file(page: &mut Page, file: &File) {
    for field in &file.header {
        let row = format!("{:>4}  {:<24}{:<18}", field.offset, field.bytes, field.name);
        page.line(2, 50, &[dim(row), plain(&field.meaning)]);
    }
    if let Some(license) = &file.license {
        page.line(2, 4, &[plain(format!("licence: {license:?}"))]);
    }
    page.blank();
    page.line(2, 4, &[dim("  section                 file at    bytes  flags        what it is")]);
    for section in &file.sections {
        self::section(page, section);
    }
    if file.symbols.is_empty() {
        return;
    }
    page.blank();
    page.line(2, 4, &[dim("  symbol                  section          at  bytes  what it names")]);
    for symbol in &file.symbols {
        self::symbol(page, symbol);
    }
    let others = file.other_symbols;
    page.line(2, 4, &[dim(format!("and {others} more: labels, sections, the source file's name"))]);
}

fn section(page: &mut Page, section: &Section) {
    let Section { index, offset, size, relocations, .. } = section;
    let shown = format!("{index:>3} {:<20}", section.name);
    let flags = if section.flags.is_empty() { "-".to_string() } else { section.flags.join(",") };
    let row = format!(" {offset:>8} {size:>8}  {flags:<11}  ");
    let relocs = match relocations {
        0 => String::new(),
        1 => ", 1 relocation".to_string(),
        many => format!(", {many} relocations"),
    };
    page.line(2, 56, &[name(shown), plain(row), plain(format!("{}{relocs}", section.role))]);
    page.line(26, 28, &[dim(&section.why)]);
}

fn symbol(page: &mut Page, symbol: &Symbol) {
    let Symbol { index, value, size, .. } = symbol;
    let shown = format!("{index:>3} {:<20}", symbol.name);
    let section = symbol.section.as_deref().unwrap_or("nowhere");
    let row = format!(" {section:<12} {value:>6} {size:>6}  {:<26}", symbol.names);
    page.line(2, 30, &[name(shown), plain(row), dim(format!("{} {}", symbol.binding, symbol.kind))]);
}

pub(super) fn programs(page: &mut Page, programs: &[Program]) {
    if programs.is_empty() {
        page.line(2, 4, &[plain("none")]);
    }
    for (number, program) in programs.iter().enumerate() {
        if number > 0 {
            page.blank();
        }
        self::program(page, program);
    }
}

fn program(page: &mut Page, program: &Program) {
    let title = format!("prog_fd[{}]  ", program.index);
    let place = format!("  SEC({:?}), byte {}, {} slots", program.section, program.offset, program.slots);
    page.line(2, 6, &[plain(title), name(&program.name), plain(place)]);
    fact(page, "index", &program.order);
    fact(page, "rule", &program.rule.why);
    let said = match (&program.ty, &program.attach_type) {
        (Some(ty), Some(attach)) => format!("type {ty}, attach type {attach}"),
        (Some(ty), None) => format!("type {ty}, no attach type"),
        (None, _) => "no type".to_string(),
    };
    let flags =
        if program.flags.is_empty() { String::new() } else { format!(" ({})", program.flags.join(", ")) };
    fact(page, "section says", &format!("{said}{flags}"));
    if let Some(target) = &program.target {
        fact(
            page,
            "behind the /",
            &format!("{target:?}: what it attaches to, or a label where its type attaches to none"),
        );
    }
    if let Some(slot) = &program.slot {
        fact(page, "asks for", slot);
    }
    if let Some(load) = &program.load {
        let attach = load
            .attach_type
            .as_ref()
            .map(|attach| format!(", expected_attach_type {} ({attach})", load.attach_number));
        let hook = load.attach_btf_id.map(|id| format!(", attach_btf_id {id}")).unwrap_or_default();
        let flags =
            if load.flags.is_empty() { String::new() } else { format!(", {}", load.flags.join(" | ")) };
        let words = format!(
            "prog_type {} ({}){}{hook}{flags}, as {:?}; said by {}",
            load.type_number,
            load.ty,
            attach.unwrap_or_default(),
            load.kernel_name,
            load.from
        );
        fact(page, "loaded as", &words);
    }
    if let Some(problem) = &program.problem {
        page.line(6, 21, &[bad(format!("{:<15}", "not loaded")), plain(problem)]);
    }
}

/// A word and what is to be said about it.
pub(super) fn fact(page: &mut Page, word: &str, text: &str) {
    page.line(6, 21, &[dim(format!("{word:<15}")), plain(text)]);
}

pub(super) fn plan(page: &mut Page, plan: &Plan) {
    if let Some(inference) = &plan.inference {
        page.line(2, 4, &[plain(inference)]);
    }
    calls(page, &plan.calls);
    for refused in &plan.refused {
        page.line(2, 6, &[bad("not loaded: "), plain(refused)]);
    }
    if plan.calls.is_empty() && plan.refused.is_empty() {
        page.line(2, 4, &[plain("no calls")]);
    }
}

/// Calls with their arguments. Why a command is called is said at its first call.
pub(super) fn calls(page: &mut Page, calls: &[Call]) {
    let mut explained: Vec<&str> = Vec::new();
    for call in calls {
        let title = format!("{:>3}  {:<24}", call.number, call.command);
        let mut pieces: Vec<Piece> = vec![code(title), name(&call.about)];
        pieces.extend(call.reply.as_ref().map(|reply| plain(format!("  -> {reply}"))));
        page.line(2, 31, &pieces);
        if !explained.contains(&call.why.as_str()) {
            explained.push(&call.why);
            page.line(7, 9, &[dim(&call.why)]);
        }
        if !call.arguments.is_empty() {
            page.line(7, 9, &[plain(arguments(&call.arguments))]);
        }
        if !call.answer.is_empty() {
            page.line(7, 9, &[plain(format!("-> {}", arguments(&call.answer)))]);
        }
    }
}

fn arguments(all: &[Argument]) -> String {
    let word = |argument: &Argument| format!("{}={}", argument.name, together(&argument.value));
    all.iter().map(word).collect::<Vec<_>>().join("  ")
}
