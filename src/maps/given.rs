//! What people write for keys and values, as the bytes that a map takes. Pure.

use rxdp_loader::btf::TypeId;
use rxdp_loader::btf::value::write;
use rxdp_loader::bytes::Endian;

use super::{Layout, MapError, Shape, prefix};

impl Layout {
    /// The key that somebody means.
    pub(crate) fn key_bytes(&self, text: &str) -> Result<Vec<u8>, MapError> {
        if self.key == Shape::Prefix {
            let wrong =
                |why| MapError::Text { map: self.map.clone(), what: "key", given: text.to_string(), why };
            return prefix::key(text, self.key_size).map_err(wrong);
        }
        let mut bytes = vec![0; self.key_size];
        self.put(self.key, "key", text, &mut bytes)?;
        let number = <[u8; 4]>::try_from(bytes.as_slice()).map(u32::from_ne_bytes);
        match number {
            Ok(number) if self.is_numbered() && number >= self.max_entries => Err(MapError::BeyondEnd {
                map: self.map.clone(),
                given: text.to_string(),
                max: self.max_entries,
            }),
            _ => Ok(bytes),
        }
    }

    /// The value that somebody means; what they do not mention stays as it was before.
    pub(crate) fn value_bytes(&self, text: &str, before: Option<Vec<u8>>) -> Result<Vec<u8>, MapError> {
        let mut bytes = before.unwrap_or_default();
        bytes.resize(self.value_size, 0);
        self.put(self.value, "value", text, &mut bytes)?;
        Ok(bytes)
    }

    fn put(&self, shape: Shape, what: &'static str, text: &str, bytes: &mut [u8]) -> Result<(), MapError> {
        let ty: Option<TypeId> = if let Shape::Typed(ty) = shape { Some(ty) } else { None };
        let written = write(&self.types, ty, text, bytes, Endian::NATIVE);
        written.map_err(|why| MapError::text(&self.map, what, text, &why))
    }
}

#[cfg(test)]
mod tests {
    use rxdp_loader::uapi::MapType;

    use super::*;
    use crate::maps::layout::tests::{info, types};

    #[test]
    fn keys_and_values_follow_the_layout() {
        let typed = Layout::new(&info(MapType::HASH, 4, 8), Some((types(), TypeId(1), TypeId(3))), false);
        assert_eq!(typed.key_bytes("7").unwrap(), 7u32.to_ne_bytes());
        assert_eq!(
            typed.value_bytes("{1}", Some(vec![9; 8])).unwrap(),
            [&1u32.to_ne_bytes()[..], &[9; 4]].concat()
        );
        let array = Layout::new(&info(MapType::ARRAY, 4, 8), None, false);
        assert_eq!(array.key_bytes("3").unwrap(), 3u32.to_ne_bytes());
        assert_eq!(array.value_bytes("-1", None).unwrap(), [255; 8]);
        let hash = Layout::new(&info(MapType::HASH, 6, 3), None, false);
        assert_eq!(hash.key_bytes("02:00:00:00:00:01").unwrap(), [2, 0, 0, 0, 0, 1]);
        let lpm = Layout::new(&info(MapType::LPM_TRIE, 8, 4), None, false);
        assert_eq!(lpm.key_bytes("10.0.0.0/8").unwrap(), [&8u32.to_ne_bytes()[..], &[10, 0, 0, 0]].concat());
    }

    #[test]
    fn what_is_wrong_is_said_with_the_map_s_name() {
        let array = Layout::new(&info(MapType::ARRAY, 4, 8), None, false);
        let why = |result: Result<Vec<u8>, MapError>| result.unwrap_err().to_string();
        assert_eq!(why(array.key_bytes("4")), "map \"m\" has 4 entries: keys are 0 to 3, not 4");
        assert!(why(array.key_bytes("udp")).starts_with("key \"udp\" of map \"m\": a value of 4 bytes"));
        assert!(why(array.value_bytes("{a = 1}", None)).starts_with("value \"{a = 1}\" of map \"m\": "));
        assert_eq!(why(array.value_bytes("[1", None)), "value \"[1\" of map \"m\": ']' is missing");
    }
}
