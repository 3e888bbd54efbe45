//! Variables of the kernel's configuration: what each is, and who said so.

use rxdp_loader::spec::{Extern, ExternKind, KconfigForm, KconfigSource, MapId, ObjectSpec};

use crate::model::{Definition, Field};
use crate::types::c_type;
use crate::words::hex;

/// A variable of the kernel's configuration.
struct Variable<'s> {
    name: &'s str,
    offset: u32,
    size: u32,
    form: KconfigForm,
    said: Option<&'s KconfigSource>,
    bytes: &'s [u8],
}

impl<'s> Variable<'s> {
    fn of(spec: &'s ObjectSpec, name: &'s str, external: &'s Extern) -> Option<(MapId, Self)> {
        let ExternKind::Kconfig { map, offset, size, form } = external.kind else {
            return None;
        };
        let start = usize::try_from(offset).ok()?;
        let end = start.checked_add(usize::try_from(size).ok()?)?;
        let bytes = spec.map(map)?.data.as_deref().and_then(|data| data.get(start..end)).unwrap_or_default();
        Some((map, Self { name, offset, size, form, said: external.said.as_ref(), bytes }))
    }

    /// Its value, and where that is from.
    fn words(&self) -> String {
        let name = self.name;
        let value = || self.value();
        match self.said {
            None => "not known: nobody looked at the kernel's configuration".to_string(),
            Some(KconfigSource::Configuration(text)) => {
                format!("{}: the kernel's configuration says {name}={text}", value())
            }
            Some(KconfigSource::Loader) => format!("{}: the loader knows it of this kernel", value()),
            Some(KconfigSource::Nobody { weak: true }) => {
                format!("{}: the kernel's configuration does not say it, and the object does without (weak)", value())
            }
            Some(KconfigSource::Nobody { weak: false }) => {
                "not known: the kernel's configuration does not say it. Programs that refer to it cannot be loaded"
                    .to_string()
            }
        }
    }

    fn value(&self) -> String {
        let number = self.number();
        match self.form {
            KconfigForm::Bool => (if number == 0 { "false" } else { "true" }).to_string(),
            KconfigForm::Tristate => match number {
                0 => "TRI_NO (0)".to_string(),
                1 => "TRI_YES (1)".to_string(),
                2 => "TRI_MODULE (2)".to_string(),
                other => other.to_string(),
            },
            KconfigForm::Chars => {
                let text: Vec<u8> = self.bytes.iter().copied().take_while(|byte| *byte != 0).collect();
                format!("{:?}", String::from_utf8_lossy(&text))
            }
            KconfigForm::Char { .. } if (0x20..0x7f).contains(&number) => {
                let letter = u8::try_from(number).map(char::from).unwrap_or('?');
                format!("{letter:?} ({number})")
            }
            KconfigForm::Char { signed } | KconfigForm::Int { signed } if signed => {
                // Widened with its sign.
                let unused = 64u32.saturating_sub(self.size.saturating_mul(8));
                let wide = number.checked_shl(unused).unwrap_or(number);
                i64::from_ne_bytes(wide.to_ne_bytes()).checked_shr(unused).unwrap_or(0).to_string()
            }
            KconfigForm::Int { .. } if self.name == "LINUX_KERNEL_VERSION" => {
                format!("{number} ({}.{}.{})", number >> 16, number >> 8 & 0xff, number & 0xff)
            }
            KconfigForm::Char { .. } | KconfigForm::Int { .. } => number.to_string(),
        }
    }

    /// Its bytes as a number; they are in this machine's order.
    fn number(&self) -> u64 {
        let fold = |number: u64, byte: &u8| number.checked_shl(8).unwrap_or(0) | u64::from(*byte);
        let bytes = self.bytes.iter().take(8);
        if cfg!(target_endian = "big") { bytes.fold(0, fold) } else { bytes.rev().fold(0, fold) }
    }
}

/// The variables of a map that the loader made for them; `None` if it is no such map.
pub(crate) fn definition(spec: &ObjectSpec, id: MapId) -> Option<Definition> {
    let variables = spec.externs.iter().filter_map(|(name, external)| Variable::of(spec, name, external));
    let mut variables: Vec<Variable<'_>> =
        variables.filter(|(map, _)| *map == id).map(|(_, variable)| variable).collect();
    variables.sort_by_key(|variable| variable.offset);
    let field = |variable: &Variable<'_>| Field {
        offset: variable.offset,
        size: variable.size,
        name: variable.name.to_string(),
        c_type: type_of(spec, variable.name),
        bytes: hex(variable.bytes.get(..16).unwrap_or(variable.bytes)),
        meaning: variable.words(),
    };
    let size = spec.map(id)?.value_size.into();
    let fields: Vec<Field> = variables.iter().map(field).collect();
    (!fields.is_empty()).then_some(Definition { offset: 0, size, fields })
}

fn type_of(spec: &ObjectSpec, name: &str) -> Option<String> {
    use rxdp_loader::btf::Kind;

    let btf = spec.btf.as_ref()?;
    let id = btf.find(name, |kind| matches!(kind, Kind::Var { .. }))?;
    let Some(Kind::Var { ty, .. }) = btf.kind(id) else {
        return None;
    };
    c_type(Some(btf), *ty)
}

/// What an extern of `.kconfig` turned out to be.
pub(crate) fn found(spec: &ObjectSpec, name: &str, external: &Extern) -> Option<String> {
    let (map, variable) = Variable::of(spec, name, external)?;
    let words = variable.words();
    Some(format!("{words}; byte {} of {}", variable.offset, spec.map_name(map)))
}
