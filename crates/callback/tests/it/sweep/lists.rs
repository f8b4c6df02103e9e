//! Which lists a sweep reads, from where on, and what they cost.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use callback::output::Output;
use callback::ports::{CommandPage, Outputs, PageToken};
use callback::testing::world::Fault;
use callback::{InstanceId, Invocation};
use rstest::rstest;

use super::*;

/// A process that looks after three documents, which are listed by six names.
fn process_of_three() -> Process {
    Process::of(scope_of(&THREE_DOCUMENTS))
}

/// So many minutes after [`now`], or before.
fn minute(minute: i64) -> Timestamp {
    now() + SignedDuration::from_mins(minute)
}

// An idle account.

#[tokio::test(start_paused = true)]
async fn an_idle_sweep_reads_two_lists_and_the_first_one_of_a_process_three() {
    let many: Vec<_> = (0..40).map(|number| format!("Document{number}")).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    for documents in [&[DOCUMENT][..], &THREE_DOCUMENTS, &many] {
        let (world, mut process) = (World::new(), Process::of(scope_of(documents)));
        for (minute, calls) in (0..).zip([3, 2, 2, 2, 2]) {
            let before = all_calls(&world);
            assert_eq!(process.sweep(&world, minute).await, nothing());
            assert_eq!(all_calls(&world) - before, calls, "in minute {minute}");
        }
        assert_eq!(all_calls(&world), world.calls(Op::ListPage));
    }
}

#[tokio::test(start_paused = true)]
async fn a_scope_without_documents_is_nothing_to_do() {
    let (world, mut process) = (world_of_thirty(), Process::of(scope_of(&[])));
    assert_eq!(process.sweeps(&world, 0..3).await, nothing());
    assert_eq!(all_calls(&world), 0);
}

// From where on.

/// The times from which on completed commands were listed lately; not those of the lookback.
fn sinces(world: &World, process: &Process) -> Vec<Timestamp> {
    let mut sinces: Vec<_> =
        world.listings().into_iter().filter_map(|listing| listing.invoked_after).collect();
    sinces.retain(|since| *since > earlier(now(), process.scope.lookback));
    sinces
}

#[tokio::test(start_paused = true)]
async fn completed_commands_are_listed_from_the_last_but_one_sweep_on() {
    let (world, mut process) = (World::new(), Process::new());
    process.sweeps(&world, 0..5).await;
    // An hour before the first sweep at first; then two intervals before the last but one.
    let expected = [-60, -60, -2, -1, 0].map(minute);
    assert_eq!(sinces(&world, &process), expected);

    // The interval is what it is set to, and a second at least.
    for (interval, overlap) in [(5 * MINUTE, 10 * MINUTE), (Duration::ZERO, 2 * SECOND)] {
        let (world, mut process) = (World::new(), Process::new());
        process.scope.interval = interval;
        process.sweeps(&world, [0, 5, 10]).await;
        assert_eq!(sinces(&world, &process)[2], earlier(now(), overlap));
    }
}

#[rstest]
#[case::a_list_of_executing_commands_fails(Stage::Executing)]
#[case::a_list_of_completed_commands_fails(Stage::Complete)]
#[tokio::test(start_paused = true)]
async fn a_list_that_fails_leaves_the_next_sweep_where_it_was(#[case] failing: Stage) {
    let (world, mut process) = (World::new(), Process::new());
    process.sweeps(&world, 0..4).await;
    assert_eq!(sinces(&world, &process), [-60, -60, -2, -1].map(minute));
    for minute in [4, 5] {
        let fail = || world.fail_next(Op::ListPage, Fault::Throttled);
        let report = if failing == Stage::Executing {
            fail();
            process.sweep(&world, minute).await
        } else {
            // The list of executing commands takes its time, and comes first.
            world.slow(Op::ListPage, SECOND);
            let failing = async {
                tokio::time::sleep(SECOND * 3 / 2).await;
                fail();
            };
            tokio::join!(process.sweep(&world, minute), failing).0
        };
        assert_eq!(report.failed, 1);
        assert_eq!(report.blind.is_some(), failing == Stage::Executing);
    }
    process.sweeps(&world, 6..9).await;
    // The last but one that listed everything began in minute 2, until it is that of minute 3, and
    // that of minute 6.
    let expected = [0, 0, 0, 1, 4].map(minute);
    assert_eq!(sinces(&world, &process)[4..], expected);
}

