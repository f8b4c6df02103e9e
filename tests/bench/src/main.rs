//! `make bench`: measures the functions next to others, and prints tables.

use std::fs;

use bench::comparison::comparisons;
use bench::results::{Machine, Results, sizes};
use bench::setting::{Measurement, Options, Setting};
use bench::targets::targets;
use bench::{Result, burst, chart, cold, end_to_end, large, sweeps, warm};
use clap::Parser;

#[tokio::main]
async fn main() -> Result<()> {
    let setting = Setting::prepare(Options::parse())?;
    let results = measure(&setting).await?;
    let json = setting.directory.join("results.json");
    fs::write(&json, serde_json::to_string_pretty(&results)?)?;
    fs::write(&setting.chart, chart::chart(&results))?;
    println!("{}", results.tables());
    println!("Also in {} and {}.", json.display(), setting.chart.display());
    Ok(())
}

async fn measure(setting: &Setting) -> Result<Results> {
    let mut results =
        Results { machine: Machine::here(setting), sizes: sizes(setting)?, ..Results::default() };
    let begins = |measurement: Measurement| {
        let measures = setting.measures(measurement);
        if measures {
            eprintln!("==> measuring: {measurement:?}");
        }
        measures
    };
    if begins(Measurement::Cold) {
        results.cold = cold::measure(setting).await?;
    }
    if begins(Measurement::Warm) {
        results.warm = warm::measure(setting).await?;
    }
    if begins(Measurement::Burst) {
        results.burst = Some(burst::measure(setting).await?);
    }
    if begins(Measurement::Sweep) {
        results.sweeps = sweeps::measure(setting).await?;
    }
    if begins(Measurement::Large) {
        results.large = large::measure(setting).await?;
    }
    if begins(Measurement::EndToEnd) {
        results.end_to_end = end_to_end::measure(setting).await?;
    }
    results.comparisons = comparisons(&results);
    results.targets = targets(&results);
    Ok(results)
}
