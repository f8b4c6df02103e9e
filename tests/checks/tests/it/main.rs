//! What must hold for any input, tried with arbitrary values.

mod answers;
mod documents;
mod event;
mod report;
mod seeds;