#[tokio::test(start_paused = true)]
async fn a_sweep_that_runs_out_of_time_leaves_the_next_one_where_it_was() {
    let (world, mut process) = (World::new(), Process::new());
    process.sweeps(&world, 0..4).await;
    world.slow(Op::ListPage, SECOND);
    process.time_left = SECOND / 2;
    assert!(process.sweeps(&world, 4..8).await.truncated);
    assert_eq!(sinces(&world, &process), [-60, -60, -2, -1].map(minute));
    process.time_left = TIME_LEFT;
    process.sweeps(&world, 8..11).await;
    // The list of executing commands that ended in minute 8 began in minute 4.
    assert_eq!(sinces(&world, &process)[4..], [0, 1, 2].map(minute));
}

// The lookback.

/// A world with so many completed commands in the last 48 hours, whose tasks are closed.
fn world_of_completed(commands: u32) -> World {
    let world = World::new();
    for number in 0..commands {
        given(number, number * (48 * HOUR / commands), "Success").put_abandoned(&world);
    }
    world
}

#[tokio::test(start_paused = true)]
async fn a_new_process_looks_back_over_the_whole_lookback_newest_first_30_pages_per_sweep() {
    let (world, mut process) = (world_of_completed(5_000), Process::new());
    let tasks = OtherTasks::new(&world);
    // Of 100 pages; two more lists are read by each sweep, the first one of them of three pages.
    for (minute, (pages, asked)) in
        (0..).zip([(30, 1_500), (30, 3_000), (30, 4_500), (10, 5_000), (0, 5_000)])
    {
        let before = world.calls(Op::ListPage);
        let report = process.sweep_with(&tasks, &world, minute).await;
        assert_eq!(report, nothing());
        let lately = if minute < 2 { 1 + 105_usize.div_ceil(50) } else { 2 };
        assert_eq!(world.calls(Op::ListPage) - before, pages + lately, "in minute {minute}");
        let heartbeats = tasks.heartbeats();
        assert_eq!(heartbeats.len(), asked);
        let all: BTreeSet<_> = heartbeats.into_iter().map(|(token, _)| token).collect();
        assert_eq!(all, (0..u32::try_from(asked).unwrap()).map(token).collect());
    }
}

#[tokio::test(start_paused = true)]
async fn a_process_looks_back_when_it_knows_what_is_executing() {
    let (world, mut process) = (World::new(), Process::new());
    let given = given(1, 2 * HOUR, "InProgress");
    given.clone().put_waited_for(&world);
    world.fail_next(Op::ListPage, Fault::Throttled);
    process.sweep(&world, 0).await;
    // It ends before any sweep of this process has seen it.
    given.is_now("Success").put(&world);
    assert_eq!(process.sweeps(&world, 1..3).await.recovered, 1);
}

#[tokio::test(start_paused = true)]
async fn the_lookback_ends_at_its_age() {
    let (world, mut process) = (World::new(), Process::new());
    process.scope.lookback = 10 * HOUR;
    given(1, 10 * HOUR, "Success").put_waited_for(&world);
    given(2, 10 * HOUR + SECOND, "Success").put_waited_for(&world);
    process.sweeps(&world, 0..4).await;
    let answered: Vec<_> = world.answers().into_iter().map(|(token, _)| token).collect();
    assert_eq!(answered, [token(1)]);
}

