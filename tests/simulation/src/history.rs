//! What makes a history: its seed, and what was taken out of it to make it shorter.

use std::collections::BTreeSet;
use std::fmt;

use crate::chance::Chance;
use crate::fault::Fault;

/// Time in a history, in milliseconds since its beginning.
pub type Ms = u64;

/// One second.
pub const SECOND: Ms = 1_000;
/// One minute.
pub const MINUTE: Ms = 60 * SECOND;
/// One hour.
pub const HOUR: Ms = 60 * MINUTE;

/// 2026-01-01T00:00:00Z, in seconds. Histories begin within the year after it, because the order
/// of work of a sweep depends on the clock.
const EPOCH_S: u64 = 1_767_225_600;

/// Names a history; the same name tells the same history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    /// Everything is drawn from it.
    pub seed: u64,
    /// Kinds of faults that do not strike.
    pub without: BTreeSet<Fault>,
    /// Executions that do not take place.
    pub dropped: BTreeSet<u64>,
}

impl History {
    /// The whole history of a seed.
    pub fn of(seed: u64) -> Self {
        Self { seed, without: BTreeSet::new(), dropped: BTreeSet::new() }
    }

    /// What is drawn before it begins.
    pub(crate) fn settings(&self) -> Settings {
        let chance = Chance::new(self.seed);
        let interval = chance.of("interval").pick(&[30, 60, 60, 60, 120, 300]) * SECOND;
        // Long enough now and then for a command of an hour.
        let faults_end = chance.of("faults end");
        let faults_end = interval
            * faults_end.weigh(&[
                (90, faults_end.of("soon").between(4, 30)),
                (10, faults_end.of("late").between(70, 100)),
            ]);
        let is_tight = chance.of("is tight").hits(40);
        let interval = if is_tight { MINUTE } else { interval };
        Settings {
            is_tight,
            sweep_takes_max: if is_tight {
                chance.of("sweep takes").between(15, 50) * SECOND
            } else {
                5 * MINUTE - 3 * SECOND
            },
            interval,
            lookback: (interval * chance.of("lookback").pick(&[64, 100, 256])).max(2 * HOUR),
            faults_end,
            executions: chance.of("executions").weigh(&[
                (if is_tight { 1_000_000 } else { 0 }, chance.of("too many").between(80, 120)),
                (60, chance.of("few").between(1, 8)),
                (30, chance.of("some").between(9, 30)),
                (3, chance.of("many").between(100, 160)),
            ]),
            others: chance
                .of("others")
                .weigh(&[(98, 0), (2, chance.of("so many others").between(250, 400))]),
            begins_s: EPOCH_S + chance.of("begins").between(0, 366 * 24 * 3_600),
            closed_is_invalid: chance.of("closed is invalid").hits(100),
            beats_need_limit: chance.of("beats need limit").hits(100),
            rates: Fault::ALL.map(|fault| {
                let rate = chance.of("rate").of(fault.name()).pick(fault.rates());
                if self.without.contains(&fault) { 0 } else { rate }
            }),
            chance,
        }
    }
}

impl Settings {
    /// The most heartbeats per second.
    pub(crate) fn heartbeats_per_second(&self) -> u32 {
        if self.is_tight { 1 } else { 250 }
    }

    /// How many sweeps it takes at most to do everything once: two heartbeats for each command, and
    /// one sweep more to read what has completed.
    pub(crate) fn sweeps_of_a_round(&self) -> u64 {
        if !self.is_tight {
            return 1;
        }
        let beats = self.sweep_takes_max / SECOND * u64::from(self.heartbeats_per_second());
        (2 * self.executions).div_ceil(beats) + 1
    }

    /// Whether pages may look as if most of a list were others'.
    pub(crate) fn has_odd_lists(&self) -> bool {
        [Fault::PageOdd, Fault::ListEndless].iter().any(|fault| self.rates[fault.index()] > 0)
    }
}

/// The arguments of the program that replay it.
impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "--seed {}", self.seed)?;
        let list = |words: Vec<String>| words.join(",");
        if !self.without.is_empty() {
            write!(f, " --without {}", list(self.without.iter().map(Fault::to_string).collect()))?;
        }
        if !self.dropped.is_empty() {
            write!(f, " --drop {}", list(self.dropped.iter().map(u64::to_string).collect()))?;
        }
        Ok(())
    }
}

/// What a history is like.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) chance: Chance,
    /// Whether there is more to do than one sweep can.
    pub(crate) is_tight: bool,
    /// How long a sweep may take.
    pub(crate) sweep_takes_max: Ms,
    /// From one sweep to the next.
    pub(crate) interval: Ms,
    /// The greatest age at which a sweep looks for a lost event.
    pub(crate) lookback: Ms,
    /// When the faults end that do not go on.
    pub(crate) faults_end: Ms,
    /// How many executions there are.
    pub(crate) executions: u64,
    /// How many commands others send at once, twice, of a document that is not swept.
    pub(crate) others: u64,
    /// When it begins, in seconds of Unix time.
    pub(crate) begins_s: u64,
    /// Whether Step Functions calls the token of a closed task invalid, as some emulators do.
    pub(crate) closed_is_invalid: bool,
    /// Whether Step Functions rejects the heartbeat of a task without `HeartbeatSeconds`. Whether AWS
    /// does is not documented.
    pub(crate) beats_need_limit: bool,
    /// How often each kind of fault strikes, of a thousand cases.
    pub(crate) rates: [u64; Fault::ALL.len()],
}

/// The documents whose commands the sweeps look after.
pub(crate) const SWEPT_DOCUMENTS: [&str; 2] = ["SfnRunShellScript", "SfnRunDocument"];

/// A document of somebody else.
pub(crate) const OTHER_DOCUMENT: &str = "SomebodysOwnDocument";

/// What the ARN of a document of the account begins with.
pub(crate) const ARN_PREFIX: &str = "arn:aws:ssm:eu-central-1:111122223333:document/";
/// One of them as some callers name it.
pub(crate) const SWEPT_DOCUMENT_ARN: &str =
    "arn:aws:ssm:eu-central-1:111122223333:document/SfnRunShellScript";
