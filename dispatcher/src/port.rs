//! The interface, as far as this crate needs one: who brings it speaks netlink.

use std::fmt::Display;
use std::os::fd::BorrowedFd;

/// What is done on an interface.
///
/// Programs are attached over netlink, never by a bpf_link: a dispatcher that a link holds could not be exchanged by others.
pub trait Port {
    /// How a program is attached: natively or generically.
    type Mode: Copy + PartialEq + Display;
    /// Why a call failed.
    type Error;

    /// Number of the interface.
    fn ifindex(&self) -> u32;

    /// The **id** of the program that is attached in software, if one is, and how.
    ///
    /// # Errors
    /// What went wrong.
    fn look(&self) -> Result<Option<(u32, Self::Mode)>, Self::Error>;

    /// Attaches where nothing is attached; without a mode, as the kernel likes. Says how it was attached.
    ///
    /// # Errors
    /// What went wrong; that something is attached already is no error but [`Outcome::Lost`].
    fn attach(
        &self,
        new: BorrowedFd<'_>,
        mode: Option<Self::Mode>,
    ) -> Result<Outcome<Self::Mode>, Self::Error>;

    /// Exchanges `old` for `new`, if it is `old` that is attached.
    ///
    /// # Errors
    /// What went wrong; that something else is attached is no error but [`Outcome::Lost`].
    fn replace(
        &self,
        new: BorrowedFd<'_>,
        old: BorrowedFd<'_>,
        mode: Self::Mode,
    ) -> Result<Outcome<()>, Self::Error>;

    /// Takes `old` off, if it is `old` that is attached.
    ///
    /// # Errors
    /// As [`replace`](Self::replace).
    fn detach(&self, old: BorrowedFd<'_>, mode: Self::Mode) -> Result<Outcome<()>, Self::Error>;
}

/// What came of a change of an interface.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome<T> {
    /// It is done.
    Done(T),
    /// Somebody else was faster: nothing was changed.
    Lost,
}
