//! An entry as it is shown: its key, and its value or those of all CPUs. Pure, but for the names that are asked for.

use std::io::{self, Write};

use rxdp_loader::btf::value::Value;
use serde::Serialize;

use super::{Layout, Names, Shown};

/// An entry, ready to be shown.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub(crate) struct EntryRow {
    /// None for queues and stacks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<Shown>,
    /// The value; of per-CPU maps the sum, or none where there is no such thing.
    pub(crate) value: Option<Shown>,
    /// The values of all CPUs, in their order, where they were asked for or have no sum.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) values: Vec<Shown>,
}

impl EntryRow {
    /// An entry with its values: one, or one a CPU.
    pub(crate) fn new(
        layout: &Layout,
        names: &Names,
        key: Option<&[u8]>,
        values: &[Vec<u8>],
        per_cpu: bool,
    ) -> Self {
        let trees: Vec<Value> = values.iter().map(|value| layout.tree(value)).collect();
        let show = |tree| Shown::value(layout, tree, names);
        let sum = sum(&trees);
        let all = trees.len() > 1 && (per_cpu || sum.is_none());
        Self {
            key: key.map(|key| Shown::key(layout, key)),
            value: sum.map(show),
            values: if all { trees.into_iter().map(show).collect() } else { Vec::new() },
        }
    }

    /// As a person reads it.
    pub(crate) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let key = self.key.as_ref().map_or_else(|| "next".to_string(), |key| format!("[{key}]"));
        match &self.value {
            Some(value) => writeln!(out, "{key} = {value}")?,
            None => writeln!(out, "{key} has no sum; by CPU:")?,
        }
        let lines = self.values.iter().enumerate();
        lines.into_iter().try_for_each(|(cpu, value)| writeln!(out, "  cpu {cpu}: {value}"))
    }

    /// As a person reads it who took it out.
    pub(crate) fn write_deleted(&self, out: &mut impl Write) -> io::Result<()> {
        write!(out, "deleted ")?;
        self.write(out)
    }
}

/// One value for all; `None` if there is none.
pub(crate) fn sum(trees: &[Value]) -> Option<Value> {
    match trees {
        [one] => Some(one.clone()),
        all => Value::sum(all),
    }
}

#[cfg(test)]
mod tests {
    use rxdp_loader::uapi::MapType;

    use super::*;
    use crate::maps::layout::tests::info;

    fn shown(value_size: u32, values: &[&[u8]], per_cpu: bool) -> (String, String) {
        let layout = Layout::new(&info(MapType::PERCPU_ARRAY, 4, value_size), None, false);
        let values: Vec<Vec<u8>> = values.iter().map(|value| value.to_vec()).collect();
        let row =
            EntryRow::new(&layout, &Names::of(&[], &[], &[]), Some(&3u32.to_ne_bytes()), &values, per_cpu);
        let mut out = Vec::new();
        row.write(&mut out).unwrap();
        (String::from_utf8(out).unwrap(), serde_json::to_string(&row).unwrap())
    }

    #[test]
    fn cpus_are_added_up_where_there_is_a_sum() {
        let (text, json) = shown(2, &[&2u16.to_ne_bytes(), &5u16.to_ne_bytes()], false);
        assert_eq!((text.as_str(), json.as_str()), ("[3] = 7\n", r#"{"key":3,"value":7}"#));
        let (text, json) = shown(2, &[&2u16.to_ne_bytes(), &5u16.to_ne_bytes()], true);
        assert_eq!(text, "[3] = 7\n  cpu 0: 2\n  cpu 1: 5\n");
        assert_eq!(json, r#"{"key":3,"value":7,"values":[2,5]}"#);
        let (text, json) = shown(3, &[&[1, 2, 3], &[1, 2, 4]], false);
        assert_eq!(text, "[3] has no sum; by CPU:\n  cpu 0: 01:02:03\n  cpu 1: 01:02:04\n");
        assert_eq!(json, r#"{"key":3,"value":null,"values":["010203","010204"]}"#);
        assert_eq!(shown(3, &[&[1, 2, 3], &[1, 2, 3]], false).0, "[3] = 01:02:03\n");
    }
}
