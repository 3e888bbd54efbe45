//! The running kernel, but one of its calls fails.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use rxdp_loader::sys::{
    Bpffs, BtfLoad, Errno, Event, Kernel, LinkCreate, Linux, Log, MapCreate, MapInfo, MapUpdate, Mapping,
    MeasuredMap, Named, Pinned, ProgCode, ProgFunctions, ProgInfo, ProgLoad, RawTracepoint, Reply, TestRun,
    TestRunReply,
};

/// The kernel whose call of this number, counted from 0, fails.
#[derive(Debug)]
pub(crate) struct Failing {
    at: usize,
    errno: Errno,
    calls: AtomicUsize,
}

impl Failing {
    pub(crate) fn new(at: usize, errno: Errno) -> Self {
        Self { at, errno, calls: AtomicUsize::new(0) }
    }

    /// Whether it came to that call.
    pub(crate) fn has_failed(&self) -> bool {
        self.calls.load(Ordering::Relaxed) > self.at
    }

    fn next(&self) -> Result<(), Errno> {
        if self.calls.fetch_add(1, Ordering::Relaxed) == self.at { Err(self.errno) } else { Ok(()) }
    }

    fn reply(&self, call: impl FnOnce() -> Reply) -> Reply {
        self.next().map_or_else(|errno| Reply { fd: Err(errno), log: Log::default() }, |()| call())
    }
}

/// Methods that pass on what they are given.
macro_rules! passed_on {
    ($($name:ident($($arg:ident: $ty:ty),*) -> $out:ty;)*) => {$(
        fn $name(&self, $($arg: $ty),*) -> Result<$out, Errno> {
            self.next()?;
            Linux.$name($($arg),*)
        }
    )*};
}

impl Kernel for Failing {
    fn btf_load(&self, request: &BtfLoad<'_>) -> Reply {
        self.reply(|| Linux.btf_load(request))
    }

    fn prog_load(&self, request: &ProgLoad<'_>) -> Reply {
        self.reply(|| Linux.prog_load(request))
    }

    /// What is taken away is taken away.
    fn bpffs(&self, call: Bpffs<'_>) -> Result<bool, Errno> {
        if !matches!(call, Bpffs::RemovePin(_) | Bpffs::RemoveDir(_)) {
            self.next()?;
        }
        Linux.bpffs(call)
    }

    fn map_sizes<'m>(&self, map: Named<'m>) -> Result<MeasuredMap<'m>, Errno> {
        self.next()?;
        Linux.map_sizes(map)
    }

    passed_on! {
        module_btf(module: &str) -> OwnedFd;
        map_create(request: &MapCreate<'_>) -> OwnedFd;
        update(map: MeasuredMap<'_>, request: &MapUpdate<'_>) -> ();
        lookup(map: MeasuredMap<'_>, key: &[u8], value_size: usize) -> Vec<u8>;
        slot(map: MeasuredMap<'_>, key: u32) -> u32;
        delete(map: MeasuredMap<'_>, key: &[u8]) -> ();
        next_key(map: MeasuredMap<'_>, after: Option<&[u8]>, key_size: usize) -> Vec<u8>;
        map_freeze(map: Named<'_>) -> ();
        map_memory(map: Named<'_>, address: u64, len: usize) -> Mapping;
        prog_test_run(request: &TestRun<'_>) -> TestRunReply;
        map_info(map: Named<'_>) -> MapInfo;
        prog_info(program: Named<'_>) -> ProgInfo;
        prog_functions(program: Named<'_>) -> ProgFunctions;
        prog_code(program: Named<'_>) -> ProgCode;
        link_create(request: &LinkCreate<'_>) -> OwnedFd;
        raw_tracepoint_open(request: &RawTracepoint<'_>) -> OwnedFd;
        event_open(event: &Event<'_>) -> OwnedFd;
        iter_create(link: Named<'_>) -> OwnedFd;
        map_by_id(id: u32) -> OwnedFd;
        prog_by_id(id: u32) -> OwnedFd;
        obj_pin(object: Named<'_>, path: &Path) -> ();
        obj_get(path: &Path) -> Pinned;
    }
}
