//! What this process may do with BPF and networks: read from the kernel, and judged.
//!
//! [`Privilege`] is plain data and [`Privilege::advice`] looks at nothing else; only [`Privilege::of_this_process`] reads.

use std::fs;

/// Capabilities that the main job needs. Source: `include/uapi/linux/capability.h`.
const NEEDED: &[(u32, &str, &str)] = &[
    (39, "CAP_BPF", "to make maps and load programs"),
    (12, "CAP_NET_ADMIN", "to load network programs and attach them"),
];
const CAP_SYS_ADMIN: u32 = 21;
const CAP_NET_ADMIN: u32 = 12;
const CAP_PERFMON: u32 = 38;

/// What this process may do, and what the machine forbids.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Privilege {
    /// The effective capabilities, a bit each.
    pub(crate) effective: u64,
    /// Whether they count for bpf(2): in another user namespace than the machine's first one they do not.
    pub(crate) in_first_namespace: bool,
    /// `kernel.unprivileged_bpf_disabled`: 0 lets everybody load socket filters, 1 and 2 do not.
    pub(crate) unprivileged_bpf_disabled: Option<u8>,
    /// The word of `/sys/kernel/security/lockdown` that is chosen.
    pub(crate) lockdown: Option<String>,
    /// A seccomp filter is on, which may forbid bpf(2).
    pub(crate) is_filtered: bool,
}

impl Privilege {
    /// Reads it for the calling thread.
    ///
    /// Source: proc_pid_status(5), user_namespaces(7), kernel_lockdown(7).
    pub(crate) fn of_this_process() -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        Self::of_text(
            &read("/proc/thread-self/status"),
            &read("/proc/self/uid_map"),
            &read("/proc/sys/kernel/unprivileged_bpf_disabled"),
            &read("/sys/kernel/security/lockdown"),
        )
    }

    fn of_text(status: &str, uid_map: &str, unprivileged: &str, lockdown: &str) -> Self {
        let field = |name: &str| status.lines().find_map(|line| Some(line.strip_prefix(name)?.trim()));
        let chosen = lockdown.split_once('[').and_then(|(_, rest)| rest.split_once(']'));
        Self {
            effective: field("CapEff:")
                .and_then(|bits| u64::from_str_radix(bits, 16).ok())
                .unwrap_or_default(),
            // Only the first namespace has all numbers, unchanged.
            in_first_namespace: uid_map.split_whitespace().eq(["0", "0", "4294967295"]),
            unprivileged_bpf_disabled: unprivileged.trim().parse().ok(),
            lockdown: chosen.map(|(word, _)| word.to_string()).filter(|word| word != "none"),
            is_filtered: field("Seccomp:") == Some("2"),
        }
    }

    /// Whether it has this capability.
    pub(crate) const fn has(&self, capability: u32) -> bool {
        match 1u64.checked_shl(capability) {
            Some(bit) => self.effective & bit != 0,
            None => false,
        }
    }

    /// Whether programs may look at the kernel's memory.
    pub(crate) const fn has_perfmon(&self) -> bool {
        self.has(CAP_PERFMON) || self.has(CAP_SYS_ADMIN)
    }

    /// The capabilities of the main job that are missing, and what each is for. For loading, CAP_SYS_ADMIN is as good as
    /// any; to attach it takes CAP_NET_ADMIN.
    pub(crate) fn missing(&self) -> Vec<(&'static str, &'static str)> {
        let is_missing =
            |number: u32| !self.has(number) && (number == CAP_NET_ADMIN || !self.has(CAP_SYS_ADMIN));
        NEEDED.iter().filter(|need| is_missing(need.0)).map(|(_, name, what)| (*name, *what)).collect()
    }

    /// Why something was not permitted, and what to do, a line each. Nothing where nothing is missing.
    pub(crate) fn advice(&self) -> Vec<String> {
        let missing = self.missing();
        let mut lines: Vec<String> =
            missing.iter().map(|(name, what)| format!("missing: {name}, {what}")).collect();
        if !missing.is_empty() {
            let docker =
                missing.iter().map(|(name, _)| format!(" --cap-add {}", name.trim_start_matches("CAP_")));
            lines.push("to do: run it with sudo".to_string());
            lines.push(format!("       or sudo setcap {CAPS_OF_FILE}+ep \"$(command -v rxdp-load)\""));
            lines.push(format!("       or docker run{}", docker.collect::<String>()));
            return lines;
        }
        if !self.in_first_namespace {
            lines.push(
                "this is root of a user namespace (a rootless container), whose capabilities do not count for bpf(2)"
                    .to_string(),
            );
            lines.push("to do: run it as root outside of that namespace".to_string());
            return lines;
        }
        if self.is_filtered {
            lines.push("a seccomp filter is on, and may forbid bpf(2), as container engines do".to_string());
            lines.push("to do: docker run --security-opt seccomp=FILE with a profile that allows bpf, or --privileged".to_string());
        }
        if let Some(word) = &self.lockdown {
            lines.push(format!("the kernel is locked down ({word}), which forbids some of what BPF can"));
            lines.push("to do: boot without lockdown= and without Secure Boot".to_string());
        }
        lines
    }
}

/// What the file of the command is given, for setcap(8).
const CAPS_OF_FILE: &str = "cap_bpf,cap_net_admin";

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: &str = "         0          0 4294967295\n";

    fn privilege(capabilities: &str, uid_map: &str, seccomp: &str, lockdown: &str) -> Privilege {
        let status = format!("Name:\tx\nCapEff:\t{capabilities}\nSeccomp:\t{seccomp}\n");
        Privilege::of_text(&status, uid_map, "2\n", lockdown)
    }

    /// Effective capabilities, user namespace, seccomp, lockdown: what is said first.
    #[test]
    fn each_cause_is_named() {
        let table = [
            (privilege("0000000000000000", FIRST, "0", ""), "missing: CAP_BPF"),
            (privilege("0000008000000000", FIRST, "0", ""), "missing: CAP_NET_ADMIN"),
            (privilege("0000000000001000", FIRST, "0", ""), "missing: CAP_BPF"),
            (privilege("0000000000200000", FIRST, "0", ""), "missing: CAP_NET_ADMIN"),
            (privilege("000001ffffffffff", "0 1000 1\n", "0", ""), "this is root of a user namespace"),
            (privilege("000001ffffffffff", FIRST, "2", ""), "a seccomp filter is on"),
            (
                privilege("000001ffffffffff", FIRST, "0", "none integrity [confidentiality]\n"),
                "the kernel is locked down (confidentiality)",
            ),
        ];
        for (privilege, first) in table {
            let lines = privilege.advice();
            assert!(lines.first().is_some_and(|line| line.starts_with(first)), "{first}: {lines:?}");
        }
    }

    #[test]
    fn nothing_is_said_where_nothing_is_missing() {
        for capabilities in ["000001ffffffffff", "0000008000001000"] {
            let all = privilege(capabilities, FIRST, "0", "[none] integrity confidentiality\n");
            assert_eq!(all.advice(), Vec::<String>::new());
            assert_eq!(all.unprivileged_bpf_disabled, Some(2));
        }
    }
}
