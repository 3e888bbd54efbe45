//! Which objects there are: one row each, with its source, the route it takes and its flags.
//!
//! Data only, and the translation of a row into command lines. Nothing is run here. The rows that are one program by many
//! compilers are in [`crate::builds`].

use std::borrow::Cow;
use std::env::consts::ARCH;

use crate::builds;
use crate::symbols::Forget;

/// One committed object.
#[derive(Clone, Debug)]
pub struct Object {
    /// Where it lies, from the top of the repository.
    pub output: Cow<'static, str>,
    /// The C file it is made of.
    pub source: &'static str,
    /// How it is made.
    pub route: Route,
    /// What the compiler is told beyond what it is told always.
    pub flags: Cow<'static, [&'static str]>,
}

/// The ways from C to an object. The number is the release of clang and of the tools beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// clang 22, with BTF but without DWARF: what one would ship.
    Ship,
    /// clang alone.
    Clang(u8),
    /// The article's Makefile: clang writes LLVM's code for the host, llc makes BPF of it.
    Llc(u8),
    /// clang alone, then something is taken out of the symbol table that clang of today always writes.
    Without(Forget, u8),
    /// As `Ship`; then zlib on every section but the names.
    Zlib,
    /// As `Ship`; then zstd on every section but the names.
    Zstd,
}

use Route::{Clang, Llc, Ship, Without, Zlib, Zstd};

const TAIL: &str = "bpf-progs/tail_kern.c";
const DISPATCHED: &str = "tests/fixtures/dispatched.c";
const XDP1_XDP2: &[&str] = &["-DSEC0=\"xdp1\"", "-DSEC1=\"xdp2\""];

/// Every committed object.
#[must_use]
pub fn objects() -> Vec<Object> {
    OBJECTS.iter().cloned().chain(builds::objects()).collect()
}

