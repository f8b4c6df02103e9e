//! Log lines, captured in memory.

use std::cell::RefCell;
use std::io;
use std::sync::Once;

use tracing_subscriber::filter::dynamic_filter_fn;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

thread_local! {
    /// What this thread has logged since the capture started.
    static CAUGHT: RefCell<Option<Vec<u8>>> = const { RefCell::new(None) };
}

/// Captures the log lines of this thread, at every level, until it is dropped.
///
/// All threads share one subscriber. With one per thread, a thread without a subscriber that
/// reaches a log line first would disable that line for all others.
pub struct Log {
    _private: (),
}

impl Log {
    /// Starts capturing.
    pub fn capture() -> Self {
        static SUBSCRIBED: Once = Once::new();
        SUBSCRIBED.call_once(|| {
            let lines = fmt::layer().with_ansi(false).with_writer(|| Lines);
            let is_caught = dynamic_filter_fn(|_, _| CAUGHT.with_borrow(Option::is_some));
            tracing_subscriber::registry().with(is_caught).with(lines).init();
        });
        CAUGHT.set(Some(Vec::new()));
        Self { _private: () }
    }

    /// What was logged so far.
    pub fn text(&self) -> String {
        CAUGHT.with_borrow(|caught| {
            let bytes = caught.as_deref().unwrap_or_default();
            String::from_utf8_lossy(bytes).into_owned()
        })
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        CAUGHT.set(None);
    }
}

/// Appends to the captured lines of this thread.
struct Lines;

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        CAUGHT.with_borrow_mut(|caught| caught.get_or_insert_default().extend_from_slice(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
