//! Every row of Run Command's status table, and what must hold whatever is read.

use std::collections::BTreeSet;

use callback::testing::sample::skipped_invocation;
use callback::{Invocation, StatusDetails, Verdict, verdict};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use crate::sample::{command, exited, invocation, plugin};

use Verdict::{Failure, Running, Success, Unseen};

/// A `Status` and its `StatusDetails`, as the API sends them.
type Words = (&'static str, &'static str);

const SUCCESS: Words = ("Success", "Success");
const FAILED: Words = ("Failed", "Failed");
const RUNNING: Words = ("InProgress", "InProgress");

#[track_caller]
fn check((status, details): Words, target_count: u32, nodes: &[Words], expected: &Verdict) {
    let invocations: Vec<_> = nodes
        .iter()
        .enumerate()
        .map(|(node, (status, details))| invocation(node, status, details))
        .collect();
    assert_eq!(
        &verdict(&command(status, details, target_count), &invocations),
        expected,
        "command {status}/{details}, {target_count} targets, nodes {nodes:?}"
    );
}

#[test]
fn a_command_that_has_not_ended_is_running() {
    for words in [
        ("Pending", "Pending"),
        RUNNING,
        ("InProgress", "In Progress"),
        ("Delayed", "Delayed"),
        ("Cancelling", "Cancelling"),
        ("Canceling", "Canceling"),
    ] {
        for nodes in [&[][..], &[RUNNING], &[SUCCESS], &[FAILED]] {
            check(words, 1, nodes, &Running);
            check(words, 0, nodes, &Running);
        }
    }
}

#[test]
fn a_node_that_skipped_every_step_is_no_success() {
    let skipped = |node| skipped_invocation(node, "Step execution skipped due to its platform.");
    let decide = |nodes: &[Invocation]| {
        let targets = u32::try_from(nodes.len()).unwrap();
        verdict(&command("Success", "Success", targets), nodes)
    };
    assert_eq!(decide(&[skipped(1)]), Failure(StatusDetails::InvalidPlatform));
    assert_eq!(decide(&[skipped(1), skipped(2)]), Failure(StatusDetails::InvalidPlatform));
    assert_eq!(decide(&[skipped(1), exited(2, 0, "done", "")]), Failure(StatusDetails::Incomplete));
    // A document for several platforms runs one step and skips the others.
    let mut one_of_two = skipped(1);
    one_of_two.plugins.push(plugin("runPowerShellScript", 0, "done", ""));
    assert_eq!(decide(&[one_of_two]), Success);
    let mut unseen = command("Success", "Success", 2);
    unseen.completed_count = 1;
    assert_eq!(verdict(&unseen, &[skipped(1)]), Unseen(StatusDetails::Incomplete));
}

#[test]
fn a_command_that_ended_badly_is_a_failure_for_its_own_reason() {
    use StatusDetails as Is;
    for (words, node, reason) in [
        (FAILED, FAILED, Is::Failed),
        (
            ("TimedOut", "ExecutionTimedOut"),
            ("TimedOut", "ExecutionTimedOut"),
            Is::ExecutionTimedOut,
        ),
        (
            ("TimedOut", "Execution Timed Out"),
            ("TimedOut", "Execution Timed Out"),
            Is::ExecutionTimedOut,
        ),
        (("TimedOut", "DeliveryTimedOut"), ("TimedOut", "DeliveryTimedOut"), Is::DeliveryTimedOut),
        (
            ("TimedOut", "Delivery Timed Out"),
            ("TimedOut", "Delivery Timed Out"),
            Is::DeliveryTimedOut,
        ),
        (("Cancelled", "Cancelled"), ("Cancelled", "Cancelled"), Is::Cancelled),
        (("Canceled", "Canceled"), ("Canceled", "Canceled"), Is::Cancelled),
        (("Failed", "AccessDenied"), ("Failed", "AccessDenied"), Is::AccessDenied),
        (("Failed", "Access Denied"), ("Failed", "Access Denied"), Is::AccessDenied),
        // All nodes were out of reach: the command is Failed.
        (FAILED, ("Failed", "Undeliverable"), Is::Failed),
        (FAILED, ("Failed", "InvalidPlatform"), Is::Failed),
        (("Failed", "Incomplete"), FAILED, Is::Incomplete),
        (("Cancelled", "RateExceeded"), ("Cancelled", "Cancelled"), Is::RateExceeded),
        (("Failed", "Rate Exceeded"), FAILED, Is::RateExceeded),
        (("Cancelled", "LimitExceeded"), ("Cancelled", "Cancelled"), Is::RateExceeded),
        (("Failed", "Terminated"), ("Failed", "Terminated"), Is::Terminated),
    ] {
        check(words, 1, &[node], &Failure(reason.clone()));
        check(words, 2, &[SUCCESS, node], &Failure(reason.clone()));
        // Even when every node succeeded, the command's word stands.
        check(words, 1, &[SUCCESS], &Failure(reason));
    }
}

