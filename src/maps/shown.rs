//! Keys and values as they are shown: to people as text, to scripts as JSON. Pure, but for the names that are asked for.

use rxdp_loader::btf::value::{Field, Value};
use rxdp_loader::trace::hex;
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};

use super::{Layout, Names, Shape, prefix};

/// A value as JSON: names and members as they are, numbers that JSON's readers may round as text, bytes in hex.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tree<'v>(pub(crate) &'v Value);

impl Serialize for Tree<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Unsigned(number) => match u64::try_from(*number) {
                Ok(number) => to.serialize_u64(number),
                Err(_) => to.collect_str(number),
            },
            Value::Signed(number) | Value::Enum(None, number) => match i64::try_from(*number) {
                Ok(number) => to.serialize_i64(number),
                Err(_) => to.collect_str(number),
            },
            Value::Bool(yes) => to.serialize_bool(*yes),
            Value::Enum(Some(name), _) => to.serialize_str(name),
            Value::Float(number) => to.serialize_f64(*number),
            Value::Pointer(address) => to.collect_str(&format_args!("{address:#x}")),
            Value::Text(text) => to.serialize_str(text),
            Value::Bytes(bytes) => to.serialize_str(&hex(bytes)),
            Value::Array(values) => {
                let mut list = to.serialize_seq(Some(values.len()))?;
                values.iter().try_for_each(|value| list.serialize_element(&Tree(value)))?;
                list.end()
            }
            Value::Fields(fields) => {
                let mut map = to.serialize_map(Some(fields.len()))?;
                fields.iter().try_for_each(|field| map.serialize_entry(&field.name, &Tree(&field.value)))?;
                map.end()
            }
        }
    }
}

/// Something with a name behind a number.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub(crate) struct Named {
    pub(crate) id: u32,
    pub(crate) name: Option<String>,
}

/// A key, or a value, ready to be shown.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Shown {
    /// As its type says.
    Value(Value),
    /// Text that stands for itself: a prefix.
    Word(String),
    /// What stands in a jump table.
    Program(Named),
    /// What stands in a map of maps.
    Map(Named),
    /// An interface, and what runs behind a redirect to it.
    Device { ifindex: u32, interface: Option<String>, program: Option<Named> },
    /// A CPU's queue, in **packets**, and what runs on it.
    Cpu { qsize: u32, program: Option<Named> },
}

impl Shown {
    /// A key.
    pub(crate) fn key(layout: &Layout, bytes: &[u8]) -> Self {
        let address = (layout.key == Shape::Prefix).then(|| prefix::text(bytes)).flatten();
        address.map_or_else(|| Self::Value(layout.key_tree(bytes)), Self::Word)
    }

    /// A value, from its tree.
    pub(crate) fn value(layout: &Layout, tree: Value, names: &Names) -> Self {
        let number = |value: &Value| {
            let number = if let Value::Unsigned(number) = value { *number } else { 0 };
            u32::try_from(number).unwrap_or(0)
        };
        let field = |fields: &[Field], at: usize| fields.get(at).map_or(0, |field| number(&field.value));
        let word = |at| if let Value::Fields(fields) = &tree { field(fields, at) } else { number(&tree) };
        let program = |id: u32| (id != 0).then(|| Named { id, name: names.program(id) });
        match layout.value {
            Shape::Program => Self::Program(Named { id: word(0), name: names.program(word(0)) }),
            Shape::Map => Self::Map(Named { id: word(0), name: names.map(word(0)) }),
            Shape::Device => {
                let (ifindex, interface) = (word(0), names.interface(word(0)));
                Self::Device { ifindex, interface, program: program(word(1)) }
            }
            Shape::Cpu => Self::Cpu { qsize: word(0), program: program(word(1)) },
            Shape::Typed(_) | Shape::Number | Shape::Bytes | Shape::Prefix => Self::Value(tree),
        }
    }
}

