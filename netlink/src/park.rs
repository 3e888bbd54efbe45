//! Waits for a future on a plain thread.
//!
//! For the blocking face and for guards, which are dropped where no one can await. The work itself is done by the
//! driver's thread, so this may be called inside any runtime, too.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Drives `future` to its end on this thread, asleep between its steps.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    // Inside a tokio task that has used up its turn, tokio's futures are never ready until the task yields, which one
    // that blocks here does not.
    let mut future = pin!(tokio::task::unconstrained(future));
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wakes_for_another_thread() {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let other = thread::spawn(move || sender.send(7));
        assert_eq!(block_on(receiver), Ok(7));
        assert_eq!(other.join().unwrap(), Ok(()));
    }

    #[test]
    fn ends_inside_a_task_that_has_used_up_its_turn() {
        let (tell, told) = std::sync::mpsc::channel();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(async {
                // Each consumed unit is a step; a turn has some hundred.
                while tokio::task::coop::has_budget_remaining() {
                    tokio::task::coop::consume_budget().await;
                }
                let (sender, receiver) = tokio::sync::oneshot::channel();
                sender.send(7).unwrap();
                tell.send(block_on(receiver)).unwrap();
            });
        });
        assert_eq!(told.recv_timeout(std::time::Duration::from_secs(20)), Ok(Ok(7)));
    }
}
