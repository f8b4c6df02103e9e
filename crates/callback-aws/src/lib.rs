//! callback-aws