#[test]
fn a_command_that_ended_well_everywhere_is_a_success() {
    check(SUCCESS, 1, &[SUCCESS], &Success);
    check(("Success", "success"), 3, &[SUCCESS; 3], &Success);
}

#[test]
fn a_success_is_none_when_some_node_did_not_succeed() {
    for node in [
        FAILED,
        ("TimedOut", "ExecutionTimedOut"),
        ("TimedOut", "DeliveryTimedOut"),
        ("Cancelled", "Cancelled"),
        ("Cancelled", "Canceled"),
        ("Failed", "Terminated"),
        ("Cancelled", "Terminated"),
        ("Failed", "Undeliverable"),
        ("Failed", "Invalid Platform"),
        ("Failed", "AccessDenied"),
        ("Success", "BatteryEmpty"),
        ("Success", ""),
    ] {
        check(SUCCESS, 1, &[node], &Failure(StatusDetails::Incomplete));
        check(
            SUCCESS,
            5,
            &[SUCCESS, node, SUCCESS, node, node],
            &Failure(StatusDetails::Incomplete),
        );
    }
}

/// The first trap: four nodes were never reached, and the command says Success.
#[test]
fn four_undeliverable_and_one_success_are_incomplete() {
    let undeliverable = ("Failed", "Undeliverable");
    check(
        SUCCESS,
        5,
        &[undeliverable, undeliverable, SUCCESS, undeliverable, undeliverable],
        &Failure(StatusDetails::Incomplete),
    );
}

/// The second trap: nobody was there to run it, and the command says Success.
#[test]
fn no_target_is_a_failure() {
    let reason = Failure(StatusDetails::NoInstancesInTag);
    check(("Success", "NoInstancesInTag"), 0, &[], &reason);
    check(("Success", "No Instances In Tag"), 0, &[], &reason);
    check(SUCCESS, 0, &[], &reason);
    check(FAILED, 0, &[], &Failure(StatusDetails::Failed));
    check(("Failed", "AccessDenied"), 0, &[], &Failure(StatusDetails::AccessDenied));
}

#[test]
fn an_unknown_word_is_kept_and_never_a_success() {
    let battery = StatusDetails::Other("BatteryEmpty".into());
    check(("Failed", "BatteryEmpty"), 1, &[SUCCESS], &Failure(battery.clone()));
    check(("Success", "BatteryEmpty"), 1, &[SUCCESS], &Failure(battery.clone()));
    check(("Cancelled", "BatteryEmpty"), 1, &[], &Unseen(battery));
    check(("Success", ""), 1, &[SUCCESS], &Failure(StatusDetails::Other(String::new())));
    // Not known to have ended.
    check(("InProgress", "Rebooting"), 1, &[SUCCESS], &Running);
    check(("Paused", "Rebooting"), 1, &[SUCCESS], &Running);
    check(("", ""), 1, &[SUCCESS], &Running);
    // Known details tell, whatever the status is called.
    check(("Ended", "Failed"), 1, &[FAILED], &Failure(StatusDetails::Failed));
    check(("Ended", "Success"), 1, &[SUCCESS], &Success);
    check(("Paused", "InProgress"), 1, &[RUNNING], &Running);
}

#[test]
fn a_read_that_contradicts_itself_lags() {
    check(("InProgress", "Success"), 1, &[SUCCESS], &Running);
    check(("Success", "InProgress"), 1, &[SUCCESS], &Running);
    check(("Failed", "Pending"), 1, &[FAILED], &Running);
    check(SUCCESS, 1, &[("InProgress", "Success")], &Unseen(StatusDetails::Incomplete));
    check(SUCCESS, 1, &[("Success", "InProgress")], &Unseen(StatusDetails::Incomplete));
}

#[test]
fn a_node_whose_end_was_not_read_is_unseen() {
    use StatusDetails::{AccessDenied, Cancelled, Failed, Incomplete};
    // Missing.
    check(SUCCESS, 1, &[], &Unseen(Incomplete));
    check(SUCCESS, 2, &[SUCCESS], &Unseen(Incomplete));
    check(SUCCESS, 2, &[FAILED], &Unseen(Incomplete));
    check(FAILED, 1, &[], &Unseen(Failed));
    check(("Failed", "AccessDenied"), 1, &[], &Unseen(AccessDenied));
    check(("Cancelled", "Cancelled"), 3, &[SUCCESS, SUCCESS], &Unseen(Cancelled));
    // Still running.
    for running in [
        ("Pending", "Pending"),
        RUNNING,
        ("Delayed", "Delayed"),
        ("Cancelling", "Cancelling"),
        ("Paused", "Rebooting"),
    ] {
        check(SUCCESS, 2, &[SUCCESS, running], &Unseen(Incomplete));
        check(FAILED, 2, &[FAILED, running], &Unseen(Failed));
    }
    // More than were targeted: the count lags.
    check(SUCCESS, 0, &[SUCCESS], &Unseen(Incomplete));
    check(SUCCESS, 1, &[SUCCESS, SUCCESS], &Unseen(Incomplete));
    check(FAILED, 0, &[FAILED], &Unseen(Failed));
}

