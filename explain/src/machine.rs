//! Machine code as text: x86-64, by the library that was made for it.

use iced_x86::{Decoder, DecoderOptions, Formatter, Instruction, IntelFormatter};

use crate::model::MachineInstruction;
use crate::words::hex;

/// Machine code of functions that stand one after another, whose sizes are in **bytes**.
pub(crate) fn x86_64(code: &[u8], functions: &[u32]) -> Vec<MachineInstruction> {
    let mut formatter = IntelFormatter::new();
    let options = formatter.options_mut();
    options.set_space_after_operand_separator(true);
    options.set_hex_prefix("0x");
    options.set_hex_suffix("");
    options.set_uppercase_hex(false);
    let mut found = Vec::new();
    let mut rest = code;
    let mut start = 0u64;
    let sizes = functions.iter().filter_map(|size| usize::try_from(*size).ok());
    for size in sizes.chain([code.len()]) {
        let Some((function, behind)) = rest.split_at_checked(size.min(rest.len())) else {
            break;
        };
        let mut decoder = Decoder::with_ip(64, function, start, DecoderOptions::NONE);
        let mut instruction = Instruction::default();
        while decoder.can_decode() {
            let from = decoder.position();
            decoder.decode_out(&mut instruction);
            let mut text = String::new();
            formatter.format(&instruction, &mut text);
            let bytes = function.get(from..decoder.position()).unwrap_or_default();
            found.push(MachineInstruction { offset: instruction.ip(), bytes: hex(bytes), text });
        }
        rest = behind;
        start = start.saturating_add(crate::words::len(function));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_follow_each_other() {
        // endbr64; ret | xor eax, eax; ret
        let found = x86_64(&[0xf3, 0x0f, 0x1e, 0xfa, 0xc3, 0x31, 0xc0, 0xc3], &[5, 3]);
        let shown: Vec<(u64, &str, &str)> =
            found.iter().map(|i| (i.offset, i.bytes.as_str(), i.text.as_str())).collect();
        assert_eq!(
            shown,
            [(0, "f3 0f 1e fa", "endbr64"), (4, "c3", "ret"), (5, "31 c0", "xor eax, eax"), (7, "c3", "ret")]
        );
    }
}
