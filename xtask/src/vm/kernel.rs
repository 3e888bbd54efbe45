//! A kernel of Debian's, unpacked into a folder: its image, and modules with what they depend on.

use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use object::read::elf::ElfFile64;
use object::{Endianness, Object as _, ObjectSection as _};

use crate::{XtaskError, debian};

/// The kernels that tests run on.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Series {
    /// Debian 12's own
    #[value(name = "6.1")]
    V6_1,
    /// Debian 13's, and a backport in 12
    #[value(name = "6.12")]
    V6_12,
}

impl Series {
    fn name(self) -> &'static str {
        match self {
            Self::V6_1 => "6.1",
            Self::V6_12 => "6.12",
        }
    }

    /// The names of its packages, whose signed images are as good as others: nothing checks signatures here.
    fn packages(self) -> String {
        format!(r"^linux-image-{}\.[^ ]*-cloud-amd64$", self.name().replace('.', r"\."))
    }
}

/// An unpacked package.
#[derive(Debug)]
pub(super) struct Kernel {
    folder: PathBuf,
}

/// What `insmod` takes.
#[derive(Debug)]
pub(super) struct Module {
    pub name: String,
    pub bytes: Vec<u8>,
}

impl Kernel {
    /// The kernel of a series, kept in a folder of `folder`; the newest that Debian has if there is none yet.
    ///
    /// # Errors
    /// Those of [`debian::newest`] and [`debian::unpack`].
    pub(super) fn of(series: Series, folder: &Path) -> Result<Self, XtaskError> {
        let folder = folder.join(format!("linux-{}", series.name().replace('.', "_")));
        if !folder.exists() {
            debian::update()?;
            debian::unpack(&debian::newest(&series.packages())?, &folder)?;
        }
        Ok(Self { folder })
    }

    /// The file that is booted.
    ///
    /// # Errors
    /// [`XtaskError::Read`] if the package has none.
    pub(super) fn image(&self) -> Result<PathBuf, XtaskError> {
        only(&self.folder.join("boot"), "vmlinuz-")
    }

    /// A file that belongs to machines with this kernel, by its extension.
    pub(super) fn beside(&self, extension: &str) -> PathBuf {
        self.folder.with_extension(extension)
    }

    /// Modules, each after those that it depends on.
    ///
    /// # Errors
    /// [`XtaskError::NoModule`], [`XtaskError::Read`].
    pub(super) fn modules(&self, names: &[&str]) -> Result<Vec<Module>, XtaskError> {
        let mut ordered = Vec::new();
        for name in names {
            self.add(name, &mut ordered)?;
        }
        Ok(ordered)
    }

    fn add(&self, name: &str, ordered: &mut Vec<Module>) -> Result<(), XtaskError> {
        if ordered.iter().any(|module| module.name == name) {
            return Ok(());
        }
        let bytes = self.module(name)?;
        for dependency in dependencies(&bytes) {
            self.add(&dependency, ordered)?;
        }
        ordered.push(Module { name: name.to_owned(), bytes });
        Ok(())
    }

    fn module(&self, name: &str) -> Result<Vec<u8>, XtaskError> {
        let modules = only(&self.folder.join("lib/modules"), "")?;
        let list = read(&modules.join("modules.order"))?;
        let list = String::from_utf8_lossy(&list);
        let Some(path) = path_of(name, &list) else {
            return Err(XtaskError::NoModule { name: name.to_owned(), folder: modules });
        };
        let plain = modules.join(path);
        if plain.exists() {
            return read(&plain);
        }
        let packed = modules.join(format!("{path}.xz"));
        let mut bytes = Vec::new();
        let unpacked = lzma_rs::xz_decompress(&mut Cursor::new(read(&packed)?), &mut bytes);
        unpacked.map_err(|source| XtaskError::Unpack { path: packed, source })?;
        Ok(bytes)
    }
}

fn read(path: &Path) -> Result<Vec<u8>, XtaskError> {
    fs::read(path).map_err(|source| XtaskError::Read { path: path.to_path_buf(), source })
}

/// The one entry of a folder that begins so.
fn only(folder: &Path, start: &str) -> Result<PathBuf, XtaskError> {
    let error = |source| XtaskError::Read { path: folder.join(format!("{start}*")), source };
    let entries = fs::read_dir(folder).map_err(error)?.filter_map(Result::ok);
    let mut found = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(start));
    found.next().map(|entry| entry.path()).ok_or_else(|| error(std::io::ErrorKind::NotFound.into()))
}

/// The path of a module in `modules.order`. A module's name has `_` where its file may have `-`.
fn path_of<'l>(name: &str, list: &'l str) -> Option<&'l str> {
    list.lines().find(|path| {
        let file = path.rsplit('/').next().unwrap_or(path);
        file.strip_suffix(".ko").is_some_and(|file| file.replace('-', "_") == name)
    })
}

/// What a module says that it depends on: `depends=a,b` among the words of `.modinfo`, each ended by a zero.
fn dependencies(module: &[u8]) -> Vec<String> {
    let Ok(file) = ElfFile64::<Endianness>::parse(module) else {
        return Vec::new();
    };
    let words = file.section_by_name(".modinfo").and_then(|section| section.data().ok()).unwrap_or_default();
    depends(words)
}

fn depends(words: &[u8]) -> Vec<String> {
    let mut words = words.split(|byte| *byte == 0);
    let names = words.find_map(|word| word.strip_prefix(b"depends=")).unwrap_or_default();
    let names = String::from_utf8_lossy(names);
    names.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_module_depends_on_is_read_word_by_word() {
        assert_eq!(
            depends(b"license=GPL\0depends=nf_conntrack,libcrc32c\0retpoline=Y\0"),
            ["nf_conntrack", "libcrc32c"]
        );
        assert!(depends(b"license=GPL\0depends=\0").is_empty());
        assert!(depends(b"license=GPL\0xdepends=a\0").is_empty());
        assert!(dependencies(b"no module").is_empty());
    }

    #[test]
    fn a_module_is_found_by_its_name_whatever_its_file_is_called() {
        let list = "kernel/drivers/net/veth.ko\nkernel/crypto/crc32c-x.ko\nkernel/net/nf_nat.ko\n";
        assert_eq!(path_of("veth", list), Some("kernel/drivers/net/veth.ko"));
        assert_eq!(path_of("crc32c_x", list), Some("kernel/crypto/crc32c-x.ko"));
        assert_eq!(path_of("nat", list), None);
    }

    #[test]
    fn the_series_are_not_mixed_up() {
        assert_eq!(Series::V6_1.packages(), r"^linux-image-6\.1\.[^ ]*-cloud-amd64$");
        assert_eq!(Series::V6_12.packages(), r"^linux-image-6\.12\.[^ ]*-cloud-amd64$");
    }
}
