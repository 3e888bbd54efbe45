//! Object files on disk: their bytes and their names. It knows nothing of what is in them.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::error::Error;

/// Most **bytes** of an object file. A file that does not end must not take all memory.
const LARGEST: u64 = 256 << 20;

/// Reads an object file.
///
/// # Errors
/// [`Error::Open`] if it cannot be read, [`Error::TooLarge`] if it has more than 256 MiB.
pub fn read_file(path: &Path) -> Result<Vec<u8>, Error> {
    let failed = |error| Error::open(path, &error);
    let file = File::open(path).map_err(failed)?;
    let expected = file.metadata().map_or(0, |metadata| metadata.len().min(LARGEST));
    // Growing by and by would take twice the memory.
    let mut bytes = Vec::with_capacity(usize::try_from(expected).unwrap_or(0));
    file.take(LARGEST.saturating_add(1)).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > LARGEST {
        return Err(Error::TooLarge { path: path.into(), limit: LARGEST });
    }
    Ok(bytes)
}

/// An object's name: its file's name up to the first dot. Internal maps carry its beginning.
pub fn object_name(path: &Path) -> String {
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    file.split('.').next().unwrap_or_default().into()
}
