//! What the tests of this crate share: the committed objects, the stages on them, and goldens.
//!
//! Only `wire` talks to a kernel; the rest is values in, values out.

#![allow(dead_code, reason = "each test binary uses a part of it")]
#![allow(clippy::arithmetic_side_effects, reason = "a test fails by panicking, in helpers too")]

pub(crate) mod bounds;
pub(crate) mod damage;
pub(crate) mod fields;
pub(crate) mod old_kernel;
pub(crate) mod render;
pub(crate) mod types;
pub(crate) mod wire;

use std::fs;
use std::path::{Path, PathBuf};

use rxdp_loader::features::Machine;
use rxdp_loader::link::{self, LinkedObject};
use rxdp_loader::load::{self, CodeTypes, Given, LoadError, LoadedObject};
use rxdp_loader::plan::{self, LoadPlan, Options, PlanError};
use rxdp_loader::spec::{Dialects, ObjectSpec, SpecError};
use rxdp_loader::sys::{Kernel, host};
use rxdp_loader::uapi::ProgType;

/// Where committed objects lie, seen from this crate.
const FOLDERS: &[&str] = &["../tests/fixtures", "../bpf-progs"];

pub(crate) fn crate_dir() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The committed object of this name, such as `data.o`.
pub(crate) fn path_of(name: &str) -> PathBuf {
    let places = FOLDERS.iter().map(|folder| crate_dir().join(folder).join(name));
    places.into_iter().find(|path| path.is_file()).unwrap_or_else(|| panic!("no committed object {name}"))
}

/// Its bytes.
pub(crate) fn bytes_of(name: &str) -> Vec<u8> {
    fs::read(path_of(name)).unwrap()
}

/// Names of all committed objects.
pub(crate) fn all() -> Vec<String> {
    let files = FOLDERS.iter().flat_map(|folder| fs::read_dir(crate_dir().join(folder)).unwrap());
    let names = files.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name.ends_with(".o")).collect();
    names.sort();
    assert!(names.len() >= 30, "where have the objects gone? {names:?}");
    names
}

/// The object's meaning, under the name that its file gives it.
pub(crate) fn read(name: &str, bytes: &[u8]) -> Result<ObjectSpec, SpecError> {
    rxdp_loader::read(&rxdp_loader::object_name(Path::new(name)), bytes, Dialects::default())
}

/// A committed object's meaning.
pub(crate) fn spec_of(name: &str) -> ObjectSpec {
    read(name, &bytes_of(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// A committed object, linked.
pub(crate) fn linked(name: &str) -> LinkedObject {
    link::link(spec_of(name))
}

/// Links an object for the running kernel, with its types if it shows them.
pub(crate) fn link_here(spec: ObjectSpec) -> LinkedObject {
    load::link_for(spec, &host::machine(), CodeTypes::Running).unwrap()
}

/// A committed object, linked for the running kernel.
pub(crate) fn linked_here(name: &str) -> LinkedObject {
    link_here(spec_of(name))
}

/// As the commands load: what does not say its type is XDP.
pub(crate) fn xdp_options() -> Options {
    Options { default_type: Some(ProgType::XDP), ..Options::default() }
}

/// The plan for the newest machine, which is the same on every machine.
pub(crate) fn plan(object: &LinkedObject) -> Result<LoadPlan<'_>, PlanError> {
    plan::plan(object, &Machine::NEWEST, &xdp_options())
}

/// Loads a committed object into this kernel.
pub(crate) fn load<K: Kernel>(name: &str, kernel: &K) -> Result<LoadedObject, LoadError> {
    let object = linked_here(name);
    load::execute(&plan(&object)?, kernel, Given::default())
}

/// Compares a text with the committed one of this name; with `UPDATE_EXPECT=1` it takes its place.
///
/// What changes is an output of the loader: read the difference as you read code.
pub(crate) fn check(name: &str, text: &str) {
    let path = crate_dir().join("tests/expected").join(format!("{name}.expected"));
    if std::env::var_os("UPDATE_EXPECT").is_some_and(|value| value == "1") {
        fs::write(&path, text).unwrap();
        return;
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    let differing = expected.lines().zip(text.lines()).position(|(expected, found)| expected != found);
    let at = differing.unwrap_or_else(|| expected.lines().count().min(text.lines().count()));
    let line = |text: &str| text.lines().nth(at).unwrap_or("(the end)").to_string();
    assert!(
        expected == text,
        "{} is not what comes out now (UPDATE_EXPECT=1 rewrites it), from line {} on:\n expected: {}\n found:    {}",
        path.display(),
        at + 1,
        line(&expected),
        line(text),
    );
}
