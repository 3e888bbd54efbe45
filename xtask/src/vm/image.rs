//! The initramfs: the files of the machine, as a gzip'd cpio archive.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Cursor, Write};
use std::path::{Path, PathBuf};

use cpio::NewcBuilder;
use cpio::newc::ModeFileType;
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::XtaskError;

/// Everything may be run; who runs it there is root in any case.
const PERMISSIONS: u32 = 0o755;

/// Files and folders by absolute path. Sorted, a folder comes before what is in it, as the kernel needs it.
#[derive(Debug, Default)]
pub(super) struct Image {
    entries: BTreeMap<PathBuf, Entry>,
}

#[derive(Debug)]
enum Entry {
    Folder,
    File(Vec<u8>),
}

impl Image {
    /// Adds a file, and the folders that it is in.
    pub(super) fn file(&mut self, path: impl Into<PathBuf>, bytes: Vec<u8>) {
        let path = path.into();
        if let Some(folder) = path.parent() {
            self.folder(folder);
        }
        self.entries.insert(path, Entry::File(bytes));
    }

    /// Adds a folder, and those that it is in.
    pub(super) fn folder(&mut self, path: impl AsRef<Path>) {
        for folder in path.as_ref().ancestors().filter(|folder| folder.parent().is_some()) {
            self.entries.entry(folder.to_path_buf()).or_insert(Entry::Folder);
        }
    }

    /// Adds a file of this machine as `path`. Of a symbolic link, what it leads to.
    ///
    /// # Errors
    /// [`XtaskError::Read`].
    pub(super) fn copy_to(&mut self, path: impl Into<PathBuf>, from: &Path) -> Result<(), XtaskError> {
        let bytes = fs::read(from).map_err(|source| XtaskError::Read { path: from.to_path_buf(), source })?;
        self.file(path, bytes);
        Ok(())
    }

    /// Adds a file of this machine under its own path.
    ///
    /// # Errors
    /// [`XtaskError::Read`].
    pub(super) fn copy(&mut self, path: &Path) -> Result<(), XtaskError> {
        self.copy_to(path, path)
    }

    /// Adds a file, or a folder with all that is in it, under its own path.
    ///
    /// # Errors
    /// [`XtaskError::Read`].
    pub(super) fn copy_tree(&mut self, path: &Path) -> Result<(), XtaskError> {
        if !path.is_dir() {
            return self.copy(path);
        }
        let read = |source| XtaskError::Read { path: path.to_path_buf(), source };
        for entry in fs::read_dir(path).map_err(read)? {
            self.copy_tree(&entry.map_err(read)?.path())?;
        }
        Ok(())
    }

    /// Writes the archive to a file.
    ///
    /// # Errors
    /// [`XtaskError::Write`].
    pub(super) fn write(self, path: &Path) -> Result<(), XtaskError> {
        let write = || {
            let file = GzEncoder::new(File::create(path)?, Compression::fast());
            self.archive(file)?.finish()?.flush()
        };
        write().map_err(|source| XtaskError::Write { path: path.to_path_buf(), source })
    }

    fn archive<W: Write>(self, out: W) -> io::Result<W> {
        let entries = self.entries.into_iter().map(|(path, entry)| {
            let (kind, bytes) = match entry {
                Entry::Folder => (ModeFileType::Directory, Vec::new()),
                Entry::File(bytes) => (ModeFileType::Regular, bytes),
            };
            let name = path.strip_prefix("/").unwrap_or(&path).to_string_lossy();
            (NewcBuilder::new(&name).mode(PERMISSIONS).set_mode_file_type(kind), Cursor::new(bytes))
        });
        cpio::write_cpio(entries, out)
    }
}

#[cfg(test)]
mod tests {
    use cpio::NewcReader;

    use super::*;

    fn listed(image: Image) -> Vec<(String, u32, Vec<u8>)> {
        let archive = image.archive(Vec::new()).unwrap();
        let (mut rest, mut listed) = (&archive[..], Vec::new());
        loop {
            let reader = NewcReader::new(rest).unwrap();
            let (name, mode) = (reader.entry().name().to_owned(), reader.entry().mode());
            if reader.entry().is_trailer() {
                return listed;
            }
            let mut bytes = Vec::new();
            rest = reader.to_writer(&mut bytes).unwrap();
            listed.push((name, mode, bytes));
        }
    }

    #[test]
    fn a_file_comes_after_its_folders() {
        let mut image = Image::default();
        image.file("/bin/deep/tool", b"abcde".to_vec());
        image.file("/bin/b", b"b".to_vec());
        image.folder("/a/tmp");
        let names: Vec<_> =
            listed(image).into_iter().map(|(name, mode, bytes)| (name, mode, bytes.len())).collect();
        let (folder, file) = (0o040_755, 0o100_755);
        let expected = [
            ("a", folder, 0),
            ("a/tmp", folder, 0),
            ("bin", folder, 0),
            ("bin/b", file, 1),
            ("bin/deep", folder, 0),
            ("bin/deep/tool", file, 5),
        ];
        assert_eq!(names, expected.map(|(name, mode, length)| (name.to_owned(), mode, length)));
    }

    #[test]
    fn the_bytes_are_those_of_the_newc_format() {
        let mut image = Image::default();
        image.file("/x", b"hello".to_vec());
        let archive = image.archive(Vec::new()).unwrap();
        let head = concat!(
            "070701",
            "00000000",
            "000081ed",
            "00000000",
            "00000000",
            "00000001",
            "00000000",
            "00000005",
            "00000000",
            "00000000",
            "00000000",
            "00000000",
            "00000002",
            "00000000",
            "x\0",
            "hello\0\0\0",
            "070701",
        );
        assert_eq!(String::from_utf8_lossy(&archive[..head.len()]), head);
    }

    #[test]
    fn a_tree_keeps_its_paths() {
        let mut image = Image::default();
        image.copy_tree(&crate::root().join("bpf-progs")).unwrap();
        let object = crate::root().join("bpf-progs/tail_kern.o");
        let name = object.strip_prefix("/").unwrap().display().to_string();
        let found = listed(image).into_iter().find(|(listed, ..)| *listed == name).unwrap();
        assert_eq!(found.2, fs::read(object).unwrap());
    }
}
