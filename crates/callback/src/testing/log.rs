//! Log lines, caught in memory.

use std::cell::RefCell;
use std::io;
use std::sync::Once;

use tracing_subscriber::filter::dynamic_filter_fn;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

thread_local! {
    /// What this thread has logged, while somebody catches it.
    static CAUGHT: RefCell<Option<Vec<u8>>> = const { RefCell::new(None) };
}

/// All log lines of this thread, of every level, as long as it lives.
///
/// There is one subscriber for all threads. With one for each, a thread that has none and is the
/// first to reach a log line would turn that line off for all others.
pub struct Log {
    _private: (),
}

impl Log {
    /// Catches all log lines from now on.
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

    /// What was logged.
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

/// Writes to what this thread has logged.
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
