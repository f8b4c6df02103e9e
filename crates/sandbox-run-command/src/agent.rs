//! The agent of a node: refuses a document, or runs its steps in order and reports each of them.
//!
//! Everything here is as the agent does it, also where that is ugly (seen with amazon-ssm-agent 3.3
//! on Linux, and read in its source).

mod document;
mod go;
mod nested;
mod output;
mod prepare;
mod script;
mod script_step;
mod ssm_references;
mod step;
mod stop;
mod timeout;
mod validation;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;

use crate::documents::{CommandDocument, Documents, Values, interpolate_as_agent};
use crate::locked::Locked;
use crate::nodes::Node;
use crate::parameter_store::ParameterStore;
use crate::random::Random;
use crate::status::StatusDetails;
use crate::store::StepReport;
use document::overall;
use output::{Output, reported};
use step::StepStatus;
use timeout::execution_timeout;

pub(crate) use prepare::Prepared;
pub(crate) use stop::Stop;

/// How often a node reboots for one command before its agent gives the command up.
const REBOOTS_MAX: usize = 15;
/// How long an agent waits for a document worker of which it hears nothing.
pub(crate) const WORKER_TIMEOUT: Duration = Duration::from_mins(1);
/// The response code of a step that has not ended.
const NOT_ENDED: i32 = -1;

/// The run of one command on one node.
pub(crate) struct Agent {
    pub(crate) node: Node,
    pub(crate) command_id: String,
    pub(crate) region: String,
    pub(crate) documents: Arc<dyn Documents>,
    pub(crate) parameters: Arc<dyn ParameterStore>,
    /// What every script sees besides what the agent itself sets.
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) random: Random,
    pub(crate) stop: Stop,
    /// What each step has written so far, by its place: a step that runs again after a reboot goes
    /// on where it was.
    pub(crate) written: Mutex<BTreeMap<Vec<usize>, Output>>,
}

/// What an agent answers.
pub(crate) enum Answer {
    /// How the document ended, and the last reports of its steps.
    Ended(StatusDetails, Vec<StepReport>),
    /// Nothing: it has given the command up.
    None,
}

impl Agent {
    /// Runs all steps, and hands the reports of those begun to `progress` after every change.
    ///
    /// A step that asks for a reboot runs again from its beginning. The reboot takes no time.
    pub(crate) async fn run(
        &self,
        document: &Prepared,
        progress: impl Fn(&[StepReport]) + Send + Sync,
    ) -> Answer {
        let reports = Mutex::new(Vec::<StepReport>::with_capacity(document.steps.len()));
        let changed = |index: usize, change: step::Change<'_>| {
            let mut reports = reports.locked();
            if index == reports.len() {
                reports.push(begun(&document.steps[index].name));
            }
            if let step::Change::Ended(result) = change {
                let report = &mut reports[index];
                report.details = result.status.details();
                report.response_code = result.code;
                report.finished = Some(Timestamp::now());
                report.output = result.listed();
                report.stdout = reported(&result.output.stdout);
                report.stderr = reported(&result.output.stderr);
            }
            progress(&reports);
        };
        let mut results = Vec::new();
        let mut answer = Answer::None;
        for _ in 0..=REBOOTS_MAX {
            self.run_document(document, &[], &self.stop, &mut results, &changed).await;
            if results.last().is_some_and(|last| last.status == StepStatus::Reboot) {
                results.pop();
                continue;
            }
            let details = overall(results.iter().map(|result| result.status)).details();
            answer = Answer::Ended(details, reports.locked().clone());
            break;
        }
        // What cannot be removed does no harm: the next command writes elsewhere.
        let _ = tokio::fs::remove_dir_all(self.scripts_directory()).await;
        answer
    }
}

fn begun(name: &str) -> StepReport {
    StepReport {
        name: name.to_owned(),
        details: StatusDetails::InProgress,
        response_code: NOT_ENDED,
        started: Timestamp::now(),
        finished: None,
        output: String::new(),
        stdout: String::new(),
        stderr: String::new(),
    }
}

/// What an agent reports when it hears nothing more of its document worker: the first step failed,
/// and the reason is in its `Output` only. The script runs on.
pub(crate) fn worker_lost(step: &str) -> StepReport {
    StepReport {
        details: StatusDetails::Failed,
        response_code: 1,
        finished: Some(Timestamp::now()),
        output: "document process failed unexpectedly: ipc messaging received timeout signal , \
                 check [ssm-document-worker]/[ssm-session-worker] log for crash reason"
            .to_owned(),
        ..begun(step)
    }
}

/// How long all steps of a document may take together, as far as the document itself says.
pub(crate) fn total_execution_timeout(document: &CommandDocument, values: &Values) -> Duration {
    let steps = document.steps.iter();
    steps.map(|step| execution_timeout(&interpolate_as_agent(&step.inputs, values))).sum()
}