#[tokio::test(start_paused = true)]
async fn the_lookback_is_repeated_after_six_hours() {
    let (world, mut process) = (World::new(), Process::new());
    let lookbacks = |world: &World| {
        let oldest = earlier(now(), 30 * HOUR);
        world
            .listings()
            .iter()
            .filter(|one| one.invoked_after.is_some_and(|at| at < oldest))
            .count()
    };
    process.sweeps(&world, 0..3).await;
    // No list told it so far.
    given(1, 20 * HOUR, "Success").put_waited_for(&world);
    process.sweeps(&world, 3..360).await;
    assert_eq!((lookbacks(&world), heartbeats(&world)), (1, 0));
    process.sweeps(&world, 360..362).await;
    assert_eq!((lookbacks(&world), world.answers().len()), (2, 1));
    process.sweeps(&world, 362..720).await;
    assert_eq!((lookbacks(&world), heartbeats(&world)), (2, 1));
    assert_eq!(process.sweep(&world, 720).await, nothing());
    assert_eq!(lookbacks(&world), 3);
}

#[tokio::test(start_paused = true)]
async fn a_page_that_fails_costs_one_interval() {
    for details in ["Success", "InProgress"] {
        // Two pages of either list. The second page of one of them fails.
        let (world, mut process) = (World::new(), Process::new());
        for number in 0..60 {
            given(number, SECOND * number, details).put_abandoned(&world);
        }
        world.slow(Op::ListPage, SECOND);
        let failing = async {
            let pages = if details == "Success" { 2 } else { 1 };
            tokio::time::sleep(SECOND * pages + SECOND / 2).await;
            world.fail_next(Op::ListPage, Fault::Throttled);
        };
        let (report, ()) = tokio::join!(process.sweep(&world, 0), failing);
        assert_eq!(report.failed, 1, "{details}");
        // A short command that is sent then stands before the page that failed.
        let short = Given { requested_at: later(now(), SECOND), ..given(100, MINUTE, details) };
        short.clone().put_waited_for(&world);
        let report = process.sweep(&world, 1).await;
        assert_eq!(report.heartbeats, 1, "{details}");
        short.is_now("Success").put(&world);
        assert_eq!(process.sweeps(&world, 2..4).await.recovered, 1, "{details}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_lookback_goes_on_after_a_page_that_fails() {
    let (world, mut process) = (world_of_completed(1_000), Process::new());
    process.scope.interval = 10 * MINUTE;
    world.slow(Op::ListPage, SECOND);
    let failing = async {
        tokio::time::sleep(SECOND * 19 / 2).await;
        world.fail_next(Op::ListPage, Fault::Throttled);
    };
    let (report, ()) = tokio::join!(process.sweep(&world, 0), failing);
    assert_eq!(report, failures(1));
    assert!((200..1_000).contains(&heartbeats(&world)), "{}", heartbeats(&world));
    assert_eq!(process.sweep(&world, 1).await, nothing());
    assert_eq!(heartbeats(&world), 1_000);
    // Two lists of the first sweep, and one that was not begun again.
    let oldest = earlier(now(), 30 * HOUR);
    let lookbacks = world.listings().into_iter().filter_map(|one| one.invoked_after);
    assert_eq!(lookbacks.filter(|after| *after < oldest).count(), 1);
}

// Documents.

#[tokio::test(start_paused = true)]
async fn commands_of_other_documents_are_not_touched() {
    let (world, mut process) = (World::new(), Process::new());
    let arn = format!("{ARN_PREFIX}AWS-RunShellScript");
    let documents = ["AWS-RunShellScript", "sfnrunshellscript", "", "SfnRunShell", &arn];
    for (number, document) in (1..).zip(documents) {
        let executing = given(number, MINUTE, "InProgress").document(document);
        executing.put_abandoned(&world);
        given(100 + number, MINUTE, "Success").document(document).put_waited_for(&world);
    }
    assert_eq!(process.sweeps(&world, 0..4).await, nothing());
    assert_eq!((heartbeats(&world), changes(&world)), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn every_document_of_the_scope_is_looked_after_named_plainly_or_by_its_arn() {
    // Whether all commands of the account are listed, or those of each document.
    for others in [0, 2_000] {
        let (world, mut process) = (World::new(), process_of_three());
        let arns = THREE_DOCUMENTS.map(|name| format!("{ARN_PREFIX}{name}"));
        let documents = THREE_DOCUMENTS.into_iter().chain(arns.iter().map(String::as_str));
        for (number, document) in (1..).zip(documents) {
            given(number, HOUR, "InProgress").document(document).put_abandoned(&world);
            given(100 + number, HOUR, "InProgress").document(document).put_waited_for(&world);
            given(200 + number, 20 * HOUR, "Success").document(document).put_waited_for(&world);
        }
        for number in 1_000..1_000 + others {
            foreign(number, SECOND, "InProgress").put(&world);
            foreign(10_000 + number, SECOND, "Success").put(&world);
        }
        let report = process.sweeps(&world, 0..2).await;
        assert_eq!((report.cancelled, report.recovered), (6, 6), "{others} others");
        assert_eq!((report.executing, report.heartbeats), (18, 18), "{others} others");
        let is_by_name = world.listings().iter().any(|listing| listing.document_name.is_some());
        assert_eq!(is_by_name, others > 0);
    }
}

// Others have many commands.

/// The names by which lists were asked for since the last time, by stage.
fn names_of(world: &World, stage: Stage, skip: usize) -> Vec<Option<String>> {
    let listings = world.listings().into_iter().skip(skip);
    listings.filter(|one| one.stage == stage).map(|one| one.document_name).collect()
}

#[tokio::test(start_paused = true)]
async fn a_list_of_mostly_others_commands_is_left_for_lists_by_name_and_arn() {
    let (world, mut process) = (World::new(), process_of_three());
    for number in 0..1_000 {
        foreign(number, SECOND, "InProgress").put(&world);
    }
    process.sweep(&world, 0).await;
    // Six pages of 20; then the six lists by document.
    let spellings = THREE_DOCUMENTS.map(|name| [name.to_owned(), format!("{ARN_PREFIX}{name}")]);
    let by_document: Vec<_> = spellings.into_iter().flatten().map(Some).collect();
    let expected: Vec<_> = [None].into_iter().chain(by_document.clone()).collect();
    assert_eq!(names_of(&world, Stage::Executing, 0), expected);
    // Nobody has many completed ones.
    assert_eq!(names_of(&world, Stage::Complete, 0), [None, None]);
    assert_eq!(world.calls(Op::ListPage), 6 + 6 + 2);

    // For 60 lists; then it is tried again.
    for minute in 1..=60 {
        let before = world.listings().len();
        process.sweep(&world, minute).await;
        assert_eq!(names_of(&world, Stage::Executing, before), by_document, "in minute {minute}");
    }
    for (minute, expected) in [(61, expected), (62, by_document)] {
        let before = world.listings().len();
        process.sweep(&world, minute).await;
        assert_eq!(names_of(&world, Stage::Executing, before), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_list_of_mostly_ours_is_read_to_its_end() {
    let (world, mut process) = (World::new(), process_of_three());
    for number in 0..500 {
        given(2 * number, SECOND, "InProgress").put_waited_for(&world);
        foreign(2 * number + 1, SECOND, "InProgress").put(&world);
    }
    let report = process.sweep(&world, 0).await;
    assert_eq!(report, SweepReport { executing: 500, heartbeats: 500, ..nothing() });
    assert_eq!(names_of(&world, Stage::Executing, 0), [None]);
    assert_eq!(world.calls(Op::ListPage), 20 + 2);
}

#[tokio::test(start_paused = true)]
async fn a_command_that_both_kinds_of_lists_tell_is_looked_after_once() {
    let (world, mut process) = (World::new(), process_of_three());
    for number in 0..40 {
        given(number, Duration::ZERO, "InProgress").put_waited_for(&world);
        given(100 + number, Duration::ZERO, "InProgress").put_abandoned(&world);
        given(200 + number, Duration::ZERO, "Success").put_waited_for(&world);
    }
    for number in 0..1_000 {
        foreign(1_000 + number, SECOND, "InProgress").put(&world);
        foreign(2_000 + number, SECOND, "Success").put(&world);
    }
    let report = process.sweep(&world, 0).await;
    let expected = SweepReport { executing: 80, heartbeats: 80, cancelled: 40, ..nothing() };
    assert_eq!(report, expected);
    assert_eq!((heartbeats(&world), world.cancelled().len()), (120, 40));
}

#[tokio::test(start_paused = true)]
async fn a_busy_account_costs_at_most_30_list_calls_per_sweep() {
    // Others send 50,000 commands an hour, and have done so for an hour; 1,500 are executing.
    const PER_MINUTE: u32 = 50_000 / 60;
    let (world, mut process) = (World::new(), process_of_three());
    let send = |minute: u32| {
        for number in 0..PER_MINUTE {
            let requested_at = later(earlier(now(), HOUR), MINUTE * minute);
            let foreign = foreign(minute * PER_MINUTE + number, HOUR, "Success");
            Given { requested_at, ..foreign }.put(&world);
        }
    };
    for number in 1_000_000..1_001_500 {
        foreign(number, SECOND, "InProgress").put(&world);
    }
    (0..60).for_each(send);
    let mut calls = Vec::new();
    for minute in 0..65 {
        let before = world.calls(Op::ListPage);
        assert_eq!(process.sweep(&world, minute).await, nothing());
        calls.push(world.calls(Op::ListPage) - before);
        send(60 + minute);
    }
    // Six names. At first each list is tried without them, and again after 60 lists, for six pages.
    let mut expected = [12; 65];
    expected[0] = 12 + 12 + 6;
    expected[60] += 6;
    expected[61] += 6;
    assert_eq!(calls, expected);
    assert_eq!(all_calls(&world), world.calls(Op::ListPage));
}

// Lists that are not what they should be.

/// How a list comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// As in the world.
    Plain,
    /// A few commands on each page.
    Short,
    /// Every second page is empty, the first and the last one, too.
    WithEmptyPages,
    /// Each command comes twice on its page, and on the next one again.
    Doubled,
    /// An empty page leads to the next one, for ever.
    Endless,
}

/// Run Command as in a world, with lists in another shape.
struct Lists<'a> {
    world: &'a World,
    shape: Shape,
    pages: AtomicUsize,
    /// The commands of the list, as they were when its first page was read.
    commands: Mutex<Vec<Result<Command, CallError>>>,
}

impl<'a> Lists<'a> {
    fn new(world: &'a World, shape: Shape) -> Self {
        Self { world, shape, pages: AtomicUsize::new(0), commands: Mutex::default() }
    }
}

impl RunCommand for Lists<'_> {
    async fn command(&self, id: &CommandId) -> Result<Option<Command>, CallError> {
        self.world.command(id).await
    }

    async fn invocations(
        &self,
        id: &CommandId,
        outputs: Outputs,
    ) -> Result<Vec<Invocation>, CallError> {
        self.world.invocations(id, outputs).await
    }

    async fn invocation(
        &self,
        id: &CommandId,
        instance_id: &InstanceId,
    ) -> Result<Option<Invocation>, CallError> {
        self.world.invocation(id, instance_id).await
    }

    async fn output(
        &self,
        id: &CommandId,
        instance_id: &InstanceId,
        plugin_name: &str,
    ) -> Result<Output, CallError> {
        self.world.output(id, instance_id, plugin_name).await
    }

    async fn commands(
        &self,
        listing: &CommandListing,
        page: Option<&PageToken>,
    ) -> Result<CommandPage, CallError> {
        self.pages.fetch_add(1, Ordering::Relaxed);
        tokio::task::yield_now().await;
        let number = page.map_or(0, |PageToken(number)| number.parse::<usize>().unwrap());
        let next_page = Some(PageToken((number + 1).to_string()));
        if self.shape == Shape::Endless {
            return Ok(CommandPage { commands: Vec::new(), next: next_page });
        }
        if page.is_none() {
            let mut all = Vec::new();
            let mut token = None;
            loop {
                let page = self.world.commands(listing, token.as_ref()).await?;
                all.extend(page.commands);
                token = page.next;
                if token.is_none() {
                    break;
                }
            }
            *self.commands.lock().unwrap() = all;
        }
        let all = self.commands.lock().unwrap().clone();
        let (from, to, last) = match self.shape {
            Shape::Short => (7 * number, 7 * number + 7, all.len() / 7),
            Shape::WithEmptyPages if number.is_multiple_of(2) => (0, 0, all.len() / 7 * 2 + 2),
            Shape::WithEmptyPages => (number / 2 * 7, number / 2 * 7 + 7, usize::MAX),
            Shape::Doubled => (7 * number.saturating_sub(1), 7 * number + 7, all.len() / 7),
            Shape::Plain | Shape::Endless => (0, all.len(), 0),
        };
        let mut commands = all[from.min(all.len())..to.min(all.len())].to_vec();
        if self.shape == Shape::Doubled {
            commands = commands.into_iter().flat_map(|one| [one.clone(), one]).collect();
        }
        Ok(CommandPage { commands, next: next_page.filter(|_| number < last) })
    }

    async fn cancel(&self, id: &CommandId) -> Result<(), CallError> {
        self.world.cancel(id).await
    }
}

#[rstest]
#[case::pages_are_as_they_should_be(Shape::Plain)]
#[case::pages_are_short(Shape::Short)]
#[case::pages_are_empty_and_have_a_next_one(Shape::WithEmptyPages)]
#[case::pages_double_commands(Shape::Doubled)]
#[tokio::test(start_paused = true)]
async fn the_shape_of_a_list_changes_nothing(#[case] shape: Shape) {
    let (world, mut process) = (world_of_thirty(), Process::new());
    let lists = Lists::new(&world, shape);
    let mut sweep =
        async |minute: u32| process.sweep_at(&lists, &world, later(now(), MINUTE * minute)).await;
    let expected = SweepReport { executing: 20, heartbeats: 20, cancelled: 10, ..nothing() };
    assert_eq!(sweep(0).await, expected);
    assert_eq!((heartbeats(&world), world.calls(Op::CancelCommand)), (30, 10));
    let expected = SweepReport { executing: 10, heartbeats: 10, recovered: 10, ..nothing() };
    assert_eq!(sweep(1).await, expected);
    assert_eq!((heartbeats(&world), changes(&world)), (40, 20));
    let report = sweep(2).await;
    assert_eq!(report, SweepReport { executing: 10, heartbeats: 10, ..nothing() });
}

#[tokio::test(start_paused = true)]
async fn a_list_without_an_end_is_left() {
    const LIST_PAGES_MAX: usize = 10_000;
    let (world, mut process) = (World::new(), Process::new());
    let mut lists = Lists::new(&world, Shape::Endless);
    for sweep in 1..=2 {
        let report = process.sweep_at(&lists, &world, minute(sweep)).await;
        assert_eq!(report, SweepReport { truncated: true, ..nothing() });
        let pages = usize::try_from(sweep).unwrap() * (2 * LIST_PAGES_MAX + 30);
        assert_eq!(lists.pages.load(Ordering::Relaxed), pages);
    }
    // It has an end again: nothing counts as ended, or as known.
    given(1, 30 * MINUTE, "Success").put_waited_for(&world);
    lists.shape = Shape::Plain;
    assert_eq!(process.sweep_at(&lists, &world, minute(3)).await.heartbeats, 1);
    assert_eq!(process.sweep_at(&lists, &world, minute(4)).await.recovered, 1);
}
