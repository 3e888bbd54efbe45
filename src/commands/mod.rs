//! One file a verb. A command takes its arguments, calls the libraries and prints; logic that two of them need stands
//! beside this folder.

pub(crate) mod attach;
pub(crate) mod demo;
pub(crate) mod doctor;
pub(crate) mod explain;
pub(crate) mod map;
pub(crate) mod packaging;
pub(crate) mod run;
pub(crate) mod status;
pub(crate) mod trace;
pub(crate) mod unload;
pub(crate) mod verify;
