//! What the kernel said.

use super::page::{Page, bad, plain};
use super::parts::calls;
use crate::model::Kernel;

pub(super) fn kernel(page: &mut Page, kernel: &Kernel) {
    calls(page, &kernel.calls);
    for problem in &kernel.problems {
        page.line(2, 4, &[bad("problem: "), plain(problem)]);
    }
}
