//! Logs to standard output for CloudWatch Logs, as one JSON object per line. The field `runbook` of
//! each warning and error names a heading of infra/RUNBOOK.md.

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::panics;

/// The crates whose logs follow `LOG_LEVEL`. All others stay at INFO or above: at DEBUG and TRACE,
/// the runtime logs whole events and the SDK logs whole requests, and both contain task tokens.
const OWN_TARGETS: [&str; 5] = ["callback", "callback_aws", "functions", "relay", "sweep"];

/// Starts logging, including panics.
pub fn init(level: LevelFilter) {
    tracing_subscriber::registry()
        .with(
            tracing_subscriber::fmt::layer()
                .json()
                .flatten_event(true)
                .with_current_span(true)
                .with_span_list(false),
        )
        .with(filter(level))
        .init();
    panics::log_places();
}

fn filter(level: LevelFilter) -> Targets {
    Targets::new()
        .with_default(level.min(LevelFilter::INFO))
        // The runtime's span has the request ID, which links each line to its invocation.
        .with_target("lambda_runtime", LevelFilter::INFO)
        .with_targets(OWN_TARGETS.map(|target| (target, level)))
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn only_our_own_crates_follow_a_fine_level() {
        let filter = filter(LevelFilter::TRACE);
        assert!(filter.would_enable("callback::settle", &Level::TRACE));
        for foreign in ["lambda_runtime", "aws_smithy_runtime::client", "hyper_util", "rustls"] {
            assert!(filter.would_enable(foreign, &Level::INFO), "{foreign}");
            assert!(!filter.would_enable(foreign, &Level::DEBUG), "{foreign}");
        }
    }

    #[test]
    fn a_coarse_level_holds_for_all_but_the_runtimes_span() {
        let filter = filter(LevelFilter::ERROR);
        assert!(!filter.would_enable("callback", &Level::WARN));
        assert!(!filter.would_enable("hyper_util", &Level::WARN));
        assert!(filter.would_enable("lambda_runtime", &Level::INFO));
    }
}
