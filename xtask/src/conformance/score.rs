//! How many programs are the same, and why the others are not.

use std::collections::BTreeMap;
use std::fmt;

use super::golden::Row;
use super::verified::{NoAnswer, Object};
use crate::XtaskError;

/// Longer reasons are cut here, so that those that begin alike are one.
const REASON: usize = 110;

/// The count so far.
#[derive(Debug, Default)]
pub(super) struct Score {
    objects: usize,
    total: usize,
    hits: usize,
    /// Hits whose instructions were compared one by one, too.
    compared: usize,
    /// Programs that loaded though libbpf does not load them.
    beyond: usize,
    crashes: usize,
    /// By reason, then by object: programs.
    misses: BTreeMap<String, BTreeMap<String, Vec<String>>>,
}

impl Score {
    /// How many objects were added.
    pub(super) fn objects(&self) -> usize {
        self.objects
    }

    /// Compares what libbpf does with an object, `rows`, with what we did, and returns how many programs are the same.
    pub(super) fn add(&mut self, object: &str, rows: &[Row], answer: Result<Object, NoAnswer>) -> usize {
        let before = self.hits;
        self.objects = self.objects.saturating_add(1);
        match answer {
            Ok(answer) => self.add_answer(object, rows, &answer),
            Err(none) => self.add_silence(object, rows, &none),
        }
        self.hits.saturating_sub(before)
    }

    /// The result for the exit code.
    ///
    /// # Errors
    /// [`XtaskError::Conformance`] unless everything is the same and nothing crashed.
    pub(super) fn verdict(&self) -> Result<(), XtaskError> {
        let Self { total, hits, crashes, .. } = *self;
        if hits == total && crashes == 0 {
            return Ok(());
        }
        Err(XtaskError::Conformance { misses: total.saturating_sub(hits), crashes })
    }

    fn add_answer(&mut self, object: &str, rows: &[Row], answer: &Object) {
        for row in rows {
            let program = answer.programs.iter().rev().find(|program| program.name == row.program);
            let reason = match (program, &answer.error) {
                (Some(program), _) => program.difference(row),
                (None, Some(error)) => Some(format!("object: {error}")),
                (None, None) => Some("the program is not listed".to_owned()),
            };
            match reason {
                Some(reason) => self.miss(&reason, object, row),
                None => {
                    self.hit(
                        program.is_some_and(|program| !row.pre.is_empty() && program.digest().is_some()),
                    );
                }
            }
        }
        let ours = answer.programs.iter().filter(|program| program.ok);
        let beyond = ours.filter(|program| rows.iter().all(|row| row.program != program.name)).count();
        self.beyond = self.beyond.saturating_add(beyond);
    }

    fn add_silence(&mut self, object: &str, rows: &[Row], none: &NoAnswer) {
        let reason = match none {
            NoAnswer::Crash(words) => format!("CRASH: {words}"),
            NoAnswer::Late => "too slow".to_owned(),
            NoAnswer::Words(words) => format!("no JSON: {words}"),
        };
        for row in rows {
            self.miss(&reason, object, row);
        }
        if matches!(none, NoAnswer::Crash(_)) {
            self.crashes = self.crashes.saturating_add(1);
            // An object of which libbpf loads nothing has no row to miss, and is to be seen all the same.
            self.misses.entry(cut(&reason)).or_default().entry(object.to_owned()).or_default();
        }
    }

    fn hit(&mut self, compared: bool) {
        self.total = self.total.saturating_add(1);
        self.hits = self.hits.saturating_add(1);
        self.compared = self.compared.saturating_add(compared.into());
    }

    fn miss(&mut self, reason: &str, object: &str, row: &Row) {
        self.total = self.total.saturating_add(1);
        let objects = self.misses.entry(cut(reason)).or_default();
        objects.entry(object.to_owned()).or_default().push(row.program.clone());
    }
}

fn cut(reason: &str) -> String {
    reason.chars().take(REASON).collect()
}

