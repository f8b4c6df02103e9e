//! The steps of a document, in order: that of a command, or one inside a step.

use futures_util::future::BoxFuture;

use super::Agent;
use super::output::Output;
use super::prepare::Prepared;
use super::script_step::Shell;
use super::step::{Change, Operation, StepResult, StepStatus};
use super::stop::Stop;
use crate::documents::{Action, Step};
use crate::locked::Locked;

impl Agent {
    /// Runs the steps after those that have ended, until one asks for a reboot. `place` is that of
    /// the step that runs the document.
    pub(super) fn run_document<'a>(
        &'a self,
        document: &'a Prepared,
        place: &'a [usize],
        stop: &'a Stop,
        ended: &'a mut Vec<StepResult>,
        changed: &'a (dyn Fn(usize, Change<'_>) + Sync),
    ) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            for (index, step) in document.steps.iter().enumerate().skip(ended.len()) {
                changed(index, Change::Begun);
                let place = [place, &[index]].concat();
                let result = match document.operation(ended, self.node.file.platform_type) {
                    Operation::Skip(reason) => StepResult::skipped(reason),
                    Operation::Fail(reason) => StepResult::refused(reason),
                    Operation::Run => self.run_step(step, &place, stop).await,
                };
                let is_reboot = result.status == StepStatus::Reboot;
                if !is_reboot {
                    changed(index, Change::Ended(&result));
                }
                ended.push(result);
                if is_reboot {
                    break;
                }
            }
        })
    }

    async fn run_step(&self, step: &Step, place: &[usize], until: &Stop) -> StepResult {
        if until.is_requested() {
            return StepResult::cancelled();
        }
        let inputs = &step.inputs;
        let mut result = match &step.action {
            Action::RunDocument => self.run_nested(inputs, place, until).await,
            Action::RunPowerShellScript => {
                self.run_script(inputs, place, Shell::PowerShell, until).await
            }
            Action::RunShellScript | Action::Other(_) => {
                self.run_script(inputs, place, Shell::Sh, until).await
            }
        };
        result.output = self.written_at(place, &result.output);
        result.with_exit_condition(step)
    }

    /// What the step at this place has written by now, before a reboot and after it.
    fn written_at(&self, place: &[usize], later: &Output) -> Output {
        let mut written = self.written.locked();
        let output = written.entry(place.to_vec()).or_default();
        output.append(later);
        output.clone()
    }
}

/// How a document ends, given how each of its steps did.
pub(super) fn overall(steps: impl IntoIterator<Item = StepStatus>) -> StepStatus {
    let weight = |status: &StepStatus| match status {
        StepStatus::Skipped | StepStatus::Success | StepStatus::Reboot => 0,
        StepStatus::Cancelled => 1,
        StepStatus::TimedOut => 2,
        StepStatus::Failed => 3,
    };
    steps.into_iter().max_by_key(weight).unwrap_or(StepStatus::Success)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failed_counts_more_than_timed_out_and_that_more_than_cancelled() {
        use StepStatus::{Cancelled, Failed, Skipped, Success, TimedOut};
        assert_eq!(overall([Success, Success]), Success);
        assert_eq!(overall([Failed, Success]), Failed);
        assert_eq!(overall([TimedOut, Failed]), Failed);
        assert_eq!(overall([Success, TimedOut, Cancelled]), TimedOut);
        assert_eq!(overall([Cancelled, Success]), Cancelled);
        assert_eq!(overall([Failed, Cancelled]), Failed);
        assert_eq!(overall([Skipped]).details(), Success.details());
    }
}