#[rustfmt::skip]
const OBJECTS: &[Object] = &[
    // The author's four programs.
    object("bpf-progs/tail_kern.o", TAIL, Ship, &[]),
    object("bpf-progs/drop_all.o", "bpf-progs/drop_all.c", Ship, &[]),
    object("bpf-progs/udp_count.o", "bpf-progs/udp_count.c", Ship, &[]),
    object("bpf-progs/rewrite.o", "bpf-progs/rewrite.c", Ship, &[]),

    // What several programs on one interface stand on, in the two versions of the protocol that are made.
    object("bpf-progs/xdp_dispatcher.o", "bpf-progs/xdp_dispatcher.c", Ship, &["-DVERSION=2"]),
    object("bpf-progs/xdp_dispatcher-3.o", "bpf-progs/xdp_dispatcher.c", Ship, &["-DVERSION=3"]),

    // Programs that the verifier refuses, each for one mistake.
    object("bpf-progs/broken/code_dead.o", "bpf-progs/broken/code_dead.c", Ship, &[]),
    object("bpf-progs/broken/context_write.o", "bpf-progs/broken/context_write.c", Ship, &[]),
    object("bpf-progs/broken/helper_argument.o", "bpf-progs/broken/helper_argument.c", Ship, &[]),
    object("bpf-progs/broken/helper_licence.o", "bpf-progs/broken/helper_licence.c", Ship, &[]),
    object("bpf-progs/broken/helper_type.o", "bpf-progs/broken/helper_type.c", Ship, &[]),
    object("bpf-progs/broken/lock_held.o", "bpf-progs/broken/lock_held.c", Ship, &[]),
    object("bpf-progs/broken/loop_endless.o", "bpf-progs/broken/loop_endless.c", Ship, &[]),
    object("bpf-progs/broken/loop_long.o", "bpf-progs/broken/loop_long.c", Ship, &[]),
    object("bpf-progs/broken/map_null.o", "bpf-progs/broken/map_null.c", Ship, &[]),
    object("bpf-progs/broken/map_range.o", "bpf-progs/broken/map_range.c", Ship, &[]),
    object("bpf-progs/broken/map_readonly.o", "bpf-progs/broken/map_readonly.c", Ship, &[]),
    object("bpf-progs/broken/memory_direct.o", "bpf-progs/broken/memory_direct.c", Ship, &[]),
    object("bpf-progs/broken/packet_off_by_one.o", "bpf-progs/broken/packet_off_by_one.c", Ship, &[]),
    object("bpf-progs/broken/packet_stale.o", "bpf-progs/broken/packet_stale.c", Ship, &[]),
    object("bpf-progs/broken/packet_unchecked.o", "bpf-progs/broken/packet_unchecked.c", Ship, &[]),
    object("bpf-progs/broken/packet_variable.o", "bpf-progs/broken/packet_variable.c", Ship, &[]),
    object("bpf-progs/broken/pointer_arithmetic.o", "bpf-progs/broken/pointer_arithmetic.c", Ship, &[]),
    object("bpf-progs/broken/pointer_leak.o", "bpf-progs/broken/pointer_leak.c", Ship, &[]),
    object("bpf-progs/broken/recursion.o", "bpf-progs/broken/recursion.c", Ship, &[]),
    object("bpf-progs/broken/reference_leak.o", "bpf-progs/broken/reference_leak.c", Ship, &[]),
    object("bpf-progs/broken/reference_used.o", "bpf-progs/broken/reference_used.c", Ship, &[]),
    object("bpf-progs/broken/register_unset.o", "bpf-progs/broken/register_unset.c", Ship, &[]),
    object("bpf-progs/broken/return_missing.o", "bpf-progs/broken/return_missing.c", Ship, &[]),
    object("bpf-progs/broken/return_range.o", "bpf-progs/broken/return_range.c", Ship, &[]),
    object("bpf-progs/broken/stack_deep.o", "bpf-progs/broken/stack_deep.c", Ship, &[]),
    object("bpf-progs/broken/stack_index.o", "bpf-progs/broken/stack_index.c", Ship, &[]),
    object("bpf-progs/broken/stack_unwritten.o", "bpf-progs/broken/stack_unwritten.c", Ship, &[]),

    // The article's object in the shapes that people have it in: with (-g) and without BTF and DWARF.
    object("tests/fixtures/tail_kern-clang22.o", TAIL, Clang(22), &[]),
    object("tests/fixtures/tail_kern-clang22-g.o", TAIL, Clang(22), &["-g"]),
    object("tests/fixtures/tail_kern-clang14.o", TAIL, Clang(14), &[]),
    object("tests/fixtures/tail_kern-clang14-g.o", TAIL, Clang(14), &["-g"]),
    object("tests/fixtures/tail_kern-llc14.o", TAIL, Llc(14), &[]),
    object("tests/fixtures/tail_kern-llc14-g.o", TAIL, Llc(14), &["-g"]),
    object("tests/fixtures/tail_kern-xdp1.o", TAIL, Ship, XDP1_XDP2),
    object("tests/fixtures/tail_kern-xdp1-clang14.o", TAIL, Clang(14), XDP1_XDP2),
    object("tests/fixtures/tail_kern-btf_maps.o", TAIL, Ship, &["-DBTF_MAPS"]),
    object("tests/fixtures/tail_kern-btf_maps-clang14.o", TAIL, Clang(14), &["-DBTF_MAPS", "-g"]),

    // One question each; the comment at the top of the source says which.
    object("tests/fixtures/attached.o", "tests/fixtures/attached.c", Ship, &[]),
    object("tests/fixtures/broken_maps.o", "tests/fixtures/broken_maps.c", Ship, &[]),
    object("tests/fixtures/broken_maps-clang22.o", "tests/fixtures/broken_maps.c", Clang(22), &[]),
    object("tests/fixtures/calls.o", "tests/fixtures/calls.c", Ship, &[]),
    object("tests/fixtures/calls-sections.o", "tests/fixtures/calls.c", Ship, &["-ffunction-sections"]),
    object("tests/fixtures/calls-clang14.o", "tests/fixtures/calls.c", Clang(14), &[]),
    object("tests/fixtures/callbacks.o", "tests/fixtures/callbacks.c", Ship, &[]),
    object("tests/fixtures/inner_maps.o", "tests/fixtures/inner_maps.c", Ship, &[]),
    object("tests/fixtures/inner_maps-none.o", "tests/fixtures/inner_maps.c", Ship, &["-DNO_INNER"]),
    object("tests/fixtures/core_kernel.o", "tests/fixtures/core_kernel.c", Ship, &[]),
    object("tests/fixtures/core_kinds.o", "tests/fixtures/core_kinds.c", Ship, &["-mcpu=v4"]),
    object("tests/fixtures/core_kinds-bigendian.o", "tests/fixtures/core_kinds.c", Ship, &["--target=bpfeb"]),
    object("tests/fixtures/core_target.o", "tests/fixtures/core_target.c", Ship, &[]),
    object("tests/fixtures/core_target-bigendian.o", "tests/fixtures/core_target.c", Ship, &["--target=bpfeb"]),
    object("tests/fixtures/core_many.o", "tests/fixtures/core_many.c", Ship, &[]),
    object("tests/fixtures/counts-1.o", "tests/fixtures/counts.c", Ship, &["-DVERSION=1"]),
    object("tests/fixtures/counts-2.o", "tests/fixtures/counts.c", Ship, &["-DVERSION=2"]),
    object("tests/fixtures/counts-3.o", "tests/fixtures/counts.c", Ship, &["-DVERSION=3"]),
    object("tests/fixtures/data.o", "tests/fixtures/data.c", Ship, &[]),
    object("tests/fixtures/data-clang14.o", "tests/fixtures/data.c", Clang(14), &[]),
    object("tests/fixtures/data-zlib.o", "tests/fixtures/data.c", Zlib, &[]),
    object("tests/fixtures/data-zstd.o", "tests/fixtures/data.c", Zstd, &[]),
    object("tests/fixtures/dispatched-alpha.o", DISPATCHED, Ship, &["-DNAME=alpha", "-DLETTER='a'", "-DPRIORITY=10"]),
    object("tests/fixtures/dispatched-beta.o", DISPATCHED, Ship, &["-DNAME=beta", "-DLETTER='b'"]),
    object("tests/fixtures/dispatched-drop.o", DISPATCHED, Ship, &["-DNAME=drop", "-DLETTER='d'", "-DVERDICT=XDP_DROP"]),
    object("tests/fixtures/dispatched-frags.o", DISPATCHED, Ship, &["-DNAME=several_buffers", "-DLETTER='f'", "-DSECTION=\"xdp.frags\""]),
    object("tests/fixtures/dispatched-gamma.o", DISPATCHED, Ship, &["-DNAME=gamma", "-DLETTER='c'"]),
    object("tests/fixtures/dispatched-shorten.o", DISPATCHED, Ship, &["-DNAME=shorten", "-DLETTER='s'", "-DSHORTEN"]),
    object("tests/fixtures/dispatched-untyped.o", DISPATCHED, Clang(22), &["-DNAME=untyped", "-DLETTER='u'"]),
    object("tests/fixtures/dispatcher-1.o", "bpf-progs/xdp_dispatcher.c", Ship, &["-DVERSION=1"]),
    object("tests/fixtures/dispatcher-4.o", "bpf-progs/xdp_dispatcher.c", Ship, &["-DVERSION=4"]),
    object("tests/fixtures/drop_all-bigendian.o", "bpf-progs/drop_all.c", Clang(22), &["--target=bpfeb"]),
    object("tests/fixtures/first_btf_maps.o", "tests/fixtures/first_btf_maps.c", Ship, &[]),
    object("tests/fixtures/first_btf_maps-clang14.o", "tests/fixtures/first_btf_maps.c", Clang(14), &["-g"]),
    object("tests/fixtures/frags.o", "tests/fixtures/frags.c", Ship, &[]),
    object("tests/fixtures/hooks.o", "tests/fixtures/hooks.c", Ship, &[]),
    object("tests/fixtures/iproute2.o", "tests/fixtures/iproute2.c", Ship, &[]),
    object("tests/fixtures/ksyms.o", "tests/fixtures/ksyms.c", Ship, &[]),
    object("tests/fixtures/large.o", "tests/fixtures/large.c", Clang(22), &["-g"]),
    object("tests/fixtures/large/large.o", "tests/fixtures/large/large.c", Ship, &[]),
    object("tests/fixtures/licensed.o", "tests/fixtures/licensed.c", Ship, &["-DSAYS=\"GPL\""]),
    object("tests/fixtures/licensed-nobody.o", "tests/fixtures/licensed.c", Ship, &[]),
    object("tests/fixtures/loops.o", "tests/fixtures/loops.c", Ship, &[]),
    object("tests/fixtures/loops-endless.o", "tests/fixtures/loops.c", Ship, &["-DENDLESS"]),
    object("tests/fixtures/map_defs-16.o", "tests/fixtures/map_defs.c", Ship, &["-DWORDS=4"]),
    object("tests/fixtures/map_defs-20.o", "tests/fixtures/map_defs.c", Ship, &["-DWORDS=5"]),
    object("tests/fixtures/map_defs-24.o", "tests/fixtures/map_defs.c", Ship, &["-DWORDS=6"]),
    object("tests/fixtures/map_defs-28.o", "tests/fixtures/map_defs.c", Ship, &["-DWORDS=7"]),
    object("tests/fixtures/map_sections.o", "tests/fixtures/map_sections.c", Ship, &[]),
    object("tests/fixtures/pinned-64.o", "tests/fixtures/pinned.c", Ship, &["-DENTRIES=64"]),
    object("tests/fixtures/pinned-100.o", "tests/fixtures/pinned.c", Ship, &["-DENTRIES=100"]),
    object("tests/fixtures/reached.o", "tests/fixtures/reached.c", Ship, &[]),
    object("tests/fixtures/redirect_targets.o", "tests/fixtures/redirect_targets.c", Ship, &[]),
    object("tests/fixtures/refused.o", "tests/fixtures/refused.c", Ship, &[]),
    object("tests/fixtures/refused_maps.o", "tests/fixtures/refused_maps.c", Ship, &[]),
    object("tests/fixtures/refused_types.o", "tests/fixtures/refused_types.c", Ship, &[]),
    object("tests/fixtures/replaced.o", "tests/fixtures/replaced.c", Ship, &[]),
    object("tests/fixtures/replaces.o", "tests/fixtures/replaces.c", Ship, &[]),
    object("tests/fixtures/several.o", "tests/fixtures/several.c", Ship, &[]),
    object("tests/fixtures/several-clang14.o", "tests/fixtures/several.c", Clang(14), &[]),
    object("tests/fixtures/socket_slots.o", "tests/fixtures/socket_slots.c", Ship, &[]),
    object("tests/fixtures/spellings.o", "tests/fixtures/spellings.c", Ship, &[]),
    object("tests/fixtures/statics.o", "tests/fixtures/statics.c", Ship, &[]),
    object("tests/fixtures/struct_ops-link.o", "tests/fixtures/struct_ops.c", Ship, &["-DLINK"]),
    object("tests/fixtures/struct_ops.o", "tests/fixtures/struct_ops.c", Ship, &[]),
    object("tests/fixtures/throws.o", "tests/fixtures/throws.c", Ship, &[]),
    object("tests/fixtures/two_readings.o", "tests/fixtures/two_readings.c", Ship, &[]),
    object("tests/fixtures/typed_maps.o", "tests/fixtures/typed_maps.c", Ship, &[]),
    object("tests/fixtures/typed_maps-bigendian.o", "tests/fixtures/typed_maps.c", Ship, &["--target=bpfeb"]),
    object("tests/fixtures/types.o", "tests/fixtures/types.c", Ship, &[]),
    object("tests/fixtures/unknown.o", "tests/fixtures/unknown.c", Ship, &[]),
    object("tests/fixtures/values.o", "tests/fixtures/values.c", Ship, &[]),
    object("tests/fixtures/version.o", "tests/fixtures/version.c", Ship, &[]),

    // Objects in dialects of loaders that knew what stands nowhere in them.
    object("tests/fixtures/wild/only_text.o", "tests/fixtures/wild/only_text.c", Ship, &[]),
    object("tests/fixtures/wild/open_inner.o", "tests/fixtures/wild/open_inner.c", Ship, &[]),
    object("tests/fixtures/wild/open_inner-clang14.o", "tests/fixtures/wild/open_inner.c", Clang(14), &[]),
    object("tests/fixtures/wild/overridden.o", "tests/fixtures/wild/overridden.c", Ship, &[]),
    object("tests/fixtures/wild/undefined.o", "tests/fixtures/wild/undefined.c", Ship, &[]),
    object("tests/fixtures/wild/untyped.o", "tests/fixtures/wild/untyped.c", Ship, &[]),
    object("tests/fixtures/wild/untyped-clang14.o", "tests/fixtures/wild/untyped.c", Clang(14), &[]),

    // Files that are joined; they mean little alone. The last ones do not fit main.o.
    object("tests/fixtures/join/main.o", "tests/fixtures/join/main.c", Ship, &[]),
    object("tests/fixtures/join/lib.o", "tests/fixtures/join/lib.c", Ship, &[]),
    object("tests/fixtures/join/main-clang14.o", "tests/fixtures/join/main.c", Clang(14), &["-DLEGACY_MAP"]),
    object("tests/fixtures/join/lib-clang14.o", "tests/fixtures/join/lib.c", Clang(14), &["-DLEGACY_MAP"]),
    object("tests/fixtures/join/lib-type.o", "tests/fixtures/join/lib.c", Ship, &["-DLIMIT_TYPE=u64"]),
    object("tests/fixtures/join/lib-map.o", "tests/fixtures/join/lib.c", Ship, &["-DENTRIES=8"]),
    object("tests/fixtures/join/lib-license.o", "tests/fixtures/join/lib.c", Ship, &["-DLICENSE_TEXT=\"MIT\""]),
];

