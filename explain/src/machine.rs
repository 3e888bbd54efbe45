//! Machine code as text: x86-64, by the library that was made for it.

use std::collections::BTreeMap;

use iced_x86::{
    Code, Decoder, DecoderOptions, Formatter, Instruction, IntelFormatter, SymbolResolver, SymbolResult,
};

use crate::model::MachineInstruction;
use crate::words::{hex, len};

/// Machine code of functions that stand one after another, whose sizes are in **bytes**. Where their addresses are known,
/// what they call is named.
pub(crate) fn x86_64(
    code: &[u8],
    sizes: &[u32],
    addresses: &[u64],
    names: &BTreeMap<u64, String>,
) -> Vec<MachineInstruction> {
    let mut names = names.clone();
    // Jumps within the program go by the places that are shown, not by addresses.
    each(code, sizes, addresses, |at, _, instruction| {
        names.insert(instruction.ip(), format!("{at:x}"));
    });
    let mut formatter = IntelFormatter::with_options(Some(Box::new(Names(names))), None);
    let options = formatter.options_mut();
    options.set_space_after_operand_separator(true);
    options.set_hex_prefix("0x");
    options.set_hex_suffix("");
    options.set_uppercase_hex(false);
    options.set_branch_leading_zeros(false);
    options.set_show_branch_size(false);
    let mut found = Vec::new();
    each(code, sizes, addresses, |at, bytes, instruction| {
        let mut text = String::new();
        // A constant of 64 bits is most often an address.
        let is_address = instruction.code() == Code::Mov_r64_imm64;
        formatter.options_mut().set_signed_immediate_operands(!is_address);
        formatter.format(instruction, &mut text);
        found.push(MachineInstruction { offset: at, bytes: hex(bytes), text });
    });
    found
}

/// Addresses that machine code calls.
pub(crate) fn calls(code: &[u8], sizes: &[u32], addresses: &[u64]) -> Vec<u64> {
    let mut found = Vec::new();
    each(code, sizes, addresses, |_, _, instruction| {
        // 0 where it is no branch.
        found.extend(Some(instruction.near_branch_target()).filter(|target| *target != 0));
    });
    found
}

/// Decodes every instruction: its place in the code, its bytes, itself.
fn each(code: &[u8], sizes: &[u32], addresses: &[u64], mut see: impl FnMut(u64, &[u8], &Instruction)) {
    let mut rest = code;
    let mut start = 0u64;
    let sizes = sizes.iter().filter_map(|size| usize::try_from(*size).ok());
    for (number, size) in sizes.chain([code.len()]).enumerate() {
        let Some((function, behind)) = rest.split_at_checked(size.min(rest.len())) else {
            break;
        };
        let base = addresses.get(number).copied().unwrap_or(start);
        let mut decoder = Decoder::with_ip(64, function, base, DecoderOptions::NONE);
        let mut instruction = Instruction::default();
        while decoder.can_decode() {
            let from = decoder.position();
            decoder.decode_out(&mut instruction);
            let bytes = function.get(from..decoder.position()).unwrap_or_default();
            see(start.saturating_add(instruction.ip().wrapping_sub(base)), bytes, &instruction);
        }
        rest = behind;
        start = start.saturating_add(len(function));
    }
}

/// Names of addresses, for the formatter.
struct Names(BTreeMap<u64, String>);

impl SymbolResolver for Names {
    fn symbol(
        &mut self,
        _instruction: &Instruction,
        _operand: u32,
        _instruction_operand: Option<u32>,
        address: u64,
        _address_size: u32,
    ) -> Option<SymbolResult<'_>> {
        self.0.get(&address).map(|name| SymbolResult::with_str(address, name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_follow_each_other() {
        // endbr64; ret | xor eax, eax; ret
        let found = x86_64(&[0xf3, 0x0f, 0x1e, 0xfa, 0xc3, 0x31, 0xc0, 0xc3], &[5, 3], &[], &BTreeMap::new());
        let shown: Vec<(u64, &str, &str)> =
            found.iter().map(|i| (i.offset, i.bytes.as_str(), i.text.as_str())).collect();
        assert_eq!(
            shown,
            [(0, "f3 0f 1e fa", "endbr64"), (4, "c3", "ret"), (5, "31 c0", "xor eax, eax"), (7, "c3", "ret")]
        );
    }
    #[test]
    fn what_is_called_has_a_name() {
        let (code, names) =
            ([0xe8, 0x0b, 0, 0, 0], BTreeMap::from([(0x1010, "bpf_trace_printk".to_string())]));
        assert_eq!(calls(&code, &[5], &[0x1000]), [0x1010]);
        let found = x86_64(&code, &[5], &[0x1000], &names);
        assert_eq!((found[0].offset, found[0].text.as_str()), (0, "call bpf_trace_printk"));
    }
}
