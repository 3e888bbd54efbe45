//! What libbpf did with each program, as rows.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::Deserialize;

use crate::XtaskError;

/// One program that libbpf loads. A golden file has more columns; these are compared.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub(super) struct Row {
    /// The file name of its object.
    pub object: String,
    /// Its name.
    pub program: String,
    /// The kernel's number.
    pub expected_attach_type: u32,
    /// The kernel's hash of the instructions, without map references.
    pub tag: String,
    /// Our hash of the instructions as they were sent, with the names of maps; see [`super::verified`]. Empty where
    /// it was not to be had.
    pub pre: String,
    /// `1` where the program loads with the same tag when the kernel offers no types.
    #[serde(default)]
    pub nobtf: String,
}

/// The rows of a golden file, by object.
#[derive(Debug)]
pub(super) struct Golden {
    objects: BTreeMap<String, Vec<Row>>,
}

impl Golden {
    /// Reads a file, all rows or those that need no types of the kernel.
    ///
    /// # Errors
    /// [`XtaskError::Read`], or [`XtaskError::Golden`] for a row that is none.
    pub(super) fn read(path: &Path, nobtf: bool) -> Result<Self, XtaskError> {
        let file =
            File::open(path).map_err(|source| XtaskError::Read { path: path.to_path_buf(), source })?;
        parse(file, nobtf).map_err(|source| XtaskError::Golden { path: path.to_path_buf(), source })
    }

    /// The rows of one object; none if libbpf loads nothing of it.
    pub(super) fn rows(&self, object: &str) -> &[Row] {
        self.objects.get(object).map_or(&[], Vec::as_slice)
    }
}

fn parse(file: impl Read, nobtf: bool) -> Result<Golden, csv::Error> {
    let mut objects = BTreeMap::<String, Vec<Row>>::new();
    let mut reader = csv::ReaderBuilder::new().delimiter(b'\t').quoting(false).from_reader(file);
    for row in reader.deserialize() {
        let row: Row = row?;
        if !nobtf || row.nobtf == "1" {
            objects.entry(row.object.clone()).or_default().push(row);
        }
    }
    Ok(Golden { objects })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "object\tprogram\tsection\tprog_type\texpected_attach_type\ttag\tpre\tnobtf\n\
        a.o\tone\txdp\t6\t37\tcca9a3ce8b4579f5\teab1a2c7acf6c378\t1\n\
        a.o\ttwo\tfentry/\"x\t26\t24\t602d59ba9e1b6b8c\t\t0\n\
        b.o\tone\txdp\t6\t0\t1111111111111111\t\t1\n";

    #[test]
    fn rows_are_found_by_object() {
        let golden = parse(FILE.as_bytes(), false).unwrap();
        let [one, two] = golden.rows("a.o") else { panic!("{golden:?}") };
        let tag = "cca9a3ce8b4579f5".to_owned();
        assert_eq!((&*one.program, one.expected_attach_type, &one.tag), ("one", 37, &tag));
        assert_eq!((&*two.program, &*two.pre), ("two", ""));
        assert!(golden.rows("c.o").is_empty());
    }

    #[test]
    fn programs_that_need_types_can_be_left_out() {
        let golden = parse(FILE.as_bytes(), true).unwrap();
        assert_eq!(golden.rows("a.o").len(), 1);
        assert_eq!(golden.rows("b.o").len(), 1);
    }

    #[test]
    fn a_row_that_is_none_is_found_by_its_line() {
        let error =
            parse("object\tprogram\texpected_attach_type\ttag\tpre\na.o\tone\txdp\tx\t\n".as_bytes(), false);
        let error = error.unwrap_err().to_string();
        assert!(error.contains("line: 2"), "{error}");
    }

    #[test]
    fn a_file_of_another_kind_is_an_error() {
        assert!(parse("something\telse\n1\t2\n".as_bytes(), false).is_err());
    }
}
