//! An account whose commands start at steady rates: ours, and those of others.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::fleet::{Answer, DOCUMENT_NAME, Fleet, PAGE_ITEMS_MAX, token};

/// How long Run Command keeps commands.
const KEPT: Duration = Duration::from_hours(30 * 24);
/// The document of others' commands.
const OTHER_DOCUMENT_NAME: &str = "AWS-RunPatchBaseline";

/// Commands that start at a steady rate, each of which runs equally long. They are made up when they
/// are asked for.
#[derive(Debug, Clone, Copy)]
pub struct Stream {
    /// How many start per hour.
    pub per_hour: u64,
    /// How long each runs.
    pub run: Duration,
}

/// An account. Its commands have started for as long as Run Command keeps them.
#[derive(Debug)]
pub struct Account {
    /// Ours first. Those of others have no task token.
    streams: Vec<(Stream, &'static str)>,
    oldest: i64,
    began: i64,
    heartbeats: Mutex<HashMap<i64, Heard>>,
}

/// What the task of an executing command was told. Times are microseconds.
#[derive(Debug, Clone, Copy)]
struct Heard {
    last: i64,
    longest_silence: i64,
}

/// How long executing tasks of ours went without a heartbeat.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silence {
    /// The longest time.
    pub longest: Duration,
    /// Tasks that went without for longer than the limit.
    pub too_long: usize,
}

/// What a list is asked for.
struct Filters<'a> {
    document_name: Option<&'a str>,
    executing: bool,
    after: i64,
    before: i64,
}

impl Account {
    /// An account with these commands of ours and of others.
    pub fn new(ours: Option<Stream>, others: Option<Stream>) -> Self {
        let named = |stream: Option<Stream>, name| stream.map(|stream| (stream, name));
        let streams = [named(ours, DOCUMENT_NAME), named(others, OTHER_DOCUMENT_NAME)];
        let began = now();
        Self {
            streams: streams.into_iter().flatten().collect(),
            oldest: began - micros(KEPT),
            began,
            heartbeats: Mutex::default(),
        }
    }

    /// How long our executing tasks went without a heartbeat since the beginning. Before it, each had
    /// one, or had just started.
    pub fn silence(&self, limit: Duration) -> Silence {
        let now = now();
        let Some((ours, _)) = self.streams.first() else { return Silence::default() };
        let heartbeats = self.heartbeats.lock().unwrap_or_else(PoisonError::into_inner);
        let run = micros(ours.run);
        let first = self.last_until(ours, self.began - run) + 1;
        let silences = (first..=self.last_until(ours, now)).map(|number| {
            let requested_at = self.requested_at(ours, number);
            let (from, until) = (requested_at.max(self.began), (requested_at + run).min(now));
            match heartbeats.get(&number) {
                Some(heard) => heard.longest_silence.max(until - heard.last),
                None => until - from,
            }
        });
        let limit = micros(limit);
        silences.fold(Silence::default(), |silence, micros| Silence {
            longest: silence
                .longest
                .max(Duration::from_micros(u64::try_from(micros).unwrap_or_default())),
            too_long: silence.too_long + usize::from(micros > limit),
        })
    }

    fn requested_at(&self, stream: &Stream, number: i64) -> i64 {
        self.oldest + number * period(stream)
    }

    /// The number of the last command that was requested until then. May be negative.
    fn last_until(&self, stream: &Stream, time: i64) -> i64 {
        (time - self.oldest).div_euclid(period(stream))
    }

