//! The one way in which the sandbox writes an error.

use std::error::Error;

/// The error with everything that caused it, the outermost first.
pub fn error_chain(error: &(dyn Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| (*error).source());
    let causes: Vec<String> = causes.map(ToString::to_string).collect();
    causes.join(": ")
}
