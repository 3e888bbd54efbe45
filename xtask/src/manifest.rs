//! Which objects there are: one row each, with its source, the route it takes and its flags.
//!
//! Data only, and the translation of a row into command lines. Nothing is run here.

use std::env::consts::ARCH;

/// One committed object.
#[derive(Debug)]
pub struct Object {
    /// Where it lies, from the top of the repository.
    pub output: &'static str,
    /// The C file it is made of.
    pub source: &'static str,
    /// How it is made.
    pub route: Route,
    /// What the compiler is told beyond what it is told always.
    pub flags: &'static [&'static str],
}

/// The ways from C to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// clang 22, with BTF but without DWARF: what one would ship.
    Ship,
    /// clang 22 alone.
    Clang22,
    /// clang 14 alone.
    Clang14,
    /// The article's Makefile: clang 14 writes LLVM's code for the host, llc 14 makes BPF of it.
    Llc14,
    /// As `Ship`; then zlib on every section but the names.
    Zlib,
    /// As `Ship`; then zstd on every section but the names.
    Zstd,
}

use Route::{Clang14, Clang22, Llc14, Ship, Zlib, Zstd};

const TAIL: &str = "bpf-progs/tail_kern.c";
const XDP1_XDP2: &[&str] = &["-DSEC0=\"xdp1\"", "-DSEC1=\"xdp2\""];

/// Every committed object.
#[rustfmt::skip]
pub const OBJECTS: &[Object] = &[
    // The author's four programs.
    object("bpf-progs/tail_kern.o", TAIL, Ship, &[]),
    object("bpf-progs/drop_all.o", "bpf-progs/drop_all.c", Ship, &[]),
    object("bpf-progs/udp_count.o", "bpf-progs/udp_count.c", Ship, &[]),
    object("bpf-progs/rewrite.o", "bpf-progs/rewrite.c", Ship, &[]),

    // The article's object in the shapes that people have it in: with (-g) and without BTF and DWARF.
    object("tests/fixtures/tail_kern-clang22.o", TAIL, Clang22, &[]),
    object("tests/fixtures/tail_kern-clang22-g.o", TAIL, Clang22, &["-g"]),
    object("tests/fixtures/tail_kern-clang14.o", TAIL, Clang14, &[]),
    object("tests/fixtures/tail_kern-clang14-g.o", TAIL, Clang14, &["-g"]),
    object("tests/fixtures/tail_kern-llc14.o", TAIL, Llc14, &[]),
    object("tests/fixtures/tail_kern-llc14-g.o", TAIL, Llc14, &["-g"]),
    object("tests/fixtures/tail_kern-xdp1.o", TAIL, Ship, XDP1_XDP2),
    object("tests/fixtures/tail_kern-xdp1-clang14.o", TAIL, Clang14, XDP1_XDP2),
    object("tests/fixtures/tail_kern-btf_maps.o", TAIL, Ship, &["-DBTF_MAPS"]),
    object("tests/fixtures/tail_kern-btf_maps-clang14.o", TAIL, Clang14, &["-DBTF_MAPS", "-g"]),

    // One question each; the comment at the top of the source says which.
    object("tests/fixtures/calls.o", "tests/fixtures/calls.c", Ship, &[]),
    object("tests/fixtures/calls-sections.o", "tests/fixtures/calls.c", Ship, &["-ffunction-sections"]),
    object("tests/fixtures/calls-clang14.o", "tests/fixtures/calls.c", Clang14, &[]),
    object("tests/fixtures/callbacks.o", "tests/fixtures/callbacks.c", Ship, &[]),
    object("tests/fixtures/inner_maps.o", "tests/fixtures/inner_maps.c", Ship, &[]),
    object("tests/fixtures/inner_maps-none.o", "tests/fixtures/inner_maps.c", Ship, &["-DNO_INNER"]),
    object("tests/fixtures/data.o", "tests/fixtures/data.c", Ship, &[]),
    object("tests/fixtures/data-clang14.o", "tests/fixtures/data.c", Clang14, &[]),
    object("tests/fixtures/data-zlib.o", "tests/fixtures/data.c", Zlib, &[]),
    object("tests/fixtures/data-zstd.o", "tests/fixtures/data.c", Zstd, &[]),
    object("tests/fixtures/drop_all-bigendian.o", "bpf-progs/drop_all.c", Clang22, &["--target=bpfeb"]),
    object("tests/fixtures/frags.o", "tests/fixtures/frags.c", Ship, &[]),
    object("tests/fixtures/iproute2.o", "tests/fixtures/iproute2.c", Ship, &[]),
    object("tests/fixtures/map_defs-16.o", "tests/fixtures/map_defs.c", Ship, &["-DWORDS=4"]),
    object("tests/fixtures/map_defs-20.o", "tests/fixtures/map_defs.c", Ship, &["-DWORDS=5"]),
    object("tests/fixtures/map_defs-24.o", "tests/fixtures/map_defs.c", Ship, &["-DWORDS=6"]),
    object("tests/fixtures/map_defs-28.o", "tests/fixtures/map_defs.c", Ship, &["-DWORDS=7"]),
    object("tests/fixtures/pinned-64.o", "tests/fixtures/pinned.c", Ship, &["-DENTRIES=64"]),
    object("tests/fixtures/pinned-100.o", "tests/fixtures/pinned.c", Ship, &["-DENTRIES=100"]),
    object("tests/fixtures/redirect_targets.o", "tests/fixtures/redirect_targets.c", Ship, &[]),
    object("tests/fixtures/refused.o", "tests/fixtures/refused.c", Ship, &[]),
    object("tests/fixtures/several.o", "tests/fixtures/several.c", Ship, &[]),
    object("tests/fixtures/several-clang14.o", "tests/fixtures/several.c", Clang14, &[]),
    object("tests/fixtures/socket_slots.o", "tests/fixtures/socket_slots.c", Ship, &[]),
    object("tests/fixtures/spellings.o", "tests/fixtures/spellings.c", Ship, &[]),
    object("tests/fixtures/statics.o", "tests/fixtures/statics.c", Ship, &[]),
    object("tests/fixtures/two_readings.o", "tests/fixtures/two_readings.c", Ship, &[]),
    object("tests/fixtures/unknown.o", "tests/fixtures/unknown.c", Ship, &[]),
    object("tests/fixtures/values.o", "tests/fixtures/values.c", Ship, &[]),
    object("tests/fixtures/version.o", "tests/fixtures/version.c", Ship, &[]),
];