    fn list(&self, body: &Value) -> Answer {
        let Some(filters) = filters(body) else { return Answer::error("InvalidFilterKey") };
        let cursor = body["NextToken"].as_str().map(position);
        let Some(cursor) = cursor.unwrap_or(Some((i64::MAX, usize::MAX))) else {
            return Answer::error("InvalidNextToken");
        };
        let now = now();
        // Of each stream, the number of the command that comes next, from the newest on.
        let mut next: Vec<_> = self
            .streams
            .iter()
            .enumerate()
            .filter(|(_, (_, name))| filters.document_name.is_none_or(|wanted| wanted == *name))
            .map(|(place, (stream, _))| {
                let ended_until = now - micros(stream.run);
                let newest = if filters.executing { now } else { ended_until };
                let oldest = if filters.executing { ended_until + 1 } else { self.oldest };
                // Of those of the cursor's time, the ones in earlier streams are still to come.
                let cursor = cursor.0.saturating_sub(i64::from(place >= cursor.1));
                let last = self.last_until(stream, newest.min(filters.before).min(cursor));
                let first = self.last_until(stream, oldest.max(filters.after) - 1) + 1;
                (place, last, first.max(0))
            })
            .collect();
        let mut commands = Vec::new();
        let mut last = cursor;
        while commands.len() < PAGE_ITEMS_MAX
            && let Some((place, number, _)) = next
                .iter_mut()
                .filter(|(_, number, first)| number >= first)
                .max_by_key(|(place, number, _)| {
                    (self.requested_at(&self.streams[*place].0, *number), *place)
                })
        {
            last = (self.requested_at(&self.streams[*place].0, *number), *place);
            commands.push(self.command(*place, *number, now));
            *number -= 1;
        }
        let mut page = json!({ "Commands": commands });
        if next.iter().any(|(_, number, first)| number >= first) {
            page["NextToken"] = json!(format!("{} {}", last.0, last.1));
        }
        Answer::success(&page)
    }

    fn command(&self, place: usize, number: i64, now: i64) -> Value {
        let (stream, name) = &self.streams[place];
        let requested_at = self.requested_at(stream, number);
        let executes = requested_at + micros(stream.run) > now;
        let (status, completed) = if executes { ("InProgress", 0) } else { ("Success", 1) };
        let mut parameters = json!({ "commands": ["echo hello"] });
        if *name == DOCUMENT_NAME {
            parameters["taskToken"] = json!([token(&format!("{number}-"))]);
        }
        json!({
            "CommandId": format!("0000000{place}-0000-4000-8000-{number:012x}"),
            "DocumentName": name,
            "Parameters": parameters,
            "RequestedDateTime": Duration::from_micros(requested_at.unsigned_abs()).as_secs_f64(),
            "Status": status, "StatusDetails": status,
            "TargetCount": 1, "CompletedCount": completed, "ErrorCount": 0, "DeliveryTimedOutCount": 0,
        })
    }

    /// The command with the id in `body`.
    fn one(&self, body: &Value) -> Option<Answer> {
        let (place, number) = body["CommandId"].as_str()?.split_once("-0000-4000-8000-")?;
        let place: usize = place.parse().ok()?;
        let (stream, _) = self.streams.get(place)?;
        let number = i64::from_str_radix(number, 16).ok()?;
        let now = now();
        let exists = (0..=self.last_until(stream, now)).contains(&number);
        exists.then(|| Answer::success(&json!({ "Commands": [self.command(place, number, now)] })))
    }

    fn heartbeat(&self, body: &Value) -> Option<Answer> {
        let number: i64 = body["taskToken"].as_str()?.split_once('-')?.0.parse().ok()?;
        let (ours, _) = self.streams.first()?;
        let (now, requested_at) = (now(), self.requested_at(ours, number));
        if requested_at + micros(ours.run) <= now {
            // The relay has answered its task.
            return Some(Answer::error("TaskTimedOut"));
        }
        let mut heartbeats = self.heartbeats.lock().unwrap_or_else(PoisonError::into_inner);
        let began = self.began.max(requested_at);
        let heard = heartbeats.entry(number).or_insert(Heard { last: began, longest_silence: 0 });
        heard.longest_silence = heard.longest_silence.max(now - heard.last);
        heard.last = now;
        Some(Answer::success(&json!({})))
    }
}

impl Fleet for Account {
    fn answer(&self, operation: &str, body: &[u8]) -> Answer {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let unknown = |code| move || Answer::error(code);
        match operation {
            "ListCommands" if body["CommandId"].is_string() => {
                self.one(&body).unwrap_or_else(unknown("InvalidCommandId"))
            }
            "ListCommands" => self.list(&body),
            "SendTaskHeartbeat" => self.heartbeat(&body).unwrap_or_else(unknown("InvalidToken")),
            // It ended between a list and the heartbeat.
            "CancelCommand" => Answer::success(&json!({})),
            _ => Answer::error("UnknownOperationException"),
        }
    }
}

