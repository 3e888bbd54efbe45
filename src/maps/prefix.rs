//! Keys of LPM tries: `192.0.2.0/24`, `2001:db8::/32`, and bytes with a length where nobody knows an address. Pure.
//!
//! Source: `struct bpf_lpm_trie_key`: a number in this machine's order, then bytes, the most significant one first.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use rxdp_loader::trace::{hex, unhex};

/// **Bytes** of the length.
const LENGTH: usize = 4;

/// A key as people write it; `None` if it has no length.
pub(crate) fn text(key: &[u8]) -> Option<String> {
    let (length, data) = key.split_at_checked(LENGTH)?;
    let length = u32::from_ne_bytes(length.try_into().ok()?);
    let address = match data.len() {
        4 => <[u8; 4]>::try_from(data).ok().map(|octets| Ipv4Addr::from(octets).to_string()),
        16 => <[u8; 16]>::try_from(data).ok().map(|octets| Ipv6Addr::from(octets).to_string()),
        _ => None,
    };
    Some(format!("{}/{length}", address.unwrap_or_else(|| format!("hex:{}", hex(data)))))
}

/// The key of `size` **bytes** that people mean; without a length all of it.
pub(crate) fn key(text: &str, size: usize) -> Result<Vec<u8>, String> {
    let room = size.saturating_sub(LENGTH);
    let (address, length) =
        text.split_once('/').map_or((text, None), |(address, length)| (address, Some(length)));
    let data = match (address.parse::<IpAddr>(), address.strip_prefix("hex:")) {
        (Ok(IpAddr::V4(address)), _) => address.octets().to_vec(),
        (Ok(IpAddr::V6(address)), _) => address.octets().to_vec(),
        (Err(_), Some(digits)) => unhex(digits).ok_or("hex: is followed by pairs of hex digits")?,
        (Err(_), None) => return Err(format!("it takes {}", takes(room))),
    };
    if data.len() != room {
        return Err(format!("it has {} bytes, and the map's keys have {room}: {}", data.len(), takes(room)));
    }
    let most = u32::try_from(room.saturating_mul(8)).unwrap_or(u32::MAX);
    let length = length
        .map_or(Ok(most), |length| length.parse().map_err(|_no_number| format!("/{length} is no number")))?;
    if length > most {
        return Err(format!("/{length} is more than the {most} bits that the map's keys have"));
    }
    Ok([&length.to_ne_bytes(), data.as_slice()].concat())
}

fn takes(room: usize) -> String {
    match room {
        4 => "an IPv4 prefix such as 192.0.2.0/24".to_string(),
        16 => "an IPv6 prefix such as 2001:db8::/32".to_string(),
        _ => format!("hex:, {room} bytes in hex, and a length in bits, such as /{}", room.saturating_mul(8)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_shown() {
        for (written, size) in
            [("192.0.2.0/24", 8), ("0.0.0.0/0", 8), ("2001:db8::/32", 20), ("hex:0a0b0c/17", 7)]
        {
            assert_eq!(text(&key(written, size).unwrap()).as_deref(), Some(written));
        }
        assert_eq!(key("10.0.0.1", 8), key("10.0.0.1/32", 8));
        assert_eq!(key("10.0.0.0/8", 8).unwrap()[4..], [10, 0, 0, 0]);
        assert_eq!(text(&[1, 2]), None);
    }

    #[test]
    fn what_is_no_prefix_is_said() {
        let why = |text, size| key(text, size).unwrap_err();
        assert_eq!(why("eth0", 8), "it takes an IPv4 prefix such as 192.0.2.0/24");
        assert_eq!(why("10.0.0.0/33", 8), "/33 is more than the 32 bits that the map's keys have");
        assert_eq!(why("10.0.0.0/x", 8), "/x is no number");
        assert!(why("::1/128", 8).starts_with("it has 16 bytes, and the map's keys have 4: an IPv4 prefix"));
        assert!(why("hex:0", 7).starts_with("hex: is followed"));
        assert!(why("1", 7).contains("3 bytes in hex, and a length in bits, such as /24"));
    }
}
