//! How fast numbers grow. Pure.

use rxdp_loader::btf::value::{Field, Value};

/// What grew by so much within so many seconds grows by this much a second, with one digit behind the point.
pub(crate) fn rate(growth: &Value, seconds: f64) -> Value {
    #[expect(clippy::cast_precision_loss, reason = "a rate is no count")]
    let per_second = |grown: i128| {
        let exact = if seconds > 0.0 { grown as f64 / seconds } else { 0.0 };
        Value::Float((exact * 10.0).round() / 10.0)
    };
    match growth {
        Value::Signed(grown) => per_second(*grown),
        Value::Array(values) => Value::Array(values.iter().map(|value| rate(value, seconds)).collect()),
        Value::Fields(fields) => Value::Fields(
            fields
                .iter()
                .map(|Field { name, value }| Field { name: name.clone(), value: rate(value, seconds) })
                .collect(),
        ),
        Value::Unsigned(_)
        | Value::Bool(_)
        | Value::Enum(..)
        | Value::Float(_)
        | Value::Pointer(_)
        | Value::Text(_)
        | Value::Bytes(_) => growth.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_divided_by_the_time() {
        let growth = Value::Fields(vec![
            Field { name: "a".into(), value: Value::Signed(7) },
            Field { name: "b".into(), value: Value::Array(vec![Value::Signed(-3)]) },
        ]);
        assert_eq!(rate(&growth, 2.0).to_string(), "{a = 3.5, b = [-1.5]}");
        assert_eq!(rate(&Value::Signed(10), 3.0).to_string(), "3.3");
        assert_eq!(rate(&Value::Signed(10), 0.0).to_string(), "0");
    }
}