const fn object(
    output: &'static str,
    source: &'static str,
    route: Route,
    flags: &'static [&'static str],
) -> Object {
    Object { output, source, route, flags }
}

const WARNINGS: &[&str] = &["-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter"];

impl Object {
    /// The command lines that make the object, to be run in the top folder of a tree with the sources: each
    /// reads what the one before wrote, and the last one writes the object.
    #[must_use]
    pub fn stages(&self) -> Vec<Vec<String>> {
        match self.route {
            Ship => {
                vec![self.clang("clang-22", "bpf", &["-g"]), words(&["llvm-strip-22", "-g", "-o", "-", "-"])]
            }
            Zlib | Zstd => {
                let format = if self.route == Zlib { "zlib" } else { "zstd" };
                // Tables of symbols and of names cannot be compressed.
                let sections = ["xdp*", ".rel*", ".data", ".rodata*", "license", ".BTF*"];
                let compress = sections.map(|glob| format!("--compress-sections={glob}={format}"));
                let mut stages = Self { route: Ship, ..*self }.stages();
                stages.push([words(&["llvm-objcopy-22"]), compress.to_vec(), words(&["-", "-"])].concat());
                stages
            }
            Clang22 => vec![self.clang("clang-22", "bpf", &[])],
            Clang14 => vec![self.clang("clang-14", "bpf", &[])],
            // The host is named: the object must not depend on who builds it.
            Llc14 => vec![
                self.clang("clang-14", "x86_64-linux-gnu", &["-emit-llvm"]),
                words(&["llc-14", "-march=bpf", "-filetype=obj", "-o", "-", "-"]),
            ],
        }
    }

    fn clang(&self, program: &str, target: &str, flags: &[&str]) -> Vec<String> {
        // <linux/types.h> includes <asm/types.h>, which Debian keeps per machine; it says the same on all.
        let machine = format!("/usr/include/{ARCH}-linux-gnu");
        [
            words(&[program, &format!("--target={target}"), "-O2"]),
            words(WARNINGS),
            words(&["-Ibpf-progs", "-isystem", &machine]),
            // No path of the building machine in the object; sources are named from the top of the repository.
            words(&[
                &format!("-ffile-prefix-map={machine}=include"),
                "-ffile-prefix-map=/usr/include=include",
                "-fdebug-compilation-dir=.",
            ]),
            words(flags),
            words(self.flags),
            words(&["-c", self.source, "-o", "-"]),
        ]
        .concat()
    }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(ToString::to_string).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::toolchain;

    #[test]
    fn every_program_called_is_a_pinned_tool() {
        for object in OBJECTS {
            for stage in object.stages() {
                assert!(toolchain::TOOLS.iter().any(|tool| tool.program == stage[0]), "{}", stage[0]);
            }
        }
    }

    #[test]
    fn no_row_is_written_twice() {
        for (index, object) in OBJECTS.iter().enumerate() {
            let same = |other: &&Object| {
                (other.source, other.route, other.flags) == (object.source, object.route, object.flags)
                    || other.output == object.output
            };
            assert_eq!(OBJECTS[..index].iter().find(same).map(|twin| twin.output), None, "{}", object.output);
        }
    }
}
