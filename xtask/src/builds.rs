//! One program by many compilers: a table of programs, a table of compilers, and which of the one goes through which
//! of the other.
//!
//! `tests/fixtures/builds/ROUTE/PROGRAM.o`; what each program does is written in its source, and
//! `loader/tests/builds.rs` runs all of them.

use std::borrow::Cow;

use crate::manifest::{Object, Route};
use crate::symbols::Forget;

/// Where the objects lie, one folder a route.
pub const FOLDER: &str = "tests/fixtures/builds";

/// The releases of clang that Debian has.
const RELEASES: [u8; 6] = [13, 14, 15, 16, 19, 22];

/// The oldest and the newest: what is taken out of a symbol table is the same in those between.
const ENDS: [u8; 2] = [13, 22];

struct Program {
    name: &'static str,
    source: &'static str,
    flags: &'static [&'static str],
    through: Through,
}

/// Whether a program is compiled with `-g`: objects with debug information are six times as large, so those whose code
/// asks nothing new of the types are not.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Through {
    Plain,
    Both,
    /// Means something only with BTF.
    Debug,
}

use Through::{Both, Debug, Plain};

#[rustfmt::skip]
const PROGRAMS: &[Program] = &[
    // The author's four.
    program("tail_kern", "bpf-progs/tail_kern.c", &[], Both),
    program("drop_all", "bpf-progs/drop_all.c", &[], Plain),
    program("udp_count", "bpf-progs/udp_count.c", &[], Plain),
    program("rewrite", "bpf-progs/rewrite.c", &[], Plain),

    // Functions and variables.
    program("calls", "tests/fixtures/calls.c", &[], Both),
    program("callbacks", "tests/fixtures/callbacks.c", &[], Debug),
    program("data", "tests/fixtures/data.c", &[], Both),
    program("several", "tests/fixtures/several.c", &[], Plain),
    program("statics", "tests/fixtures/statics.c", &[], Both),

    // Every way to define a map.
    program("map_defs-16", "tests/fixtures/map_defs.c", &["-DWORDS=4"], Plain),
    program("map_defs-20", "tests/fixtures/map_defs.c", &["-DWORDS=5"], Plain),
    program("map_defs-24", "tests/fixtures/map_defs.c", &["-DWORDS=6"], Plain),
    program("map_defs-28", "tests/fixtures/map_defs.c", &["-DWORDS=7"], Plain),
    program("iproute2", "tests/fixtures/iproute2.c", &[], Both),
    program("id_maps", "tests/fixtures/id_maps.c", &[], Plain),
    program("inner_by_index", "tests/fixtures/inner_by_index.c", &[], Plain),
    program("inner_by_id", "tests/fixtures/inner_by_id.c", &[], Plain),
    program("socket_slots", "tests/fixtures/socket_slots.c", &[], Plain),
    program("inner_maps", "tests/fixtures/inner_maps.c", &[], Debug),
    program("values", "tests/fixtures/values.c", &[], Debug),
];

const fn program(
    name: &'static str,
    source: &'static str,
    flags: &'static [&'static str],
    through: Through,
) -> Program {
    Program { name, source, flags, through }
}

/// All of them.
pub(crate) fn objects() -> Vec<Object> {
    let with = |release| {
        let clang = format!("clang{release}");
        [
            (format!("llc{release}"), Route::Llc(release), false),
            (format!("llc{release}-g"), Route::Llc(release), true),
            (format!("{clang}-g"), Route::Clang(release), true),
            (clang, Route::Clang(release), false),
        ]
    };
    let without = |release| {
        [("notype", Forget::FunctionTypes), ("bare", Forget::TypesAndSizes)]
            .map(|(word, what)| (format!("clang{release}-{word}"), Route::Without(what, release), false))
    };
    let routes = RELEASES.into_iter().flat_map(with).chain(ENDS.into_iter().flat_map(without));
    routes.flat_map(|(folder, route, debug)| through(&folder, route, debug)).collect()
}

/// The programs that take this route.
fn through(folder: &str, route: Route, debug: bool) -> Vec<Object> {
    let other = if debug { Plain } else { Debug };
    let programs = PROGRAMS.iter().filter(|program| program.through != other);
    let object = |program: &Program| Object {
        output: Cow::Owned(format!("{FOLDER}/{folder}/{}.o", program.name)),
        source: program.source,
        route,
        flags: program.flags.iter().copied().chain(debug.then_some("-g")).collect(),
    };
    programs.map(object).collect()
}