const fn object(
    output: &'static str,
    source: &'static str,
    route: Route,
    flags: &'static [&'static str],
) -> Object {
    Object { output: Cow::Borrowed(output), source, route, flags: Cow::Borrowed(flags) }
}

const WARNINGS: &[&str] = &["-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter"];

impl Object {
    /// The command lines that make the object, to be run in the top folder of a tree with the sources: each
    /// reads what the one before wrote, and the last one writes the object.
    #[must_use]
    pub fn stages(&self) -> Vec<Vec<String>> {
        match self.route {
            Ship => self.ship(),
            Clang(release) | Without(_, release) => vec![self.clang(release, "bpf", &[])],
            Zlib | Zstd => {
                let format = if self.route == Zlib { "zlib" } else { "zstd" };
                // Tables of symbols and of names cannot be compressed.
                let sections = ["xdp*", ".rel*", ".data", ".rodata*", "license", ".BTF*"];
                let compress = sections.map(|glob| format!("--compress-sections={glob}={format}"));
                let mut stages = self.ship();
                stages.push([words(&["llvm-objcopy-22"]), compress.to_vec(), words(&["-", "-"])].concat());
                stages
            }
            // The host is named: the object must not depend on who builds it.
            Llc(release) => vec![
                self.clang(release, "x86_64-linux-gnu", &["-emit-llvm"]),
                words(&[&format!("llc-{release}"), "-march=bpf", "-filetype=obj", "-o", "-", "-"]),
            ],
        }
    }

