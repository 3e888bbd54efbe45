//! Sections that a tool compressed, as `llvm-objcopy --compress-sections` does.
//!
//! Source: the System V ABI, "Compressed Sections" (`SHF_COMPRESSED`, `Elf64_Chdr`).

use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;

use miniz_oxide::inflate::decompress_slice_iter_to_slice;
use object::elf;
use object::endian::Endianness;
use object::read::ReadRef;
use object::read::elf::SectionHeader;
use ruzstd::decoding::FrameDecoder;

use super::ElfError;

/// **Bytes** that all sections of a file may have together when decompressed.
///
/// A few bytes can ask for any amount of memory, and types take several times their size when they are read. The
/// types of a whole kernel have 6 MiB.
pub const MOST_DECOMPRESSED: usize = 8 << 20;

/// What is left of [`MOST_DECOMPRESSED`].
#[derive(Debug)]
pub(super) struct Budget(usize);

impl Budget {
    pub(super) const fn new() -> Self {
        Self(MOST_DECOMPRESSED)
    }

    /// The bytes of a section with `SHF_COMPRESSED`, as they were before.
    pub(super) fn decompress(
        &mut self,
        name: &str,
        raw: &elf::SectionHeader64<Endianness>,
        endian: Endianness,
        file: &[u8],
    ) -> Result<Vec<u8>, ElfError> {
        let malformed = |e| ElfError::malformed(name, e);
        let (header, offset, len) = raw
            .compression(endian, file)
            .map_err(malformed)?
            .ok_or_else(|| ElfError::malformed(name, "it is not compressed"))?;
        let packed = file
            .read_bytes_at(offset, len)
            .map_err(|()| ElfError::malformed(name, "it reaches beyond the end of the file"))?;
        let ty = header.ch_type.get(endian);
        let Some((_, format, unpack)) = FORMATS.iter().find(|(known, ..)| *known == ty) else {
            return Err(ElfError::UnknownCompression { section: name.to_string(), ty: ty.0 });
        };

        let size = header.ch_size.get(endian);
        let Some((size, left)) = usize::try_from(size).ok().and_then(|n| Some((n, self.0.checked_sub(n)?)))
        else {
            return Err(ElfError::Decompressed { section: name.to_string(), size });
        };
        let mut bytes = vec![0; size];
        if unpack(packed, &mut bytes) != Some(size) {
            return Err(ElfError::Compressed { section: name.to_string(), format, size });
        }
        self.0 = left;
        Ok(bytes)
    }
}

/// How a section is compressed, if it is, and in a way that is known.
pub(super) fn format(
    raw: &elf::SectionHeader64<Endianness>,
    endian: Endianness,
    file: &[u8],
) -> Option<&'static str> {
    let (header, ..) = raw.compression(endian, file).ok()??;
    let ty = header.ch_type.get(endian);
    FORMATS.iter().find(|(known, ..)| *known == ty).map(|(_, name, _)| *name)
}

/// Fills a buffer and says how far; `None` for data that is damaged or does not fit.
type Unpack = fn(&[u8], &mut [u8]) -> Option<usize>;

const FORMATS: &[(elf::CompressionType, &str, Unpack)] =
    &[(elf::ELFCOMPRESS_ZLIB, "zlib", zlib), (elf::ELFCOMPRESS_ZSTD, "zstd", zstd)];

fn zlib(packed: &[u8], out: &mut [u8]) -> Option<usize> {
    decompress_slice_iter_to_slice(out, core::iter::once(packed), true, false).ok()
}

fn zstd(packed: &[u8], out: &mut [u8]) -> Option<usize> {
    FrameDecoder::new().decode_all(packed, out).ok()
}
