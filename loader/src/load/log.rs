//! What the verifier's log says last: for showing, never for deciding.

use crate::sys::Log;

impl Log {
    /// The verifier's last word: its last line that is not a count. For showing, never for deciding.
    pub fn summary(&self) -> Option<&str> {
        const COUNTS: &[&str] = &["processed ", "verification time", "stack depth", "; "];
        let says = |line: &&str| !line.is_empty() && !COUNTS.iter().any(|count| line.starts_with(count));
        self.text.lines().map(str::trim).rfind(says)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_of_a_log_is_no_count() {
        let text = "0: (61) r2 = *(u32 *)(r1 +0)\ninvalid access to packet, off=0 size=1\n\
                    processed 4 insns (limit 1000000)\n";
        let log = Log { text: text.to_string(), truncated: false };
        assert_eq!(log.summary(), Some("invalid access to packet, off=0 size=1"));
        assert_eq!(Log::default().summary(), None);
    }
}