/// A page that moved between two reads can bring a node twice; the other one was still not seen.
#[test]
fn a_node_that_was_read_twice_does_not_stand_for_another() {
    let twice = [invocation(1, "Success", "Success"), invocation(1, "Success", "Success")];
    assert_eq!(
        verdict(&command("Success", "Success", 2), &twice),
        Unseen(StatusDetails::Incomplete)
    );
}

/// Words that a command or an invocation can say of itself; Success as often as all others.
fn word() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        6 => Just("Success"),
        1 => select(RUNNING_WORDS),
        1 => select(ENDED_BADLY),
    ]
}

const RUNNING_WORDS: &[&str] =
    &["Pending", "InProgress", "In Progress", "Delayed", "Cancelling", "Canceling"];
const ENDED_BADLY: &[&str] = &[
    "Failed",
    "TimedOut",
    "ExecutionTimedOut",
    "Delivery Timed Out",
    "Cancelled",
    "Canceled",
    "Terminated",
    "Undeliverable",
    "InvalidPlatform",
    "AccessDenied",
    "Incomplete",
    "RateExceeded",
    "NoInstancesInTag",
    "BatteryEmpty",
    "",
];

#[derive(Debug, Clone)]
struct Reads {
    status: &'static str,
    details: &'static str,
    target_count: u32,
    /// Number, status and details of each node that was read.
    nodes: Vec<(usize, &'static str, &'static str)>,
}

impl Reads {
    fn verdict(&self) -> Verdict {
        let nodes: Vec<Invocation> = self
            .nodes
            .iter()
            .map(|(node, status, details)| invocation(*node, status, details))
            .collect();
        verdict(&command(self.status, self.details, self.target_count), &nodes)
    }

    /// The rule in the words of the AWS documentation, on the words of the API.
    fn every_targeted_node_succeeded(&self) -> bool {
        let says_success =
            |status, details| details == "Success" && !RUNNING_WORDS.contains(&status);
        let mut succeeded = BTreeSet::new();
        for (node, status, details) in &self.nodes {
            if !says_success(*status, *details) {
                return false;
            }
            succeeded.insert(node);
        }
        says_success(self.status, self.details)
            && !succeeded.is_empty()
            && succeeded.len() == self.target_count as usize
    }
}

prop_compose! {
    fn reads()(
        status in word(),
        details in word(),
        nodes in vec((0..6_usize, word(), word()), 0..5),
        target_count in 0..5_u32,
        // Three times of four, as many as were read: or else a success would be rare.
        guessed in 0..4_u8,
    ) -> Reads {
        let target_count =
            if guessed == 0 { target_count } else { u32::try_from(nodes.len()).unwrap() };
        Reads { status, details, target_count, nodes }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn success_means_that_every_targeted_node_succeeded(reads in reads()) {
        prop_assert_eq!(reads.verdict() == Success, reads.every_targeted_node_succeeded());
    }

    #[test]
    fn running_means_that_the_command_does_not_say_it_has_ended(reads in reads()) {
        let runs = [reads.status, reads.details].iter().any(|word| RUNNING_WORDS.contains(word));
        let unknown = |word: &str| word.is_empty() || word == "BatteryEmpty";
        // `Status` knows fewer words than `StatusDetails`.
        let known_status = ["Success", "Failed", "TimedOut", "Cancelled", "Canceled"];
        let says_nothing = !known_status.contains(&reads.status)
            && (unknown(reads.details) || reads.details == "TimedOut");
        prop_assert_eq!(reads.verdict() == Running, runs || says_nothing);
    }

    #[test]
    fn the_order_of_the_nodes_makes_no_difference(reads in reads(), swaps in vec(any::<(Index, Index)>(), 4)) {
        let mut shuffled = reads.clone();
        for (a, b) in swaps {
            if !shuffled.nodes.is_empty() {
                let (a, b) = (a.index(shuffled.nodes.len()), b.index(shuffled.nodes.len()));
                shuffled.nodes.swap(a, b);
            }
        }
        prop_assert_eq!(shuffled.verdict(), reads.verdict());
    }
}
