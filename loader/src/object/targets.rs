//! What programs attach to, said by the embedder.

use std::os::fd::OwnedFd;

use super::Object;
use crate::error::Error;

impl Object {
    /// Lets a program of `fentry`, `fexit` or `freplace` attach to a function of another program that is in the kernel:
    /// to the named one; without a name to the one that its section names, or else to the main one. A copy of the
    /// descriptor may be given ([`OwnedFd::try_clone`]). Which functions the other one has is asked when the object is
    /// loaded.
    ///
    /// Source: libbpf `bpf_program__set_attach_target`. Since: Linux 5.5.
    ///
    /// # Errors
    /// [`Error::NotInObject`] with the names that there are, [`Error::Target`] if its section is for other programs.
    pub fn set_attach_target(
        &mut self,
        program: &str,
        target: OwnedFd,
        function: Option<&str>,
    ) -> Result<(), Error> {
        let id = self.program_id(program)?;
        if let Some(program) = self.spec.programs.get_mut(id.index()) {
            program.attach_to_program(function)?;
        }
        self.targets.insert(id, target);
        Ok(())
    }

    /// Lets a program attach to this function of the kernel, whatever its section says; or tracepoint, LSM hook or
    /// iterator, as its section has it. `MODULE:NAME` is one of a module.
    ///
    /// Since: Linux 5.5.
    ///
    /// # Errors
    /// As [`set_attach_target`](Self::set_attach_target).
    pub fn set_attach_function(&mut self, program: &str, function: &str) -> Result<(), Error> {
        let id = self.program_id(program)?;
        if let Some(program) = self.spec.programs.get_mut(id.index()) {
            program.attach_to_kernel(function)?;
        }
        self.targets.remove(&id);
        Ok(())
    }
}
