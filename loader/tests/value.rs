//! Values by their types, with the types that clang wrote for `typed_maps.c`, in both byte orders: what is read, what is
//! written, and that the one undoes the other.
#![cfg(test)]

mod common;

use common::{bytes_of, read as spec_of_bytes};
use rxdp_loader::btf::value::{Unreadable, Unwritable, Value, read, write};
use rxdp_loader::btf::{Btf, Kind, StrOff, Type, TypeId};
use rxdp_loader::bytes::Endian;

/// The committed types in one byte order.
struct Types(Btf, Endian);

fn both() -> [Types; 2] {
    [("typed_maps.o", Endian::Little), ("typed_maps-bigendian.o", Endian::Big)].map(|(name, endian)| {
        let spec = spec_of(name);
        Types(spec, endian)
    })
}

/// The types of a committed object, of whichever byte order.
fn spec_of(name: &str) -> Btf {
    let bytes = bytes_of(name);
    if name.contains("bigendian") {
        // Objects of the other byte order are not read as a whole.
        let at = find(&bytes, &0xeb9fu16.to_be_bytes());
        return Btf::parse(&bytes[at..], Endian::Big).expect("types");
    }
    spec_of_bytes(name, &bytes).expect("a meaning").btf.expect("types")
}

/// Where the section `.BTF` begins: its magic number, version 1, flags 0, a header of 24 bytes.
fn find(bytes: &[u8], magic: &[u8]) -> usize {
    let start = [magic, &[1, 0, 0, 0, 0, 24]].concat();
    bytes.windows(start.len()).position(|window| window == start).expect("a section .BTF")
}

impl Types {
    fn ty(&self, name: &str) -> TypeId {
        self.0.find(name, |kind| !matches!(kind, Kind::Var { .. } | Kind::Func { .. })).expect(name)
    }

    fn size(&self, name: &str) -> usize {
        use rxdp_loader::btf::TypeGraph;
        self.0.size_of(self.ty(name)).expect("a size").try_into().unwrap()
    }

    fn read(&self, name: &str, bytes: &[u8]) -> String {
        read(&self.0, self.ty(name), bytes, self.1).map_or_else(|error| error.to_string(), |v| v.to_string())
    }

    /// The bytes of what is written, or why there are none.
    fn write(&self, name: &str, text: &str) -> Result<Vec<u8>, String> {
        let mut bytes = vec![0; self.size(name)];
        let written = write(&self.0, Some(self.ty(name)), text, &mut bytes, self.1);
        written.map(|()| bytes).map_err(|error| error.to_string())
    }
}

/// A setting with something in every member.
const SETTING: &str = "{limit = 18446744073709551615, delta = -2, port = 443, enabled = true, letter = 97, \
    verdict = TX, level = QUIET, wide = LARGE, name = \"eth0\", mac = 02:00:00:00:00:01, low = 5, middle = 300, \
    high = 2, narrow = -16, address = 3221225985, ports = [53, 8080], word = 16909060, BYTES, either = {number = 7, \
    HALVES}, inner = 9, points = [{x = -1, y = 2}, {x = 3, y = -4}], pointer = 0xffff888000000000, \
    last_protocol = 17, huge = -170141183460469231731687303715884105728}";

/// The setting as this byte order shows it: members of a union are different readings of the same bytes.
fn setting(endian: Endian) -> String {
    let (bytes, halves) = match endian {
        Endian::Little => ("04:03:02:01", "[7, 0]"),
        Endian::Big => ("01:02:03:04", "[0, 7]"),
    };
    SETTING.replace("BYTES", &format!("bytes = {bytes}")).replace("HALVES", &format!("halves = {halves}"))
}

#[test]
fn what_is_written_is_read_again() {
    for types in both() {
        let text = setting(types.1);
        let bytes = types.write("setting", &text).expect("a value");
        assert_eq!(types.read("setting", &bytes), text, "{:?}", types.1);
        // Once more, from what was printed.
        assert_eq!(types.write("setting", &types.read("setting", &bytes)), Ok(bytes));
    }
}

