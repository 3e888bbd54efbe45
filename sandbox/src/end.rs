//! The two ends of the sandbox and their fixed facts: interface, index, MAC address, IPv4 address.
//!
//! Data only. Nothing here talks to the kernel.

use std::net::Ipv4Addr;

/// Length of both ends' network prefix, in bits.
pub const PREFIX_LEN: u8 = 24;

/// One end of the veth pair, and the network namespace it is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum End {
    /// Where programs are attached: `v0`, 192.0.2.1.
    Near,
    /// Where packets come from: `v1`, 192.0.2.2.
    Far,
}

impl End {
    /// Name of this end's interface.
    pub const fn interface(self) -> &'static str {
        self.facts().interface
    }

    /// MAC address of this end's interface, locally administered.
    pub const fn mac(self) -> [u8; 6] {
        self.facts().mac
    }

    /// IPv4 address of this end's interface, from the block that RFC 5737 keeps for documentation.
    pub const fn ip(self) -> Ipv4Addr {
        self.facts().ip
    }

    /// Index of this end's interface in its namespace.
    pub(crate) const fn index(self) -> u32 {
        self.facts().index
    }

    /// The end across the wire.
    pub const fn other(self) -> Self {
        match self {
            Self::Near => Self::Far,
            Self::Far => Self::Near,
        }
    }

    const fn facts(self) -> &'static Facts {
        match self {
            Self::Near => &NEAR,
            Self::Far => &FAR,
        }
    }
}

struct Facts {
    interface: &'static str,
    index: u32,
    mac: [u8; 6],
    ip: Ipv4Addr,
}

// The last four bytes of each MAC address repeat the IPv4 address, so that a hex dump reads by itself.
const NEAR: Facts =
    Facts { interface: "v0", index: 2, mac: [0x02, 0x00, 192, 0, 2, 1], ip: Ipv4Addr::new(192, 0, 2, 1) };

// An index that differs from the peer's: for such an interface the kernel turns carrier changes into a working
// queue at once, for others once a second. Extra pairs differ too, since near has index 2 taken and far has not.
const FAR: Facts =
    Facts { interface: "v1", index: 1002, mac: [0x02, 0x00, 192, 0, 2, 2], ip: Ipv4Addr::new(192, 0, 2, 2) };
