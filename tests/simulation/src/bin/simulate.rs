//! `simulate`: many histories on all cores, or one of them line by line.

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use simulation::shrink::shrink;
use simulation::{Fault, Figures, History, run};

const USAGE: &str = "\
usage: simulate [--seeds COUNT] [--first SEED] [--shrink yes|no]
       simulate --seed SEED [--without FAULT,…] [--drop EXECUTION,…]

Runs as many histories as asked, and prints what happened in figures. When one breaks a rule: its
seed, what is left of it when all is taken out that is not needed, and the command that replays it.
With --seed: that history, line by line.";

fn main() -> ExitCode {
    let words: Vec<_> = std::env::args().skip(1).collect();
    match Order::parse(&words) {
        Ok(Order::Many { first, count, shrinks }) => many(first, count, shrinks),
        Ok(Order::One(history)) => one(&history),
        Err(problem) => {
            eprintln!("{problem}\n\n{USAGE}");
            ExitCode::from(2)
        }
    }
}

/// What the command line asks for.
enum Order {
    Many { first: u64, count: u64, shrinks: bool },
    One(History),
}

impl Order {
    fn parse(words: &[String]) -> Result<Self, String> {
        let (mut first, mut count, mut seed, mut shrinks) = (0, 1_000, None, true);
        let (mut without, mut dropped) = (BTreeSet::new(), BTreeSet::new());
        for pair in words.chunks(2) {
            let [option, value] = pair else {
                return Err(format!("`{}` needs a value, or is no option", pair[0]));
            };
            match option.as_str() {
                "--seeds" => count = number(value)?,
                "--first" => first = number(value)?,
                "--shrink" if value == "yes" || value == "no" => shrinks = value == "yes",
                "--seed" => seed = Some(number(value)?),
                "--drop" => {
                    for word in value.split(',') {
                        dropped.insert(number(word)?);
                    }
                }
                "--without" => {
                    for word in value.split(',') {
                        without.insert(Fault::named(word).ok_or_else(|| no_fault(word))?);
                    }
                }
                _ => return Err(format!("`{option}` is no option")),
            }
        }
        Ok(match seed {
            Some(seed) => Self::One(History { seed, without, dropped }),
            None => Self::Many { first, count, shrinks },
        })
    }
}

fn number(word: &str) -> Result<u64, String> {
    word.parse().map_err(|_| format!("`{word}` is no number"))
}

fn no_fault(word: &str) -> String {
    let names: Vec<_> = Fault::ALL.iter().map(|fault| fault.name()).collect();
    format!("`{word}` is no fault; these are: {}", names.join(", "))
}

/// Runs histories on all cores until one breaks a rule.
fn many(first: u64, count: u64, shrinks: bool) -> ExitCode {
    let end = first.saturating_add(count);
    let next = AtomicU64::new(first);
    let figures = Mutex::new(Figures::default());
    let broken = Mutex::new(None);
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let seed = next.fetch_add(1, Ordering::Relaxed)
                    && seed < end
                {
                    let course = run(&History::of(seed), false);
                    figures.lock().unwrap_or_else(PoisonError::into_inner).add(&course.figures);
                    if let Some(violation) = course.violation {
                        next.store(end, Ordering::Relaxed);
                        let mut broken = broken.lock().unwrap_or_else(PoisonError::into_inner);
                        broken.get_or_insert((seed, violation));
                    }
                }
            });
        }
    });
    println!("{}", figures.into_inner().unwrap_or_else(PoisonError::into_inner));
    match broken.into_inner().unwrap_or_else(PoisonError::into_inner) {
        None => ExitCode::SUCCESS,
        Some((seed, violation)) if !shrinks => {
            println!("seed {seed} BROKEN {violation}");
            ExitCode::FAILURE
        }
        Some((seed, _)) => {
            println!("\nThe history of seed {seed} breaks a rule. What is left of it:\n");
            one(&shrink(&History::of(seed)))
        }
    }
}

/// Runs one history and prints what happens.
fn one(history: &History) -> ExitCode {
    let course = run(history, true);
    for line in &course.log {
        println!("{line}");
    }
    println!("\n{}", course.figures);
    match course.violation {
        None => ExitCode::SUCCESS,
        Some(violation) => {
            println!("\nBROKEN {violation}");
            println!("replay: make simulate ARGS=\"{history}\"");
            ExitCode::FAILURE
        }
    }
}