#[test]
fn members_stand_where_the_compiler_puts_them() {
    for types in both() {
        let bytes = types.write("setting", &setting(types.1)).expect("a value");
        let number = |n: u32| match types.1 {
            Endian::Little => n.to_le_bytes(),
            Endian::Big => n.to_be_bytes(),
        };
        assert_eq!(bytes[8..12], number(u32::MAX - 1), "delta");
        assert_eq!(bytes[14..16], [1, 97], "enabled, letter");
        assert_eq!(bytes[32..40], *b"eth0\0\0\0\0", "name");
        // The network's order, whatever the machine's is.
        let address = bytes.windows(4).filter(|window| *window == [192, 0, 2, 1]).count();
        assert_eq!(address, 1, "address");
        // low : 3 = 5, middle : 9 = 300, : 2, high : 2 = 2, from the lowest bit or from the highest one.
        let at = 46;
        let word = match types.1 {
            Endian::Little => (5u16 | 300 << 3 | 2 << 14).to_le_bytes(),
            Endian::Big => (5u16 << 13 | 300 << 4 | 2).to_be_bytes(),
        };
        assert_eq!(bytes[at..at + 2], word, "bitfields");
    }
}

#[test]
fn what_is_not_mentioned_stays() {
    let [types, _] = both();
    let mut bytes = types.write("setting", &setting(types.1)).expect("a value");
    write(&types.0, Some(types.ty("setting")), "{low = 1, .port = 0x50}", &mut bytes, types.1).unwrap();
    let expected = setting(types.1).replace("low = 5", "low = 1").replace("port = 443", "port = 80");
    assert_eq!(types.read("setting", &bytes), expected);
}

#[test]
fn values_have_many_spellings() {
    let [types, _] = both();
    let same = |name, spellings: &[&str]| {
        let all: Vec<_> = spellings.iter().map(|text| types.write(name, text)).collect();
        assert!(all[0].is_ok() && all.iter().all(|one| *one == all[0]), "{spellings:?}: {all:?}");
    };
    same("verdict", &["TX", "3", "0x3", "0b11", " TX "]);
    same("level", &["QUIET", "-1", "0xffffffff", "4294967295"]);
    same(
        "flow",
        &[
            "{address = 192.0.2.1, port = 53, protocol = 17}",
            r#"{"address": 3221225985, "port": 53, "protocol": 17, "unused": 0}"#,
            "{3221225985, 53, 17}",
            "[192.0.2.1, hex:0035, 17]",
        ],
    );
    same("flow", &["hex:c000020100351100", "c0:00:02:01:00:35:11:00", "c0 00 02 01 00 35 11 00"]);
    same(
        "prefix6",
        &[
            "{prefixlen = 64, address = 2001:db8::1}",
            "{prefixlen = 64, address = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]}",
        ],
    );
    same("setting", &["{name = eth0}", "{name = \"eth0\"}", "{name = ['e', 't', 'h', 48]}"]);
    same("setting", &["{letter = 'a'}", "{letter = \"a\"}", "{letter = 97}", "{letter = 0x61}"]);
    same("setting", &["{enabled = true}", "{enabled = 1}"]);
}

