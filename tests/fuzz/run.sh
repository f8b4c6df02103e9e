#!/usr/bin/env bash
# Builds the fuzz targets and runs each for its share of the time: `run.sh SECONDS TARGET…`.
#
# Inputs that reach new code are kept below target/fuzz/corpus and are where the next run begins.
# An input that breaks something is kept below target/fuzz/failures.
set -euo pipefail
cd "$(dirname "$0")/../.."

seconds=$1
shift
case $seconds in
'' | *[!0-9]*) echo "SECONDS is $seconds, and must be a whole number of seconds." >&2 && exit 1 ;;
esac
share=$((seconds / $#))
if [ "$share" -lt 1 ]; then
    echo "SECONDS is $seconds, and must be at least $#: one for each target." >&2
    exit 1
fi
for target in "$@"; do
    if [ ! -f "tests/fuzz/fuzz_targets/$target.rs" ]; then
        echo "there is no target $target: TARGETS are some of $(ls tests/fuzz/fuzz_targets | sed 's/\.rs$//' | xargs)." >&2
        exit 1
    fi
done

built=${CARGO_TARGET_DIR:-$PWD/target}/fuzz
triple=$(rustc --print host-tuple)
# cargo-fuzz has no --locked, so the lock file is checked before.
if ! cargo metadata --locked --manifest-path tests/fuzz/Cargo.toml --format-version 1 >/dev/null; then
    echo "tests/fuzz/Cargo.lock does not fit the crates any more: cargo update --workspace --manifest-path tests/fuzz/Cargo.toml mends it." >&2
    exit 1
fi

echo "==> building the fuzz targets, which takes minutes at first"
# No sanitizer: they need a nightly compiler, and the project has no unsafe code for them to watch.
# 16 units: with one, each of the SDKs takes minutes.
build=("$CARGO_FUZZ" build --fuzz-dir tests/fuzz --sanitizer none --codegen-units 16 --target-dir "$built")
if [ $# -eq 1 ]; then build+=("$1"); fi
"${build[@]}"

# The figures of one run, from what libFuzzer printed.
figures() {
    awk -v target="$1" '
        /stat::number_of_executed_units/ { runs = $2 }
        /stat::average_exec_per_sec/ { rate = $2 }
        /stat::peak_rss_mb/ { memory = $2 }
        match($0, /ft: [0-9]+/) { features = substr($0, RSTART + 4, RLENGTH - 4) }
        match($0, /corp: [0-9]+/) { inputs = substr($0, RSTART + 6, RLENGTH - 6) }
        END {
            printf "%-9s %9d runs %6d per second %6d features %5d inputs kept %5d MB\n",
                target, runs, rate, features, inputs, memory
        }' "$2"
}

failed=0
for target in "$@"; do
    corpus=$built/corpus/$target
    failures=$built/failures/$target
    log=$built/$target.log
    program=$built/$triple/release/$target
    mkdir -p "$corpus" "$failures"
    seeds=("tests/fuzz/seeds/$target")
    if [ "$target" = event ]; then seeds+=(events); fi
    echo "==> fuzzing $target for $share s"
    # An input may take 25 s and 2 GB: what takes more hangs, or is not bounded. Standard output is
    # closed, because the functions write metrics there.
    if "$program" -max_total_time="$share" -timeout=25 -rss_limit_mb=2048 -max_len=65536 \
        -close_fd_mask=1 -print_final_stats=1 -artifact_prefix="$failures/" \
        -dict="tests/fuzz/dictionaries/$target.txt" "$corpus" "${seeds[@]}" >"$log" 2>&1; then
        figures "$target" "$log"
        continue
    fi
    failed=1
    input=$(sed -n 's/.*Test unit written to //p' "$log" | tail -1)
    grep -A 3 -m 1 -E 'panicked at|ERROR: libFuzzer' "$log" >&2 || tail -20 "$log" >&2
    echo "$target failed. Its log: $log" >&2
    if [ -n "$input" ]; then
        echo "The input: $input" >&2
        echo "Replay it: $program $input" >&2
    fi
done
exit "$failed"
