//! Sweeps of many commands: how time, calls and memory grow with them.

use std::sync::Arc;
use std::time::Duration;

use callback::Scope;
use callback::ports::{CommandSlice, Stage};
use callback::sweep::Slice;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::{Value, json};

use super::Result;
use super::aws::Aws;
use super::fleet::{Answer, DOCUMENT_NAME, Fleet, PAGE_ITEMS_MAX, token};
use super::function::{Cpu, Function};
use super::setting::{Setting, bytes};

/// How long each command runs. So those of the last hour execute, and all before are complete.
const RUN_S: u64 = 3_600;
/// How long Run Command keeps commands.
const HISTORY_S: u64 = 30 * 24 * 3_600;
const LOOKBACK_S: u64 = 49 * 3_600;
const INTERVAL: Duration = Duration::from_mins(1);

/// A sweep of so many commands.
#[derive(Debug, Clone, Serialize)]
pub struct Sweep {
    /// Commands that execute.
    pub executing: u64,
    /// Commands that were completed within the lookback.
    pub completed: u64,
    /// From the event to the answer of the function.
    pub seconds: f64,
    /// Calls of `ListCommands`.
    pub list_calls: usize,
    /// The same by the formula of `callback::sweep`.
    pub list_calls_expected: usize,
    /// Calls of `SendTaskHeartbeat`.
    pub heartbeat_calls: usize,
    /// The same by the formula.
    pub heartbeat_calls_expected: usize,
    /// CPU time.
    pub cpu_seconds: f64,
    /// The most memory that was resident.
    pub memory_max_bytes: u64,
}

/// Measures sweeps, each by a new process.
pub async fn measure(setting: &Setting) -> Result<Vec<Sweep>> {
    let sizes: &[u64] = setting.times(&[1_000, 10_000, 100_000], &[1_000, 10_000]);
    let mut sweeps = Vec::new();
    for executing in sizes {
        sweeps.push(sweep(setting, *executing).await?);
    }
    Ok(sweeps)
}

async fn sweep(setting: &Setting, executing: u64) -> Result<Sweep> {
    let now = Timestamp::from_second(Timestamp::now().as_second())?;
    let history = Arc::new(History { now, executing });
    let served: Arc<dyn Fleet> = Arc::<History>::clone(&history);
    let aws = Aws::start(&setting.authority, setting.latency, served).await?;
    let mut function = Function::start(&setting.sweep, setting, &aws, Cpu::Whole).await?;
    function.initialized().await?;
    aws.take_call_log();
    let before = function.usage()?;
    let event = json!({
        "version": "0", "id": "sweep", "source": "aws.events", "detail-type": "Scheduled Event",
        "time": now, "detail": {},
    });
    let answered = function.invoke(bytes(&event)).await?;
    let after = function.usage()?;
    function.end().await?;

    let response: Value = serde_json::from_slice(&answered.payload)?;
    if response["Executing"] != executing || response["Truncated"] != false {
        return Err(format!("the sweep of {executing} commands answered {response}").into());
    }
    let call_log = aws.take_call_log();
    let calls =
        |operation| call_log.calls.iter().filter(|call| call.operation == operation).count();
    let (list_calls_expected, heartbeat_calls_expected) = history.calls_expected();
    Ok(Sweep {
        executing,
        completed: history.number_at(LOOKBACK_S) - executing,
        seconds: (answered.answered - answered.handed).as_secs_f64(),
        list_calls: calls("ListCommands"),
        list_calls_expected,
        heartbeat_calls: calls("SendTaskHeartbeat"),
        heartbeat_calls_expected,
        cpu_seconds: after.cpu_time.saturating_sub(before.cpu_time).as_secs_f64(),
        memory_max_bytes: after.memory_max_bytes,
    })
}

/// Commands that were requested at a steady rate, each of which runs for an hour. They have
/// numbers, the youngest one 0, and are made up when they are asked for.
struct History {
    now: Timestamp,
    executing: u64,
}

impl History {
    /// How many commands are younger than this.
    fn number_at(&self, age_s: u64) -> u64 {
        (age_s * self.executing).div_ceil(RUN_S)
    }

    fn requested_at(&self, number: u64) -> Timestamp {
        let age_ms = i64::try_from(number * RUN_S * 1_000 / self.executing).unwrap_or(i64::MAX);
        self.now - SignedDuration::from_millis(age_ms)
    }

