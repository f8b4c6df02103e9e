//! How the time of a decision and of a report grows with the number of nodes.
//!
//! `cargo bench --package callback` runs it. Both must grow with the nodes and no faster, whether
//! the outputs fit into the report or most of them have to be left out.

use std::hint::black_box;

use callback::limits::{CAUSE_BYTES_MAX, OUTPUT_BYTES_MAX};
use callback::report::report;
use callback::testing::sample;
use callback::{Command, Invocation, verdict};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

const NODES: [u32; 4] = [1, 50, 1_000, 5_000];
/// A script that says a word, and one that says as much as a listing holds.
const OUTPUT_CHARS: [usize; 2] = [12, 2_400];
/// Every so many-th node has failed, so that both orders of leaving out are taken.
const FAILED_EVERY: u32 = 10;

fn command(nodes: u32) -> Command {
    let sample = sample::command(&sample::command_id(1), &[], "Success", &[]);
    Command { target_count: nodes, completed_count: nodes, ..sample }
}

fn invocations(nodes: u32, output_chars: usize) -> Vec<Invocation> {
    let line = "a line of text, with \"quotes\" and ümläute\n";
    let stdout: String = line.chars().cycle().take(output_chars).collect();
    let details = |node| if node % FAILED_EVERY == FAILED_EVERY - 1 { "Failed" } else { "Success" };
    (0..nodes).map(|node| sample::invocation(node, details(node), &stdout, "")).collect()
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