#[test]
fn what_does_not_fit_is_said_with_what_would() {
    let [types, _] = both();
    for (name, text, why) in [
        ("flow", "{protocol = 256}", "256 is out of range for u8 (8 bits): 0 to 255"),
        ("flow", "{protocol = -1}", "-1 is out of range for u8 (8 bits): 0 to 255"),
        ("setting", "{low = 8}", "8 is out of range for u16 (3 bits): 0 to 7"),
        ("setting", "{narrow = 16}", "16 is out of range for int (5 bits): -16 to 15"),
        ("setting", "{delta = 2147483648}", "out of range for int (32 bits): -2147483648 to 2147483647"),
        (
            "setting",
            "{limit = 18446744073709551616}",
            "out of range for u64 (64 bits): 0 to 18446744073709551615",
        ),
        ("setting", "{enabled = 2}", "2 is out of range for _Bool (8 bits): 0 to 1"),
        ("setting", "{enabled = yes}", "_Bool takes true or false, not \"yes\""),
        ("setting", "{name = \"ethernet0\"}", "9 bytes were given, and char[8] takes 8"),
        ("setting", "{mac = 02:00}", "u8[6] takes 6 bytes (hex:0a1b..., or 0a:1b:...), not \"02:00\""),
        ("setting", "{mac = 7}", "u8[6] takes 6 bytes (hex:0a1b..., or 0a:1b:...), not \"7\""),
        ("setting", "{mac = 00:01:02:03:04:05:06}", "7 bytes were given, and u8[6] takes 6"),
        ("setting", "{points = [1, 2, 3]}", "3 elements were given, and point[2] takes 2"),
        ("setting", "{points = 5}", "point[2] takes up to 2 values: [a, b, ...], not \"5\""),
        ("setting", "{verdict = DORP}", "verdict has no \"DORP\"; it has ABORTED, DROP, PASS, TX, REDIRECT"),
        ("setting", "{verdict = 4294967296}", "out of range for verdict (32 bits)"),
        ("setting", "{prot = 5}", "setting has no \"prot\"; it has limit, delta, port"),
        ("flow", "{1, 2, 3, 4, 5}", "5 values were given, and flow takes 4"),
        ("flow", "7", "flow takes {address, port, protocol, unused = ...}, not \"7\""),
        ("flow", "{port = http}", "__be16 takes a number, not \"http\""),
        ("flow", "{port = {1}}", "__be16 takes a number, not a list of 1"),
        ("flow", "{port = 1", "'}' is missing"),
    ] {
        let found = types.write(name, text);
        assert!(found.as_ref().is_err_and(|error| error.contains(why)), "{text}: {found:?}, not {why}");
    }
}

#[test]
fn bytes_without_types_have_spellings_too() {
    let [types, _] = both();
    let plain = |len: usize, text: &str| {
        let mut bytes = vec![0; len];
        write(&types.0, None, text, &mut bytes, Endian::Little).map(|()| bytes)
    };
    assert_eq!(plain(4, "192.0.2.1").unwrap(), [192, 0, 2, 1]);
    assert_eq!(plain(4, "258").unwrap(), [2, 1, 0, 0]);
    assert_eq!(plain(2, "-1").unwrap(), [255, 255]);
    assert_eq!(plain(6, "02:00:00:00:00:0a").unwrap(), [2, 0, 0, 0, 0, 10]);
    assert_eq!(plain(3, "00 ff 10").unwrap(), [0, 255, 16]);
    assert_eq!(plain(3, "hex:00ff10").unwrap(), [0, 255, 16]);
    assert_eq!(plain(3, "[1, 2]").unwrap(), [1, 2, 0]);
    assert_eq!(plain(6, "\"eth0\"").unwrap(), *b"eth0\0\0");
    assert_eq!(plain(16, "::1").unwrap()[15], 1);
    let why = |len, text| plain(len, text).unwrap_err().to_string();
    assert_eq!(
        why(6, "5"),
        "a value of 6 bytes without types takes 6 bytes (hex:0a1b..., or 0a:1b:...), not \"5\""
    );
    assert!(why(4, "00:01").contains("takes 4 bytes (hex:0a1b..., or 0a:1b:...), an IPv4 address, a number"));
    assert!(
        why(4, "4294967296")
            .ends_with("out of range for a value of 4 bytes without types: -2147483648 to 4294967295")
    );
    assert!(why(2, "[1, 2, 3]").starts_with("3 bytes were given"));
    assert!(why(2, "[256]").contains("not \"256\""));
    assert!(why(2, "{a = 1}").contains("not a list of members"));
}

#[test]
fn too_few_bytes_are_said() {
    let [types, _] = both();
    let whole = types.write("setting", &setting(types.1)).expect("a value");
    for len in 0..whole.len() {
        let found = read(&types.0, types.ty("setting"), &whole[..len], types.1);
        let ty = "setting".to_string();
        assert_eq!(found, Err(Unreadable::TooShort { ty, have: len }));
    }
    assert!(read(&types.0, types.ty("setting"), &whole, types.1).is_ok());
}