/// The filters of `ListCommands`. `None` if it does not know one.
fn filters(body: &Value) -> Option<Filters<'_>> {
    let mut filters =
        Filters { document_name: None, executing: false, after: i64::MIN, before: i64::MAX };
    let time = |value: &str| value.parse().ok().map(Timestamp::as_microsecond);
    for filter in body["Filters"].as_array()? {
        let value = filter["value"].as_str()?;
        match filter["key"].as_str()? {
            "DocumentName" => filters.document_name = Some(value),
            "ExecutionStage" => filters.executing = value == "Executing",
            "InvokedAfter" => filters.after = time(value)?,
            "InvokedBefore" => filters.before = time(value)?,
            _ => return None,
        }
    }
    Some(filters)
}

/// When the last command of a page was requested, and the place of its stream.
fn position(next_token: &str) -> Option<(i64, usize)> {
    let (time, place) = next_token.split_once(' ')?;
    Some((time.parse().ok()?, place.parse().ok()?))
}

fn now() -> i64 {
    Timestamp::now().as_microsecond()
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// The time from one command to the next, in microseconds.
fn period(stream: &Stream) -> i64 {
    micros(Duration::from_hours(1)) / i64::try_from(stream.per_hour.max(1)).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);

    fn account() -> Account {
        Account::new(
            Some(Stream { per_hour: 3_600, run: MINUTE }),
            Some(Stream { per_hour: 7_200, run: 2 * MINUTE }),
        )
    }

    /// The number of commands in a list, by document, each told once and newest first.
    fn listed(account: &Account, filters: &[(&str, &str)]) -> (usize, usize) {
        let filters: Vec<_> =
            filters.iter().map(|(key, value)| json!({ "key": key, "value": value })).collect();
        let mut body = json!({ "Filters": filters });
        let (mut ids, mut times, mut ours) = (BTreeSet::new(), Vec::new(), 0);
        loop {
            let answer = account.answer("ListCommands", body.to_string().as_bytes());
            let page: Value = serde_json::from_slice(&answer.body).unwrap();
            for command in page["Commands"].as_array().unwrap() {
                assert!(ids.insert(command["CommandId"].as_str().unwrap().to_owned()));
                times.push(command["RequestedDateTime"].as_f64().unwrap());
                ours += usize::from(command["DocumentName"] == DOCUMENT_NAME);
            }
            if page["NextToken"].is_null() {
                break;
            }
            body["NextToken"] = page["NextToken"].clone();
        }
        assert!(times.is_sorted_by(|newer, older| newer >= older));
        (ours, ids.len() - ours)
    }

    fn about(listed: (usize, usize), expected: (usize, usize)) {
        let near = |one: usize, other: usize| one.abs_diff(other) <= 2;
        assert!(near(listed.0, expected.0) && near(listed.1, expected.1), "{listed:?}");
    }

    #[test]
    fn lists_are_filtered() {
        let account = account();
        let executing = ("ExecutionStage", "Executing");
        about(listed(&account, &[executing]), (60, 240));
        about(listed(&account, &[executing, ("DocumentName", DOCUMENT_NAME)]), (60, 0));
        about(listed(&account, &[executing, ("DocumentName", "Other")]), (0, 0));
        let ago = |minutes| (Timestamp::now() - MINUTE * minutes).to_string();
        let (four, three) = (ago(4), ago(3));
        let complete = ("ExecutionStage", "Complete");
        about(listed(&account, &[complete, ("InvokedAfter", &four)]), (180, 240));
        let both = [complete, ("InvokedAfter", &four), ("InvokedBefore", &three)];
        about(listed(&account, &both), (60, 120));
    }

    #[test]
    fn a_task_is_silent_until_its_heartbeat_and_closed_after_its_command() {
        let account = account();
        let last = account.last_until(&account.streams[0].0, now());
        let heartbeat = |number: i64| {
            let body = json!({ "taskToken": token(&format!("{number}-")) }).to_string();
            account.answer("SendTaskHeartbeat", body.as_bytes()).status.is_success()
        };
        std::thread::sleep(Duration::from_millis(20));
        assert!(heartbeat(last) && !heartbeat(last - 70));
        let silence = account.silence(Duration::from_millis(10));
        assert!(silence.longest >= Duration::from_millis(20));
        assert!((58..=62).contains(&silence.too_long), "{silence:?}");
        assert_eq!(account.silence(MINUTE).too_long, 0);
    }
}
