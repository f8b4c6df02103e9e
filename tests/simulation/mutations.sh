#!/usr/bin/env bash
# Shows that the simulation bites: puts each deliberate fault of mutations/*.patch into a copy of
# `callback`, and expects a history that breaks a rule. Arguments: names of mutations; none: all.
set -euo pipefail
cd "$(dirname "$0")/../.."

seeds="${SEEDS:-2000}"
target="$(realpath -m "${CARGO_TARGET_DIR:-target}")/mutations"
tree="$target/tree"
# Below a checkout `git apply` would look for the files there.
export GIT_CEILING_DIRECTORIES="$target"
export CARGO_TARGET_DIR="$target/build"

rm -rf "$tree"
mkdir -p "$tree/crates" "$tree/tests"
cp -R crates/callback "$tree/crates/"
cp -R tests/simulation "$tree/tests/"
cp Cargo.lock "$tree/"
sed 's|^members = .*|members = ["crates/callback", "tests/simulation"]|' Cargo.toml > "$tree/Cargo.toml"
patches="$(realpath tests/simulation/mutations)"
names=("$@")
if [ "${#names[@]}" -eq 0 ]; then
  for patch in "$patches"/*.patch; do names+=("$(basename "$patch" .patch)"); done
fi

survived=0
cd "$tree"
for name in "${names[@]}"; do
  git apply "$patches/$name.patch"
  if ! cargo build --quiet --offline --package simulation --bin simulate 2> "$target/build.log"; then
    cat "$target/build.log" >&2
    echo "$name: does not compile" >&2
    exit 1
  fi
  if found="$("$CARGO_TARGET_DIR/debug/simulate" --seeds "$seeds" --shrink no)"; then
    echo "SURVIVED $name"
    survived=$((survived + 1))
  else
    echo "caught   $name: $(grep -m 1 BROKEN <<< "$found")"
  fi
  git apply --reverse "$patches/$name.patch"
done
echo "${#names[@]} mutations, $survived survived"
[ "$survived" -eq 0 ]
