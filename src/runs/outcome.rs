//! What came out of a run, and in what two of them differ. Pure.

use rxdp_loader::uapi::{ProgType, XdpAction};

/// What became of a packet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Outcome {
    Ran(Ran),
    /// The kernel did not run the program on it, and why.
    Refused(String),
}

/// A run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Ran {
    pub(crate) verdict: String,
    pub(crate) retval: u32,
    /// Of one run, in **nanoseconds**.
    pub(crate) duration: u32,
    /// The packet as the program left it.
    pub(crate) after: Vec<u8>,
    /// What the program printed.
    pub(crate) printed: Vec<String>,
}

impl Outcome {
    /// The run, if there was one.
    pub(crate) fn ran(&self) -> Option<&Ran> {
        if let Self::Ran(ran) = self { Some(ran) } else { None }
    }

    /// Why the kernel did not run it.
    pub(crate) fn refusal(&self) -> Option<&str> {
        if let Self::Refused(why) = self { Some(why) } else { None }
    }

    /// The verdict, or that there is none.
    pub(crate) fn verdict(&self) -> &str {
        self.ran().map_or("refused", |ran| ran.verdict.as_str())
    }
}

/// What a program returned, by name where the number has one.
pub(crate) fn verdict(ty: ProgType, retval: u32) -> String {
    if ty == ProgType::XDP { XdpAction(retval).to_string() } else { retval.to_string() }
}

/// In what two versions of a program differ on a packet: `verdict`, `bytes`. That only one of them is run is a verdict, too. Times
/// differ always, and do not count.
pub(crate) fn differences(old: &Outcome, new: &Outcome) -> Vec<&'static str> {
    let verdicts = old.verdict() != new.verdict();
    let bytes = old.ran().zip(new.ran()).is_some_and(|(old, new)| old.after != new.after);
    [(verdicts, "verdict"), (bytes, "bytes")]
        .into_iter()
        .filter(|(differs, _)| *differs)
        .map(|(_, what)| what)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ran(retval: u32, duration: u32, after: &[u8]) -> Outcome {
        let verdict = verdict(ProgType::XDP, retval);
        Outcome::Ran(Ran { verdict, retval, duration, after: after.to_vec(), printed: Vec::new() })
    }

    #[test]
    fn verdicts_and_bytes_count_and_times_do_not() {
        let refused = |why: &str| Outcome::Refused(why.to_string());
        let nothing: [&str; 0] = [];
        assert_eq!(differences(&ran(2, 10, &[1]), &ran(2, 99, &[1])), nothing);
        assert_eq!(differences(&ran(2, 10, &[1]), &ran(1, 10, &[1])), ["verdict"]);
        assert_eq!(differences(&ran(2, 10, &[1]), &ran(2, 10, &[2])), ["bytes"]);
        assert_eq!(differences(&ran(2, 10, &[1]), &ran(1, 10, &[])), ["verdict", "bytes"]);
        assert_eq!(differences(&refused("EINVAL"), &ran(2, 10, &[1])), ["verdict"]);
        assert_eq!(differences(&refused("a"), &refused("b")), nothing);
    }

    #[test]
    fn numbers_of_xdp_have_names() {
        assert_eq!(verdict(ProgType::XDP, 1), "XDP_DROP");
        assert_eq!(verdict(ProgType::XDP, 77), "XDP action 77");
        assert_eq!(verdict(ProgType::SCHED_CLS, 2), "2");
    }
}
