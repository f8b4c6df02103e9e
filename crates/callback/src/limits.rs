//! Limits of Step Functions for the answer to a task.

/// Maximum length of a task's output, in bytes of UTF-8 (Step Functions service quotas).
pub const OUTPUT_BYTES_MAX: usize = 262_144;
/// Maximum length of a failed task's cause, in bytes. The quota is 32,768 characters (Step
/// Functions API, `SendTaskFailure`); counting bytes is at least as strict.
pub const CAUSE_BYTES_MAX: usize = 32_768;
/// Maximum length of a failed task's error name, in bytes. The quota is 256 characters (Step
/// Functions API, `SendTaskFailure`).
pub const ERROR_BYTES_MAX: usize = 256;