    /// What is taken out of the symbol table after the last of the [`stages`](Self::stages).
    #[must_use]
    pub const fn forget(&self) -> Option<Forget> {
        match self.route {
            Without(what, _) => Some(what),
            Ship | Clang(_) | Llc(_) | Zlib | Zstd => None,
        }
    }

    fn ship(&self) -> Vec<Vec<String>> {
        vec![self.clang(22, "bpf", &["-g"]), words(&["llvm-strip-22", "-g", "-o", "-", "-"])]
    }

    fn clang(&self, release: u8, target: &str, flags: &[&str]) -> Vec<String> {
        // <linux/types.h> includes <asm/types.h>, which Debian keeps per machine; it says the same on all.
        let machine = format!("/usr/include/{ARCH}-linux-gnu");
        [
            words(&[&format!("clang-{release}"), &format!("--target={target}"), "-O2"]),
            words(WARNINGS),
            words(&["-Ibpf-progs", "-isystem", &machine]),
            // No path of the building machine in the object; sources are named from the top of the repository.
            words(&[
                &format!("-ffile-prefix-map={machine}=include"),
                "-ffile-prefix-map=/usr/include=include",
                "-fdebug-compilation-dir=.",
            ]),
            words(flags),
            words(&self.flags),
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
        for stage in objects().iter().flat_map(Object::stages) {
            assert!(toolchain::TOOLS.iter().any(|tool| tool.program == stage[0]), "{}", stage[0]);
        }
    }

    #[test]
    fn no_row_is_written_twice() {
        let twice = |rows: &[Object], same: fn(&Object, &Object) -> bool| {
            let twin = |(at, row): (usize, &Object)| rows[..at].iter().any(|other| same(row, other));
            rows.iter().enumerate().find(|(at, row)| twin((*at, row))).map(|(_, row)| row.output.to_string())
        };
        let made_alike =
            |a: &Object, b: &Object| (a.source, a.route, &a.flags) == (b.source, b.route, &b.flags);
        assert_eq!(twice(OBJECTS, made_alike), None);
        assert_eq!(twice(&builds::objects(), made_alike), None);
        assert_eq!(twice(&objects(), |a, b| a.output == b.output), None);
    }
}
