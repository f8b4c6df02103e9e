//! The result of a run: a table, and the directory of the report.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::acceptance::calls::Calls;
use crate::acceptance::cost::Used;
use crate::acceptance::events::is_of_run;
use crate::acceptance::redaction::Redactor;
use crate::acceptance::running::{Done, Run};
use crate::printout::{Mark, Page, Printout, State, cut};
use crate::problem::Problem;
use crate::shown::printable;
use crate::stack::Stack;

/// Widths of the columns of the table.
const NAME: usize = 25;
const EXPECTED: usize = 33;
const CAME: usize = 31;

/// The result of a run.
#[derive(Debug)]
pub struct Report {
    node: String,
    run: String,
    executions: usize,
    done: Vec<Done>,
    events: Vec<Value>,
    used: Used,
    account: String,
}

/// The smallest, the middle and the largest of some durations, in seconds.
fn spread(mut seconds: Vec<f64>) -> Option<[f64; 3]> {
    seconds.sort_by(f64::total_cmp);
    Some([*seconds.first()?, seconds[seconds.len() / 2], *seconds.last()?])
}

fn round(seconds: f64) -> f64 {
    (seconds * 10.0).round() / 10.0
}

impl Report {
    /// The result of these cases, with those of the events that came of them.
    pub fn new(
        stack: &Stack,
        node: &str,
        run: &Run,
        done: Vec<Done>,
        events: Vec<Value>,
        queue_requests: usize,
    ) -> Self {
        let calls = || done.iter().flat_map(|done| &done.calls);
        let command_ids: Vec<_> = calls().filter_map(Calls::command_id).collect();
        let events = events.into_iter().filter(|event| is_of_run(event, &run.id, &command_ids));
        let events = events.collect();
        let entered = |event: &&Value| {
            event["type"].as_str().is_some_and(|kind| kind.ends_with("StateEntered"))
        };
        let used = Used {
            // One more for the end of each execution.
            transitions: calls().map(|calls| calls.history().filter(entered).count() + 1).sum(),
            commands: command_ids.len(),
            automations: calls()
                .filter(|calls| calls.of("GetAutomationExecution").next().is_some())
                .count(),
            queue_requests,
        };
        Self {
            node: node.to_owned(),
            run: run.id.clone(),
            executions: run.executions(),
            done,
            events,
            used,
            account: stack.account().to_owned(),
        }
    }

    fn latencies(&self) -> Option<[f64; 3]> {
        spread(
            self.done
                .iter()
                // This one is late on purpose.
                .filter(|done| done.case.name != "lost-event")
                .filter_map(|done| done.came.latency_s)
                .collect(),
        )
    }

    fn to_json(&self) -> Value {
        let cases = self.done.iter().map(|done| {
            json!({
                "Case": done.case.name,
                "Expected": done.case.expected,
                "Came": printable(&done.came.said()),
                "Fits": done.fits(),
                "Seconds": round(done.seconds),
                "LatencySeconds": done.came.latency_s.map(round),
                "ScriptSeenSeconds": done.came.watched_s.map(round),
            })
        });
        let latencies = self.latencies().map(|[min, median, max]| {
            json!({ "Min": round(min), "Median": round(median), "Max": round(max) })
        });
        json!({
            "Run": self.run,
            "Cases": cases.collect::<Vec<_>>(),
            "LatencySeconds": latencies,
            "Executions": self.executions,
            "Events": self.events.len(),
            "Used": self.used.to_json(),
        })
    }

    /// Writes the directory. Nothing in it tells a task token, the account, or which nodes there are.
    pub fn write(&self, directory: &Path) -> Result<(), Problem> {
        let mut redactor = Redactor::new(&self.account);
        redactor.name(&self.node, "i");
        let mut files = vec![("report".to_owned(), self.to_json())];
        for done in &self.done {
            for calls in &done.calls {
                redactor.name(&calls.command_id().unwrap_or_default(), "command");
            }
            let calls = done.calls.iter().map(Calls::to_json).collect::<Vec<_>>();
            files.push((done.case.name.to_owned(), Value::from(calls)));
        }
        files.push(("events".to_owned(), Value::from(self.events.clone())));
        for (_, value) in &files {
            redactor.learn(value);
        }
        let failed = |error: std::io::Error| {
            let shown = printable(&directory.display().to_string());
            Problem::new(format!("the report could not be written to {shown}: {error}"))
        };
        fs::create_dir_all(directory).map_err(failed)?;
        for (name, mut value) in files {
            redactor.redact(&mut value);
            let path = directory.join(format!("{name}.json"));
            fs::write(path, format!("{value:#}\n")).map_err(failed)?;
        }
        Ok(())
    }

    /// What is printed, after what was checked by reading.
    pub fn printout(&self, directory: &Path, checked: Printout) -> Printout {
        let Printout { mut page, json, state } = checked;
        page.append(self.page(directory));
        let is_fine = self.done.iter().all(Done::fits);
        let own = if is_fine { State::Fine } else { State::Wrong };
        let shown = printable(&directory.display().to_string());
        let mut run = self.to_json();
        run["Report"] = json!(shown);
        Printout { page, json: json!({ "Check": json, "Run": run }), state: state.max(own) }
    }

    fn page(&self, directory: &Path) -> Page {
        let mut page = Page::default();
        page.heading(format!("Acceptance run {} on {}", self.run, self.node));
        page.row(format!("    {:<NAME$}{:<EXPECTED$}{:<CAME$}time", "case", "expected", "came"));
        for done in &self.done {
            let sign = if done.fits() { '√' } else { '×' };
            let field = |text: &str, width: usize| format!("{:<width$}", cut(text, width - 1));
            page.row(format!(
                "  {sign} {}{}{}{:.0} s",
                field(done.case.name, NAME),
                field(&done.case.expected, EXPECTED),
                field(&printable(&done.came.said()), CAME),
                done.seconds
            ));
        }
        let wrong: Vec<_> = self.done.iter().filter(|done| !done.fits()).collect();
        if !wrong.is_empty() {
            page.heading("What differs");
        }
        for done in wrong {
            let came = printable(&cut(&done.came.said(), 200));
            page.item(Mark::Bad, format!("{}: {} It came: {came}.", done.case.name, done.case.why));
        }
        page.heading("The run");
        if let Some([min, median, max]) = self.latencies() {
            page.item(
                Mark::Plain,
                format!(
                    "From the end of a script to the end of its task: {min:.1} s at least, {median:.1} s \
                     in the middle, {max:.1} s at most."
                ),
            );
        }
        page.item(Mark::Plain, format!("It cost {}.", self.used.said()));
        page.item(Mark::Plain, "Its rule, its queue and its files on the node are removed.");
        let shown = printable(&directory.display().to_string());
        page.item(
            Mark::Plain,
            format!("What AWS said is in {shown}, with ids and tokens replaced. Read it before you send it."),
        );
        page
    }
}

impl Done {
    /// Whether what came is what was expected.
    pub fn fits(&self) -> bool {
        (self.case.fits)(&self.came)
    }
}