impl std::fmt::Display for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let behind = |program: &Option<Named>| match program {
            Some(program) => format!(", program {}", words(program)),
            None => String::new(),
        };
        match self {
            Self::Value(value) => value.fmt(f),
            Self::Word(word) => f.write_str(word),
            Self::Program(named) | Self::Map(named) => f.write_str(&words(named)),
            Self::Device { ifindex, interface, program } => {
                let name = interface.as_ref().map(|name| format!("{name}, ")).unwrap_or_default();
                write!(f, "{name}ifindex {ifindex}{}", behind(program))
            }
            Self::Cpu { qsize, program } => write!(f, "a queue of {qsize} packets{}", behind(program)),
        }
    }
}

fn words(Named { id, name }: &Named) -> String {
    match name {
        Some(name) => format!("{name} (id {id})"),
        None => format!("id {id}"),
    }
}

impl Serialize for Shown {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        #[serde(untagged)]
        enum Form<'a> {
            Device { ifindex: u32, interface: &'a Option<String>, program: &'a Option<Named> },
            Cpu { qsize: u32, program: &'a Option<Named> },
        }
        match self {
            Self::Value(value) => Tree(value).serialize(to),
            Self::Word(word) => to.serialize_str(word),
            Self::Program(named) | Self::Map(named) => named.serialize(to),
            Self::Device { ifindex, interface, program } => {
                Form::Device { ifindex: *ifindex, interface, program }.serialize(to)
            }
            Self::Cpu { qsize, program } => Form::Cpu { qsize: *qsize, program }.serialize(to),
        }
    }
}

#[cfg(test)]
mod tests {
    use rxdp_loader::uapi::MapType;

    use super::*;
    use crate::maps::layout::tests::info;

    #[test]
    fn trees_are_json() {
        let field = |name: &str, value| Field { name: name.into(), value };
        let tree = Value::Fields(vec![
            field("z", Value::Unsigned(u128::from(u64::MAX))),
            field("huge", Value::Unsigned(u128::MAX)),
            field("low", Value::Signed(-1)),
            field("yes", Value::Bool(true)),
            field("e", Value::Enum(Some("DROP".into()), 1)),
            field("e2", Value::Enum(None, 9)),
            field("p", Value::Pointer(255)),
            field("f", Value::Float(f64::NAN)),
            field("t", Value::Text("a\"".into())),
            field("b", Value::Bytes(vec![0, 255])),
            field("l", Value::Array(vec![Value::Signed(1)])),
        ]);
        assert_eq!(
            serde_json::to_string(&Tree(&tree)).unwrap(),
            "{\"z\":18446744073709551615,\"huge\":\"340282366920938463463374607431768211455\",\"low\":-1,\"yes\":true,\
             \"e\":\"DROP\",\"e2\":9,\"p\":\"0xff\",\"f\":null,\"t\":\"a\\\"\",\"b\":\"00ff\",\"l\":[1]}"
        );
    }

    #[test]
    fn numbers_behind_which_somebody_stands_have_names() {
        let names = Names::of(&[(7, "second")], &[(8, "inner")], &[(3, "eth0")]);
        let shown = |ty, words: &[u32]| {
            let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
            let layout = Layout::new(&info(ty, 4, u32::try_from(bytes.len()).unwrap()), None, false);
            let shown = Shown::value(&layout, layout.tree(&bytes), &names);
            (shown.to_string(), serde_json::to_string(&shown).unwrap())
        };
        let both = |text: &str, json: &str| (text.to_string(), json.to_string());
        assert_eq!(shown(MapType::PROG_ARRAY, &[7]), both("second (id 7)", r#"{"id":7,"name":"second"}"#));
        assert_eq!(shown(MapType::ARRAY_OF_MAPS, &[9]), both("id 9", r#"{"id":9,"name":null}"#));
        assert_eq!(
            shown(MapType::DEVMAP, &[3, 7]),
            both(
                "eth0, ifindex 3, program second (id 7)",
                r#"{"ifindex":3,"interface":"eth0","program":{"id":7,"name":"second"}}"#
            )
        );
        assert_eq!(
            shown(MapType::DEVMAP, &[4]),
            both("ifindex 4", r#"{"ifindex":4,"interface":null,"program":null}"#)
        );
        assert_eq!(
            shown(MapType::CPUMAP, &[192, 0]),
            both("a queue of 192 packets", r#"{"qsize":192,"program":null}"#)
        );
    }
}
