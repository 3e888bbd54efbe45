//! The arguments of bpf(2), one structure a command, laid out as the kernel reads them.
//!
//! The kernel takes any size: bytes it does not know must be zero, bytes it is not given count as zero. So each
//! structure ends with the last field that this crate sets.
//!
//! Source: `union bpf_attr`, `include/uapi/linux/bpf.h`. Layouts are checked below, by the compiler.
#![expect(unsafe_code, reason = "promises about layouts")]

use std::mem::{offset_of, size_of};

/// Arguments of one command of bpf(2).
///
/// # Safety
/// `repr(C)`, without padding, laid out as the command's part of `union bpf_attr`; `COMMAND` is that command.
pub(super) unsafe trait Attr {
    /// Source: `enum bpf_cmd`.
    const COMMAND: libc::c_int;
}

macro_rules! attr {
    ($(#[$doc:meta])* $name:ident = $command:literal, $size:literal { $($field:ident: $ty:ty,)* } $($at:ident @ $offset:literal)*) => {
        $(#[$doc])*
        #[repr(C)]
        #[derive(Default)]
        pub(super) struct $name {
            $(pub(super) $field: $ty,)*
        }

        const _: () = assert!(size_of::<$name>() == $size);
        const _: () = assert!($size == 0 $(+ size_of::<$ty>())*, "padding");
        $(const _: () = assert!(offset_of!($name, $at) == $offset);)*

        // SAFETY: repr(C); size, absence of padding and the offsets that matter are asserted above.
        unsafe impl Attr for $name {
            const COMMAND: libc::c_int = $command;
        }
    };
}

attr! {
    /// `BPF_MAP_CREATE`.
    MapCreate = 0, 80 {
        map_type: u32, key_size: u32, value_size: u32, max_entries: u32, map_flags: u32, inner_map_fd: u32,
        numa_node: u32, map_name: [u8; 16], map_ifindex: u32, btf_fd: u32, btf_key_type_id: u32,
        btf_value_type_id: u32, btf_vmlinux_value_type_id: u32, map_extra: u64, value_type_btf_obj_fd: u32,
        map_token_fd: u32,
    }
    map_name @ 28 btf_fd @ 48 map_extra @ 64
}

attr! {
    /// `BPF_MAP_LOOKUP_ELEM`.
    MapLookup = 1, 32 { map_fd: u32, reserved: u32, key: u64, value: u64, flags: u64, }
    key @ 8 value @ 16 flags @ 24
}

attr! {
    /// `BPF_MAP_UPDATE_ELEM`.
    MapUpdate = 2, 32 { map_fd: u32, reserved: u32, key: u64, value: u64, flags: u64, }
    key @ 8 value @ 16 flags @ 24
}

attr! {
    /// `BPF_MAP_DELETE_ELEM`.
    MapDelete = 3, 16 { map_fd: u32, reserved: u32, key: u64, }
    key @ 8
}

attr! {
    /// `BPF_MAP_GET_NEXT_KEY`.
    MapNextKey = 4, 24 { map_fd: u32, reserved: u32, key: u64, next_key: u64, }
    key @ 8 next_key @ 16
}

attr! {
    /// `BPF_MAP_FREEZE`.
    MapFreeze = 22, 4 { map_fd: u32, }
}

attr! {
    /// `BPF_PROG_LOAD`.
    ProgLoad = 5, 144 {
        prog_type: u32, insn_cnt: u32, insns: u64, license: u64, log_level: u32, log_size: u32, log_buf: u64,
        kern_version: u32, prog_flags: u32, prog_name: [u8; 16], prog_ifindex: u32, expected_attach_type: u32,
        prog_btf_fd: u32, func_info_rec_size: u32, func_info: u64, func_info_cnt: u32, line_info_rec_size: u32,
        line_info: u64, line_info_cnt: u32, attach_btf_id: u32, attach_btf_obj_fd: u32, core_relo_cnt: u32,
        fd_array: u64, core_relos: u64, core_relo_rec_size: u32, log_true_size: u32,
    }
    log_buf @ 32 prog_name @ 48 expected_attach_type @ 68 func_info @ 80 line_info @ 96 fd_array @ 120 log_true_size @ 140
}

attr! {
    /// `BPF_PROG_TEST_RUN`.
    TestRun = 10, 64 {
        prog_fd: u32, retval: u32, data_size_in: u32, data_size_out: u32, data_in: u64, data_out: u64, repeat: u32,
        duration: u32, ctx_size_in: u32, ctx_size_out: u32, ctx_in: u64, ctx_out: u64,
    }
    data_in @ 16 data_out @ 24 duration @ 36 ctx_size_in @ 40 ctx_out @ 56
}

attr! {
    /// `BPF_BTF_LOAD`.
    BtfLoad = 18, 32 {
        btf: u64, btf_log_buf: u64, btf_size: u32, btf_log_size: u32, btf_log_level: u32, btf_log_true_size: u32,
    }
    btf_size @ 16
}

attr! {
    /// `BPF_MAP_LOOKUP_BATCH`.
    MapBatch = 24, 56 {
        in_batch: u64, out_batch: u64, keys: u64, values: u64, count: u32, map_fd: u32, elem_flags: u64, flags: u64,
    }
    keys @ 16 count @ 32 elem_flags @ 40
}

attr! {
    /// `BPF_ENABLE_STATS`.
    EnableStats = 32, 4 { what: u32, }
}

attr! {
    /// `BPF_PROG_GET_NEXT_ID`.
    ProgNextId = 11, 12 { start_id: u32, next_id: u32, open_flags: u32, }
    next_id @ 4
}

attr! {
    /// `BPF_MAP_GET_NEXT_ID`.
    MapNextId = 12, 12 { start_id: u32, next_id: u32, open_flags: u32, }
    next_id @ 4
}

attr! {
    /// `BPF_OBJ_GET_INFO_BY_FD`.
    Info = 15, 16 { bpf_fd: u32, info_len: u32, info: u64, }
    info @ 8
}

attr! {
    /// `BPF_PROG_GET_FD_BY_ID`.
    ProgById = 13, 12 { id: u32, next_id: u32, open_flags: u32, }
}

attr! {
    /// `BPF_MAP_GET_FD_BY_ID`.
    MapById = 14, 12 { id: u32, next_id: u32, open_flags: u32, }
}

attr! {
    /// `BPF_BTF_GET_FD_BY_ID`.
    BtfById = 19, 12 { id: u32, next_id: u32, open_flags: u32, }
}

attr! {
    /// `BPF_BTF_GET_NEXT_ID`.
    BtfNextId = 23, 12 { start_id: u32, next_id: u32, open_flags: u32, }
    next_id @ 4
}

attr! {
    /// `BPF_LINK_CREATE`: the part that all links have. `target_fd` is also the number of an interface.
    LinkCreate = 28, 16 { object_fd: u32, target_fd: u32, attach_type: u32, flags: u32, }
    attach_type @ 8
}

attr! {
    /// `BPF_LINK_CREATE` of a function of a program (`target_btf_id`).
    LinkFunction = 28, 20 { object_fd: u32, target_fd: u32, attach_type: u32, flags: u32, function: u32, }
    function @ 16
}

attr! {
    /// `BPF_LINK_CREATE` of functions of the kernel (`kprobe_multi`).
    LinkFunctions = 28, 48 {
        object_fd: u32, target_fd: u32, attach_type: u32, flags: u32, how: u32, count: u32, names: u64, addresses: u64,
        cookies: u64,
    }
    how @ 16 names @ 24
}

attr! {
    /// `BPF_LINK_CREATE` of places in an executable (`uprobe_multi`).
    LinkPlaces = 28, 64 {
        object_fd: u32, target_fd: u32, attach_type: u32, flags: u32, path: u64, offsets: u64, counters: u64,
        cookies: u64, count: u32, how: u32, process: u32, unused: u32,
    }
    path @ 16 count @ 48 process @ 56
}

attr! {
    /// `BPF_LINK_CREATE` of a hook of netfilter (`netfilter`).
    LinkNetfilter = 28, 32 {
        object_fd: u32, target_fd: u32, attach_type: u32, flags: u32, family: u32, hook: u32, priority: i32, how: u32,
    }
    family @ 16 priority @ 24
}

attr! {
    /// `BPF_LINK_CREATE` of an iterator (`iter_info`).
    LinkElements = 28, 32 {
        object_fd: u32, target_fd: u32, attach_type: u32, flags: u32, elements: u64, elements_len: u32, unused: u32,
    }
    elements @ 16 elements_len @ 24
}

attr! {
    /// `BPF_RAW_TRACEPOINT_OPEN`, up to where it was before Linux 6.10.
    RawTracepoint = 17, 16 { name: u64, prog_fd: u32, unused: u32, }
    prog_fd @ 8
}

attr! {
    /// `BPF_ITER_CREATE`.
    IterCreate = 33, 8 { link_fd: u32, flags: u32, }
}

attr! {
    /// `BPF_LINK_DETACH`.
    LinkDetach = 34, 4 { link_fd: u32, }
}

attr! {
    /// `BPF_OBJ_PIN`.
    ObjPin = 6, 16 { pathname: u64, bpf_fd: u32, file_flags: u32, }
    bpf_fd @ 8
}

attr! {
    /// `BPF_OBJ_GET`.
    ObjGet = 7, 16 { pathname: u64, bpf_fd: u32, file_flags: u32, }
    file_flags @ 12
}

/// A structure that `BPF_OBJ_GET_INFO_BY_FD` fills in.
///
/// # Safety
/// `repr(C)`, without padding, valid for any bytes.
pub(super) unsafe trait InfoStruct: Default {}

/// Source: `struct bpf_btf_info`.
#[repr(C)]
#[derive(Default)]
pub(super) struct BtfInfo {
    pub(super) btf: u64,
    pub(super) btf_size: u32,
    pub(super) id: u32,
    pub(super) name: u64,
    pub(super) name_len: u32,
    pub(super) kernel_btf: u32,
}
const _: () = assert!(offset_of!(BtfInfo, name) == 16 && offset_of!(BtfInfo, kernel_btf) == 28);
const _: () = assert!(size_of::<BtfInfo>() == 32);
// SAFETY: integers only; 32 bytes are the sum of the fields.
unsafe impl InfoStruct for BtfInfo {}

/// Source: `struct bpf_map_info`, up to `map_extra`.
#[repr(C)]
#[derive(Default)]
pub(super) struct MapInfo {
    pub(super) ty: u32,
    pub(super) id: u32,
    pub(super) key_size: u32,
    pub(super) value_size: u32,
    pub(super) max_entries: u32,
    pub(super) map_flags: u32,
    pub(super) name: [u8; 16],
    pub(super) ifindex: u32,
    pub(super) btf_vmlinux_value_type_id: u32,
    /// `netns_dev` and `netns_ino`, which this crate does not ask for.
    pub(super) unused: [u64; 2],
    pub(super) btf_id: u32,
    pub(super) btf_key_type_id: u32,
    pub(super) btf_value_type_id: u32,
    pub(super) btf_vmlinux_id: u32,
    pub(super) map_extra: u64,
}
const _: () = assert!(offset_of!(MapInfo, name) == 24 && offset_of!(MapInfo, map_extra) == 80);
const _: () = assert!(offset_of!(MapInfo, ifindex) == 40 && offset_of!(MapInfo, btf_id) == 64);
const _: () = assert!(size_of::<MapInfo>() == 88);
// SAFETY: integers only, asserted to be without padding.
unsafe impl InfoStruct for MapInfo {}

/// Source: `struct bpf_prog_info`, up to `verified_insns`.
#[repr(C)]
#[derive(Default)]
pub(super) struct ProgInfo {
    pub(super) ty: u32,
    pub(super) id: u32,
    pub(super) tag: [u8; 8],
    pub(super) jited_prog_len: u32,
    pub(super) xlated_prog_len: u32,
    pub(super) jited_prog_insns: u64,
    pub(super) xlated_prog_insns: u64,
    pub(super) load_time: u64,
    pub(super) created_by_uid: u32,
    pub(super) nr_map_ids: u32,
    pub(super) map_ids: u64,
    pub(super) name: [u8; 16],
    /// `ifindex` to `netns_ino`, which this crate does not ask for.
    pub(super) unused: [u64; 3],
    pub(super) nr_jited_ksyms: u32,
    pub(super) nr_jited_func_lens: u32,
    pub(super) jited_ksyms: u64,
    pub(super) jited_func_lens: u64,
    pub(super) btf_id: u32,
    pub(super) func_info_rec_size: u32,
    pub(super) func_info: u64,
    pub(super) nr_func_info: u32,
    pub(super) nr_line_info: u32,
    /// `line_info` to `nr_prog_tags`, as before.
    pub(super) unused_too: [u64; 4],
    pub(super) prog_tags: u64,
    pub(super) run_time_ns: u64,
    pub(super) run_cnt: u64,
    pub(super) recursion_misses: u64,
    pub(super) verified_insns: u32,
    pub(super) attach_btf_obj_id: u32,
}
const _: () = assert!(offset_of!(ProgInfo, map_ids) == 56 && offset_of!(ProgInfo, name) == 64);
const _: () =
    assert!(offset_of!(ProgInfo, nr_jited_ksyms) == 104 && offset_of!(ProgInfo, jited_func_lens) == 120);
const _: () = assert!(offset_of!(ProgInfo, btf_id) == 128 && offset_of!(ProgInfo, func_info) == 136);
const _: () =
    assert!(offset_of!(ProgInfo, run_time_ns) == 192 && offset_of!(ProgInfo, verified_insns) == 216);
const _: () = assert!(size_of::<ProgInfo>() == 224);
// SAFETY: integers only; 224 bytes are the sum of the fields.
unsafe impl InfoStruct for ProgInfo {}