#[test]
fn sections_of_variables_and_open_ends_are_values() {
    let [types, _] = both();
    let section = types.0.find(".data", |kind| matches!(kind, Kind::Datasec { .. })).expect("a section");
    let value = read(&types.0, section, b"hello\0\0\0\0\0\0\0\0\0\0\0", types.1).unwrap();
    assert_eq!(value.to_string(), "{greeting = \"hello\"}");
    let mut bytes = [0; 16];
    write(&types.0, Some(section), "{greeting = \"hi\"}", &mut bytes, types.1).unwrap();
    assert_eq!(bytes, *b"hi\0\0\0\0\0\0\0\0\0\0\0\0\0\0");

    // struct { u32 prefixlen; u8 data[]; }
    let mut open = types.0.clone();
    let prefix6 = types.ty("prefix6");
    let Kind::Composite { members, size, .. } = &mut open.types[prefix6.index()].kind else {
        panic!("a structure")
    };
    *size = 4;
    let array = members[1].ty;
    let Kind::Array { len, .. } = &mut open.types[array.index()].kind else { panic!("an array") };
    *len = 0;
    let value = read(&open, prefix6, &[8, 0, 0, 0, 10, 0, 0], Endian::Little).unwrap();
    assert_eq!(value.to_string(), "{prefixlen = 8, address = 0a:00:00}");
    let mut bytes = [0; 8];
    write(&open, Some(prefix6), "{8, 10.0.0.0}", &mut bytes, Endian::Little).unwrap();
    assert_eq!(bytes, [8, 0, 0, 0, 10, 0, 0, 0]);
}

/// Types that lead to themselves, and unions that grow without end, cost little and are said.
#[test]
fn damaged_types_end() {
    let int = Kind::Int { size: 4, detail: 32 };
    let btf = |kinds: Vec<Kind>| Btf {
        types: [Kind::Void].into_iter().chain(kinds).map(|kind| Type { name: StrOff(0), kind }).collect(),
        strings: b"\0x\0".to_vec(),
    };
    let member =
        |ty| rxdp_loader::btf::Member { name: StrOff(1), ty: TypeId(ty), bit_offset: 0, bit_size: 0 };
    let union = |ty| Kind::Composite { union: true, size: 4, members: vec![member(ty); 4], bitfields: false };
    let of = |kinds, ty| read(&btf(kinds), TypeId(ty), &[1, 0, 0, 0], Endian::Little);
    assert_eq!(of(vec![Kind::Typedef(TypeId(1))], 1), Err(Unreadable::NoType(1)));
    assert_eq!(of(vec![union(1)], 1), Err(Unreadable::NoType(1)));
    assert_eq!(of(vec![int.clone()], 7), Err(Unreadable::NoType(7)));
    assert_eq!(of(vec![int.clone()], 0), Err(Unreadable::NoValue("a type without a name".into())));
    // Each of 40 unions holds the next one four times.
    let unions = (0..40).map(|n| union(n + 2)).chain([int.clone()]).collect();
    assert!(matches!(of(unions, 1), Err(Unreadable::TooMany(_))));
    // Elements without a size are no elements, however many there are said to be.
    let empty = Kind::Composite { union: false, size: 0, members: vec![], bitfields: false };
    let array = |element, len| Kind::Array { element: TypeId(element), index: TypeId(1), len };
    assert_eq!(of(vec![empty, array(1, u32::MAX)], 2), Ok(Value::Array(vec![])));
    assert!(matches!(of(vec![int, array(1, u32::MAX)], 2), Err(Unreadable::TooShort { .. })));
    let mut bytes = [0; 4];
    let written = write(&btf(vec![union(1)]), Some(TypeId(1)), "[1]", &mut bytes, Endian::Little);
    assert!(
        matches!(written, Err(Unwritable::NoSuch { .. } | Unwritable::NoValue(_) | Unwritable::Takes { .. })),
        "{written:?}"
    );
}

#[test]
fn numbers_that_no_name_has_stay_numbers() {
    let [types, _] = both();
    let read = |name, bytes: &[u8]| types.read(name, bytes);
    assert_eq!(read("verdict", &9u32.to_le_bytes()), "9");
    assert_eq!(read("level", &(-1i32).to_le_bytes()), "QUIET");
    assert_eq!(read("level", &(-2i32).to_le_bytes()), "-2");
    assert_eq!(read("wide", &0x1_0000_0001u64.to_le_bytes()), "LARGE");
    // A bool that is neither, and characters that are no text.
    let mut setting = types.write("setting", "{name = [200, 1, 0, 1]}").unwrap();
    setting[14] = 2;
    let shown = read("setting", &setting);
    assert!(shown.contains("enabled = 2,") && shown.contains("name = c8:01:00:01:00:00:00:00"), "{shown}");
}
