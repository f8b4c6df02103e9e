//! What can go wrong, each kind with a rate of its own in each history.

use std::fmt;

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// An event is never delivered.
    EventLost,
    /// An event is delivered twice.
    EventDoubled,
    /// An event comes up to ten minutes late, and so after later ones.
    EventDelayed,
    /// An event says that a command has ended, and it has not.
    EventFalse,
    /// An event of a command that Run Command does not know.
    EventUnknown,
    /// A read shows what was some time ago.
    ReadLags,
    /// A command in a list cannot be understood.
    CommandUnreadable,
    /// The list of a command's nodes cannot be understood, now and ever.
    NodesUnreadable,
    /// A list of commands cannot be read for minutes.
    ListFails,
    /// A page of a list cannot be read, once.
    PageFails,
    /// A page of a list is short or empty, or tells a command again, and another page follows.
    PageOdd,
    /// A list of commands has no end.
    ListEndless,
    /// The place where a list goes on is refused, now and ever.
    PageRefused,
    /// A call is refused because there are too many; nothing happens.
    CallThrottled,
    /// A call is refused for good; nothing happens.
    CallDenied,
    /// A call is lost on its way; nothing happens.
    CallLost,
    /// A call takes effect, and its answer is lost.
    AnswerLost,
    /// A call takes seconds.
    CallSlow,
    /// A function's process dies at some call, before or after it takes effect.
    FunctionDies,
    /// A sweep does not take place.
    SweepSkipped,
    /// A sweep gets next to no time.
    SweepCutShort,
    /// The sweep's process is replaced, and its memory lost.
    ProcessReplaced,
    /// An execution is stopped while its task waits.
    ExecutionStops,
    /// A task's own timeout passes.
    TaskTimesOut,
    /// Step Functions refuses an output because of a script's text in it.
    OutputRefused,
    /// Step Functions refuses an answer because of what it says of the nodes.
    ReportRefused,
    /// Step Functions refuses every answer to a task.
    AnswersRefused,
}

impl Fault {
    /// All kinds.
    pub const ALL: [Self; 27] = [
        Self::EventLost,
        Self::EventDoubled,
        Self::EventDelayed,
        Self::EventFalse,
        Self::EventUnknown,
        Self::ReadLags,
        Self::CommandUnreadable,
        Self::NodesUnreadable,
        Self::ListFails,
        Self::PageFails,
        Self::PageOdd,
        Self::ListEndless,
        Self::PageRefused,
        Self::CallThrottled,
        Self::CallDenied,
        Self::CallLost,
        Self::AnswerLost,
        Self::CallSlow,
        Self::FunctionDies,
        Self::SweepSkipped,
        Self::SweepCutShort,
        Self::ProcessReplaced,
        Self::ExecutionStops,
        Self::TaskTimesOut,
        Self::OutputRefused,
        Self::ReportRefused,
        Self::AnswersRefused,
    ];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::EventLost => "event-lost",
            Self::EventDoubled => "event-doubled",
            Self::EventDelayed => "event-delayed",
            Self::EventFalse => "event-false",
            Self::EventUnknown => "event-unknown",
            Self::ReadLags => "read-lags",
            Self::CommandUnreadable => "command-unreadable",
            Self::NodesUnreadable => "nodes-unreadable",
            Self::ListFails => "list-fails",
            Self::PageFails => "page-fails",
            Self::PageOdd => "page-odd",
            Self::ListEndless => "list-endless",
            Self::PageRefused => "page-refused",
            Self::CallThrottled => "call-throttled",
            Self::CallDenied => "call-denied",
            Self::CallLost => "call-lost",
            Self::AnswerLost => "answer-lost",
            Self::CallSlow => "call-slow",
            Self::FunctionDies => "function-dies",
            Self::SweepSkipped => "sweep-skipped",
            Self::SweepCutShort => "sweep-cut-short",
            Self::ProcessReplaced => "process-replaced",
            Self::ExecutionStops => "execution-stops",
            Self::TaskTimesOut => "task-times-out",
            Self::OutputRefused => "output-refused",
            Self::ReportRefused => "report-refused",
            Self::AnswersRefused => "answers-refused",
        }
    }

    /// The kind of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|fault| fault.name() == name)
    }

    /// The most of a thousand cases that it strikes in after the others have ended; zero if it ends
    /// with them. The product's promises with a time limit hold under the faults that go on, and
    /// begin to count when the others end.
    pub(crate) fn lasting_rate_max(self) -> u64 {
        match self {
            Self::EventLost
            | Self::EventDoubled
            | Self::EventDelayed
            | Self::EventFalse
            | Self::EventUnknown
            | Self::CommandUnreadable
            | Self::NodesUnreadable
            | Self::PageOdd
            | Self::ExecutionStops
            | Self::TaskTimesOut
            | Self::OutputRefused
            | Self::ReportRefused
            | Self::AnswersRefused => 1_000,
            Self::ReadLags => 200,
            // The promises say what a lost sweep, page or process costs.
            Self::SweepSkipped | Self::ProcessReplaced | Self::FunctionDies | Self::PageFails => {
                100
            }
            Self::ListFails
            | Self::ListEndless
            | Self::PageRefused
            | Self::CallThrottled
            | Self::CallDenied
            | Self::CallLost
            | Self::AnswerLost
            | Self::CallSlow
            | Self::SweepCutShort => 0,
        }
    }

    /// Rates that a history draws from, of a thousand cases.
    pub(crate) fn rates(self) -> &'static [u64] {
        match self {
            Self::EventLost => &[0, 0, 100, 400, 1_000],
            Self::EventDoubled | Self::EventDelayed | Self::PageOdd | Self::PageRefused => {
                &[0, 0, 100, 300]
            }
            Self::EventFalse | Self::EventUnknown => &[0, 0, 100],
            Self::ReadLags => &[0, 0, 50, 200, 500],
            Self::CallThrottled | Self::CallLost | Self::AnswerLost => &[0, 0, 30, 150, 300],
            Self::CommandUnreadable | Self::NodesUnreadable | Self::CallDenied => {
                &[0, 0, 0, 20, 100]
            }
            Self::ListEndless => &[0, 0, 0, 0, 30],
            Self::CallSlow => &[0, 0, 20, 100],
            Self::FunctionDies | Self::SweepSkipped | Self::SweepCutShort | Self::PageFails => {
                &[0, 0, 100, 400]
            }
            Self::ProcessReplaced => &[0, 0, 50, 300],
            Self::ListFails | Self::ExecutionStops | Self::TaskTimesOut => &[0, 0, 150, 400],
            Self::OutputRefused | Self::ReportRefused => &[0, 0, 0, 200],
            Self::AnswersRefused => &[0, 0, 0, 0, 200],
        }
    }

    pub(crate) fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