/// The most frequent reason comes first, with its objects and their programs; the score comes last.
impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let programs =
            |objects: &BTreeMap<String, Vec<String>>| objects.values().map(Vec::len).sum::<usize>();
        let mut groups: Vec<_> = self.misses.iter().collect();
        groups.sort_by_key(|(_, objects)| usize::MAX.saturating_sub(programs(objects)));
        for (reason, objects) in groups {
            writeln!(f, "{:5}  {reason}", programs(objects))?;
            for (object, programs) in objects {
                writeln!(f, "         {object}: {}", programs.join(" "))?;
            }
        }

        let Self { total, hits, compared, beyond, crashes, .. } = self;
        writeln!(
            f,
            "crashes: {crashes}; loaded beyond libbpf: {beyond}; instructions compared one by one: {compared}"
        )?;
        writeln!(f, "same as libbpf: {hits} of {total} ({})", percent(*hits, *total))
    }
}

/// Cut, not rounded: 100 % is said of all only.
fn percent(hits: usize, total: usize) -> String {
    let hundredths = hits.saturating_mul(10_000).checked_div(total).unwrap_or(10_000);
    format!("{}.{:02} %", hundredths.saturating_div(100), hundredths.wrapping_rem(100))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(programs: &[&str]) -> Vec<Row> {
        let row = |program: &&str| Row {
            object: "a.o".to_owned(),
            program: (*program).to_owned(),
            expected_attach_type: 37,
            tag: "aa".to_owned(),
            pre: String::new(),
            nobtf: String::new(),
        };
        programs.iter().map(row).collect()
    }

    fn answer(error: &str, programs: &[(&str, bool, &str)]) -> Result<Object, NoAnswer> {
        let programs: Vec<_> = programs
            .iter()
            .map(|(name, ok, tag)| {
                serde_json::json!({ "name": name, "ok": ok, "error": "refused", "tag": tag, "expected_attach_type": 37 })
            })
            .collect();
        let error = (!error.is_empty()).then_some(error);
        Ok(serde_json::from_value(serde_json::json!({ "error": error, "programs": programs })).unwrap())
    }

    #[test]
    fn misses_are_grouped_and_the_most_frequent_comes_first() {
        let mut score = Score::default();
        score.add(
            "a.o",
            &rows(&["one", "two"]),
            answer("", &[("one", true, "aa"), ("two", true, "bb"), ("x", true, "cc")]),
        );
        score.add("b.o", &rows(&["one", "two"]), answer("", &[("one", false, ""), ("two", false, "")]));
        score.add("c.o", &rows(&["one"]), answer("not an ELF file", &[]));
        score.add("d.o", &rows(&["one"]), answer("", &[]));
        let expected = "    2  refused\n         b.o: one two\n\
            \x20   1  object: not an ELF file\n         c.o: one\n\
            \x20   1  the program is not listed\n         d.o: one\n\
            \x20   1  the tag differs\n         a.o: two\n\
            crashes: 0; loaded beyond libbpf: 1; instructions compared one by one: 0\n\
            same as libbpf: 1 of 6 (16.66 %)\n";
        assert_eq!(score.to_string(), expected);
        assert!(matches!(score.verdict(), Err(XtaskError::Conformance { misses: 5, crashes: 0 })));
    }

    #[test]
    fn a_crash_counts_though_libbpf_loads_nothing() {
        let mut score = Score::default();
        score.add("a.o", &[], Err(NoAnswer::Crash("signal: 11".to_owned())));
        assert!(
            score.to_string().starts_with("    0  CRASH: signal: 11\n         a.o: \ncrashes: 1;"),
            "{score}"
        );
        assert!(matches!(score.verdict(), Err(XtaskError::Conformance { misses: 0, crashes: 1 })));
    }

    #[test]
    fn all_of_it_is_a_success_and_almost_all_of_it_is_not_a_hundred_percent() {
        let mut score = Score::default();
        score.add("a.o", &rows(&["one"]), answer("", &[("one", true, "aa")]));
        assert!(score.verdict().is_ok());
        assert!(score.to_string().ends_with("1 of 1 (100.00 %)\n"));
        assert_eq!(percent(99_999, 100_000), "99.99 %");
    }
}
