//! How the time of a decision and of a report grows with the number of nodes.
//!
//! `cargo bench --package callback` runs it. Both must grow with the nodes and no faster, whether
//! the outputs fit into the report or most of them have to be left out.

use std::hint::black_box;

use callback::command::{Callback, Output, Plugin};
use callback::report::{CAUSE_BYTES_MAX, OUTPUT_BYTES_MAX, report};
use callback::{Command, CommandId, InstanceId, Invocation, Status, StatusDetails, verdict};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

const NODES: [u32; 4] = [1, 50, 1_000, 5_000];
/// A script that says a word, and one that says as much as a listing holds.
const OUTPUT_CHARS: [usize; 2] = [12, 2_400];
/// Every so many-th node has failed, so that both orders of leaving out are taken.
const FAILED_EVERY: u32 = 10;

fn command(nodes: u32) -> Command {
    Command {
        id: CommandId::parse("0b8ef9e2-1b2c-4d3e-8f4a-5b6c7d8e9f00").expect("an id"),
        document_name: "SfnRunShellScript".to_owned(),
        status: Status::Success,
        status_details: StatusDetails::Success,
        requested_at: "2026-11-22T10:00:00Z".parse().expect("a time"),
        target_count: nodes,
        completed_count: nodes,
        error_count: 0,
        delivery_timed_out_count: 0,
        callback: Callback::from_parameters(&[].into()),
    }
}

fn invocations(nodes: u32, output_chars: usize) -> Vec<Invocation> {
    (0..nodes).map(|node| invocation(node, output_chars)).collect()
}

fn invocation(node: u32, output_chars: usize) -> Invocation {
    let failed = node % FAILED_EVERY == FAILED_EVERY - 1;
    let word = if failed { "Failed" } else { "Success" };
    let line = "a line of text, with \"quotes\" and ümläute\n";
    Invocation {
        instance_id: InstanceId::parse(&format!("i-{node:017}")).expect("an id"),
        status: Status::parse(word),
        status_details: StatusDetails::parse(word),
        plugins: vec![Plugin {
            name: "runShellScript".to_owned(),
            status_details: StatusDetails::parse(word),
            response_code: Some(i32::from(failed)),
            started_at: Some("2026-11-22T10:00:01Z".parse().expect("a time")),
            ended_at: Some("2026-11-22T10:00:02.25Z".parse().expect("a time")),
            output: Output {
                stdout: line.chars().cycle().take(output_chars).collect(),
                stderr: String::new(),
                truncated: false,
                exact: true,
            },
        }],
        standard_output_url: String::new(),
        standard_error_url: String::new(),
    }
}

fn verdicts(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("verdict");
    for nodes in NODES {
        let (command, invocations) = (command(nodes), invocations(nodes, 0));
        group.throughput(Throughput::Elements(nodes.into()));
        group.bench_function(BenchmarkId::from_parameter(nodes), |bencher| {
            bencher.iter(|| verdict(black_box(&command), black_box(&invocations)));
        });
    }
    group.finish();
}

fn reports(criterion: &mut Criterion) {
    for (name, bytes_max) in [("output", OUTPUT_BYTES_MAX), ("cause", CAUSE_BYTES_MAX)] {
        let mut group = criterion.benchmark_group(format!("report/{name}"));
        for output_chars in OUTPUT_CHARS {
            for nodes in NODES {
                let (command, invocations) = (command(nodes), invocations(nodes, output_chars));
                group.throughput(Throughput::Elements(nodes.into()));
                let id = BenchmarkId::new(format!("{output_chars} characters"), nodes);
                group.bench_function(id, |bencher| {
                    bencher
                        .iter(|| report(black_box(&command), black_box(&invocations), bytes_max));
                });
            }
        }
        group.finish();
    }
}

criterion_group!(growth, verdicts, reports);
criterion_main!(growth);
