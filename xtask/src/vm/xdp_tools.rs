//! Debian's `xdp-loader` and the libraries that it needs, for tests of living side by side with it. Nothing of it is
//! installed, and nothing of it is shipped.

use std::path::Path;

use super::image::Image;
use crate::{XtaskError, debian};

/// Packages, and the files of each, by their path in the package.
const FILES: &[(&str, &[&str])] = &[
    ("xdp-tools", &["usr/sbin/xdp-loader"]),
    ("libbpf1", &["usr/lib/x86_64-linux-gnu/libbpf.so.1"]),
    ("libelf1", &["usr/lib/x86_64-linux-gnu/libelf.so.1"]),
    ("zlib1g", &["lib/x86_64-linux-gnu/libz.so.1"]),
    ("libc6", &["lib/x86_64-linux-gnu/libc.so.6", "lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"]),
];

/// What starts a program with shared libraries, by the path that is written in all of them.
const STARTER: (&str, &str) =
    ("/lib64/ld-linux-x86-64.so.2", "libc6/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2");

/// Adds it to a machine; downloads the packages into `folder` if they are not there.
///
/// # Errors
/// Those of [`debian::unpack`]; [`XtaskError::Read`].
pub(super) fn add(image: &mut Image, folder: &Path) -> Result<(), XtaskError> {
    let folder = folder.join("xdp-tools");
    for (package, files) in FILES {
        let unpacked = folder.join(package);
        if !unpacked.exists() {
            debian::unpack(package, &unpacked)?;
        }
        for file in *files {
            image.copy_to(Path::new("/").join(file), &unpacked.join(file))?;
        }
    }
    let (path, starter) = STARTER;
    image.copy_to(path, &folder.join(starter))
}
