//! Turns the bytes of a BPF object file into programs running in the kernel, in pure Rust, without libbpf.
//!
//! One line divides this crate. **Above** it everything is values in, values out: no file, no descriptor, no clock, and
//! without the feature `kernel` the crate is `no_std`. What depends on the machine comes in as an argument. **Below**
//! it is the kernel. Each stage is a function from one type to the next:
//!
//! ```text
//! &[u8]
//!   elf::parse     -> ElfObject     sections, symbols, relocations
//!   (join::join    -> ElfObject     of several files)
//!   spec::collect  -> ObjectSpec    maps, functions, programs, references, types
//!   target::answer -> Answers       what the kernel's types say to what the object asks (CO-RE, attach targets, kfuncs)
//!   link::link     -> LinkedObject  one stream of instructions a program, with a patch for every change
//!   plan::plan     -> LoadPlan      the kernel calls to make, in order
//! ======================== the kernel line ========================
//!   load::execute  -> LoadedObject  descriptors
//! ```
//!
//! The short way is [`Object`] and [`Loader`]: open, look, change, load, and then talk to maps and programs by name.
//!
//! ```no_run
//! use rxdp_loader::load::Input;
//! use rxdp_loader::sys::Linux;
//! use rxdp_loader::uapi::UpdateFlags;
//! use rxdp_loader::{Loader, Object};
//!
//! let mut object = Object::open("firewall.o")?;
//! object.set_max_entries("blocked", 4096)?;
//! object.set_global("verdict", &1u32.to_ne_bytes())?;
//!
//! let loaded = Loader::new().load(object)?;
//! let (Some(blocked), Some(filter)) = (loaded.map("blocked"), loaded.program("xdp_filter")) else {
//!     panic!("Loader::load loads all or nothing");
//! };
//! blocked.entries(&Linux)?.update(&[192, 0, 2, 1], &[1], UpdateFlags::empty())?;
//! let run = filter.test_run(&Linux, &Input::packet(&[0; 64]))?;
//! println!("returned {} after {} ns", run.retval, run.duration);
//! // `filter.fd` is what rxdp-netlink attaches to an interface.
//! # Ok::<(), rxdp_loader::error::Error>(())
//! ```
//!
//! [`LoadedObject::attach`](load::LoadedObject::attach) attaches programs of all kinds that the kernel has links for.
//!
//! Programs ported from the kernel's samples find [`load_bpf_file`](bpf_load::load_bpf_file), `map_fd[]` and `prog_fd[]`
//! in [`bpf_load`].
//!
//! # Features
//! `kernel` (default): everything below the line, on Linux.
#![cfg_attr(not(feature = "kernel"), no_std)]
#![deny(unsafe_code)]

extern crate alloc;

pub mod btf;
pub mod bytes;
pub mod candidates;
pub mod core_relo;
pub mod elf;
pub mod externs;
pub mod features;
pub mod insn;
pub mod join;
pub mod link;
pub mod patch;
pub mod plan;
pub mod sanitize;
pub mod spec;
pub mod tail_calls;
pub mod target;
pub mod trace;
pub mod uapi;
pub mod verifier;

#[cfg(feature = "kernel")]
pub mod bpf_load;
#[cfg(feature = "kernel")]
pub mod error;
#[cfg(feature = "kernel")]
mod file;
#[cfg(feature = "kernel")]
pub mod load;
#[cfg(feature = "kernel")]
mod loader;
#[cfg(feature = "kernel")]
mod object;
#[cfg(feature = "kernel")]
pub mod sys;

#[cfg(feature = "kernel")]
pub use crate::loader::Loader;
#[cfg(feature = "kernel")]
pub use crate::object::Object;
#[cfg(feature = "kernel")]
pub use file::{FileBytes, object_name, read_file};

/// Reads what an object file defines: the first two stages in one call.
///
/// # Errors
/// [`spec::SpecError`]: the first thing that cannot be understood, and where it stands.
pub fn read(name: &str, bytes: &[u8], dialects: spec::Dialects) -> Result<spec::ObjectSpec, spec::SpecError> {
    spec::collect(&elf::parse(bytes)?, name, dialects)
}

/// Reads what several object files define that are joined into one ([`join`]). Each is given with what it is called in
/// errors; `name` is the name of the whole.
///
/// # Errors
/// [`join::JoinError`]: a file that cannot be understood, or what does not fit together.
pub fn read_joined(
    name: &str,
    files: &[(&str, &[u8])],
    dialects: spec::Dialects,
) -> Result<spec::ObjectSpec, join::JoinError> {
    join::join(&join::parse(files)?)?.collect(name, dialects)
}

/// The example in README.md compiles.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
