//! The code of a program in the kernel: as the verifier rewrote it, and as machine code.

use super::attr;
use super::linux::{info_by_fd, len32, room};
use super::{Errno, Named};
use crate::bytes::to_usize;
use crate::insn::Insn;
use crate::trace::{hex, unhex};

/// The code of a program in the kernel.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ProgCode {
    /// As the verifier rewrote it. Map descriptors are ids; helpers are called by their distance in **bytes** from
    /// `__bpf_call_base`. Empty for those who may not see it.
    pub xlated: Vec<Insn>,
    /// Machine code, the program's functions one after another. Empty if it is interpreted, or may not be seen.
    pub machine: Vec<u8>,
    /// Sizes of the functions in it, in **bytes**.
    pub functions: Vec<u32>,
    /// Where they stand in the kernel's memory.
    pub addresses: Vec<u64>,
}

impl ProgCode {
    pub(super) fn text(&self) -> String {
        let xlated: Vec<u8> = self.xlated.iter().flat_map(|insn| insn.to_native()).collect();
        let functions: Vec<String> = self.functions.iter().map(ToString::to_string).collect();
        format!(" xlated={} machine={} functions={}", hex(&xlated), hex(&self.machine), functions.join(","))
    }

    /// Without the addresses: they are others after every start of the machine.
    pub(super) fn of_text(xlated: &str, machine: &str, functions: &str) -> Option<Self> {
        let xlated = slots(&unhex(xlated)?);
        let functions = functions.split(',').filter_map(|size| size.parse().ok()).collect();
        Some(Self { xlated, machine: unhex(machine)?, functions, addresses: Vec::new() })
    }
}

/// Slots in this machine's byte order.
fn slots(bytes: &[u8]) -> Vec<Insn> {
    let decode = if cfg!(target_endian = "big") { Insn::from_be } else { Insn::from_le };
    bytes.chunks_exact(Insn::SIZE).filter_map(|slot| slot.try_into().ok()).map(decode).collect()
}

/// Asks the running kernel for the code of a program.
pub(super) fn code(program: Named<'_>) -> Result<ProgCode, Errno> {
    let mut info = attr::ProgInfo::default();
    info_by_fd(program, &mut info)?;
    let mut xlated = vec![0; to_usize(info.xlated_prog_len)];
    let mut machine = vec![0; to_usize(info.jited_prog_len)];
    let mut functions = vec![0u32; to_usize(info.nr_jited_func_lens)];
    let mut addresses = vec![0u64; to_usize(info.nr_jited_ksyms)];
    let mut info = attr::ProgInfo {
        xlated_prog_len: len32(&xlated),
        jited_prog_len: len32(&machine),
        nr_jited_func_lens: len32(&functions),
        xlated_prog_insns: room(&mut xlated),
        jited_prog_insns: room(&mut machine),
        jited_func_lens: functions.as_mut_ptr() as u64,
        nr_jited_ksyms: len32(&addresses),
        jited_ksyms: addresses.as_mut_ptr() as u64,
        ..attr::ProgInfo::default()
    };
    info_by_fd(program, &mut info)?;
    // The kernel takes an address away where it shows nothing.
    if info.xlated_prog_insns == 0 {
        xlated.clear();
    }
    if info.jited_prog_insns == 0 {
        machine.clear();
    }
    if info.jited_func_lens == 0 {
        functions.clear();
    }
    if info.jited_ksyms == 0 {
        addresses.clear();
    }
    Ok(ProgCode { xlated: slots(&xlated), machine, functions, addresses })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_reads_back() {
        let code = ProgCode {
            xlated: vec![Insn { code: 0xb7, dst: 1, src: 0, off: 0, imm: 42 }],
            machine: vec![0xf3, 0x0f],
            functions: vec![1, 1],
            addresses: Vec::new(),
        };
        let text = code.text();
        let field = |key: &str| text.split(' ').find_map(|word| word.strip_prefix(key)).unwrap();
        let read = ProgCode::of_text(field("xlated="), field("machine="), field("functions="));
        assert_eq!(read, Some(code));
    }
}
