//! Run Command as its callers see it, with real scripts on nodes in a temporary directory.
