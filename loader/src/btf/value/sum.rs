//! The values of all CPUs as one: integers are added up, what is the same everywhere stays.

use alloc::vec::Vec;

use super::{Field, Value};

impl Value {
    /// The sum of values of one type. `None` if there are none, and if something in them is no integer and differs: nobody
    /// can say what the sum of two names is.
    pub fn sum(values: &[Self]) -> Option<Self> {
        let (first, rest) = values.split_first()?;
        rest.iter().try_fold(first.clone(), |sum, value| sum.plus(value))
    }

    fn plus(&self, other: &Self) -> Option<Self> {
        match (self, other) {
            (Self::Unsigned(a), Self::Unsigned(b)) => a.checked_add(*b).map(Self::Unsigned),
            (Self::Signed(a), Self::Signed(b)) => a.checked_add(*b).map(Self::Signed),
            (Self::Array(a), Self::Array(b)) if a.len() == b.len() => {
                a.iter().zip(b).map(|(a, b)| a.plus(b)).collect::<Option<Vec<_>>>().map(Self::Array)
            }
            (Self::Fields(a), Self::Fields(b)) if a.len() == b.len() => {
                let plus = |(a, b): (&Field, &Field)| {
                    Some(Field { name: a.name.clone(), value: a.value.plus(&b.value)? })
                };
                a.iter().zip(b).map(plus).collect::<Option<Vec<_>>>().map(Self::Fields)
            }
            (a, b) => (a == b).then(|| a.clone()),
        }
    }

    /// By how much each integer in it is more than in an earlier value of the same type, as a tree of the same form; `None`
    /// for what has no integers, and where two values are not of one form.
    pub fn growth(&self, before: &Self) -> Option<Self> {
        let signed = |number: &u128| i128::try_from(*number).ok();
        match (self, before) {
            (Self::Unsigned(now), Self::Unsigned(then)) => {
                signed(now)?.checked_sub(signed(then)?).map(Self::Signed)
            }
            (Self::Signed(now), Self::Signed(then)) => now.checked_sub(*then).map(Self::Signed),
            (Self::Array(now), Self::Array(then)) if now.len() == then.len() => {
                now.iter().zip(then).map(|(a, b)| a.growth(b)).collect::<Option<Vec<_>>>().map(Self::Array)
            }
            (Self::Fields(now), Self::Fields(then)) => {
                // Members that are no numbers have no rate; the others do.
                let grown = now.iter().zip(then).filter_map(|(a, b)| {
                    Some(Field { name: a.name.clone(), value: a.value.growth(&b.value)? })
                });
                let grown: Vec<_> = grown.collect();
                (!grown.is_empty()).then_some(Self::Fields(grown))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    fn fields(packets: u128, name: &str) -> Value {
        let field = |name: &str, value| Field { name: name.into(), value };
        Value::Fields(vec![
            field("packets", Value::Unsigned(packets)),
            field("last", Value::Array(vec![Value::Signed(-1)])),
            field("name", Value::Text(name.into())),
        ])
    }

    #[test]
    fn integers_are_added_and_the_rest_must_be_the_same() {
        let sum = Value::sum(&[fields(3, "a"), fields(4, "a")]).unwrap();
        assert_eq!(alloc::format!("{sum}"), "{packets = 7, last = [-2], name = \"a\"}");
        assert_eq!(Value::sum(&[fields(3, "a"), fields(4, "b")]), None);
        assert_eq!(Value::sum(&[Value::Unsigned(u128::MAX), Value::Unsigned(1)]), None);
        assert_eq!(Value::sum(&[Value::Unsigned(1), Value::Signed(1)]), None);
        assert_eq!(Value::sum(&[]), None);
    }

    #[test]
    fn growth_is_of_integers_only() {
        let growth = fields(9, "b").growth(&fields(4, "a")).unwrap();
        assert_eq!(alloc::format!("{growth}"), "{packets = 5, last = [0]}");
        assert_eq!(Value::Unsigned(1).growth(&Value::Unsigned(4)), Some(Value::Signed(-3)));
        assert_eq!(Value::Text("a".into()).growth(&Value::Text("b".into())), None);
    }
}
