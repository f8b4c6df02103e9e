//! What goes over the wire, and what comes back from it.

mod recorded;
mod wire;