    /// The numbers of the commands that were requested within these times and are at this stage.
    fn numbers(&self, slice: &CommandSlice) -> std::ops::Range<u64> {
        let age_s = |time: Timestamp| u64::try_from(self.now.as_second() - time.as_second());
        let first = slice.invoked_before.map_or(0, |time| self.number_at(age_s(time).unwrap_or(0)));
        let oldest_s = slice.invoked_after.map_or(HISTORY_S, |time| age_s(time).unwrap_or(0));
        let end = self.number_at(oldest_s);
        match slice.stage {
            Stage::Executing => first..end.min(self.executing),
            Stage::Complete => first.max(self.executing)..end,
        }
    }

    /// Calls of `ListCommands` and of `SendTaskHeartbeat` that a sweep makes by the formula.
    fn calls_expected(&self) -> (usize, usize) {
        let scope = Scope {
            document_names: vec![DOCUMENT_NAME.to_owned()],
            interval: INTERVAL,
            lookback: Duration::from_secs(LOOKBACK_S),
        };
        let calls = |slice: &Slice| {
            // Lists are longer by a second at both ends.
            let second = SignedDuration::from_secs(1);
            let mut longer = slice.listing.clone();
            longer.invoked_after = longer.invoked_after.map(|time| time - second);
            longer.invoked_before = longer.invoked_before.map(|time| time + second);
            let listed = self.numbers(&longer);
            let pages = usize::try_from(listed.end.saturating_sub(listed.start)).unwrap_or(0);
            let held = listed.filter(|number| slice.holds(self.requested_at(*number)));
            (pages.div_ceil(PAGE_ITEMS_MAX).max(1), held.count())
        };
        let slices = scope.slices(self.now);
        slices.iter().map(calls).fold((0, 0), |sum, calls| (sum.0 + calls.0, sum.1 + calls.1))
    }

    fn list(&self, body: &Value) -> Answer {
        let Some(slice) = slice(body) else { return Answer::error("InvalidFilterKey") };
        let numbers = self.numbers(&slice);
        let next = body["NextToken"].as_str().and_then(|token| token.parse().ok());
        let first = next.unwrap_or(numbers.start);
        let end = numbers.end.min(first + PAGE_ITEMS_MAX as u64);
        let commands: Vec<_> = (first..end).map(|number| self.command(number)).collect();
        let mut page = json!({ "Commands": commands });
        if end < numbers.end {
            page["NextToken"] = json!(end.to_string());
        }
        Answer::success(&page)
    }

    fn command(&self, number: u64) -> Value {
        let executes = number < self.executing;
        let (status, completed) = if executes { ("InProgress", 0) } else { ("Success", 1) };
        json!({
            "CommandId": format!("00000000-0000-4000-8000-{number:012x}"),
            "DocumentName": DOCUMENT_NAME,
            "Parameters": { "commands": ["echo hello"], "taskToken": [token(&format!("{status}-{number}-"))] },
            "RequestedDateTime": self.requested_at(number).as_duration().as_secs_f64(),
            "Status": status, "StatusDetails": status,
            "TargetCount": 1, "CompletedCount": completed, "ErrorCount": 0, "DeliveryTimedOutCount": 0,
        })
    }
}

impl Fleet for History {
    fn answer(&self, operation: &str, body: &[u8]) -> Answer {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        match operation {
            "ListCommands" => self.list(&body),
            "SendTaskHeartbeat" => {
                let token = body["taskToken"].as_str().unwrap_or_default();
                if token.starts_with("InProgress") {
                    Answer::success(&json!({}))
                } else {
                    // Its task has been answered.
                    Answer::error("TaskTimedOut")
                }
            }
            _ => Answer::error("UnknownOperationException"),
        }
    }
}

/// The slice that the filters of `ListCommands` ask for.
fn slice(body: &Value) -> Option<CommandSlice> {
    let filters = body["Filters"].as_array()?;
    let value = |key: &str| {
        let filter = filters.iter().find(|filter| filter["key"] == key)?;
        filter["value"].as_str()
    };
    let time = |key| value(key).map(str::parse).transpose().ok();
    Some(CommandSlice {
        document_name: value("DocumentName")?.to_owned(),
        stage: match value("ExecutionStage")? {
            "Executing" => Stage::Executing,
            "Complete" => Stage::Complete,
            _ => return None,
        },
        invoked_after: time("InvokedAfter")?,
        invoked_before: time("InvokedBefore")?,
    })
}
