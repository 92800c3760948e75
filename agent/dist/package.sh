#!/usr/bin/env bash
# Builds the Debian packages aid-agent and aid-hmi: programs of the profile `dist`, units, manual pages, completions.
#   agent/dist/package.sh            for this machine
#   agent/dist/package.sh TARGET     for another one, e.g. aarch64-unknown-linux-gnu (docs/agent.md)
# Needs cargo-deb (cargo install cargo-deb --locked). The packages are in target/debian, or target/TARGET/debian.
set -euo pipefail
cd "$(dirname "$0")/../.."
target=${1:-}
built=${CARGO_TARGET_DIR:-target}

command -v cargo-deb >/dev/null || {
    echo "package.sh: cargo-deb is missing; cargo install cargo-deb --locked" >&2
    exit 1
}
cargo build --profile dist -p aid-agent -p aid-lpa -p aid-hmi --features aid-agent/dbus ${target:+--target "$target"}

# Manual pages and completions are printed by the programs, so by those of this machine.
programs=$built/dist
if [ -n "$target" ]; then
    # Without what a cross build has set for its compiler.
    env -u RUSTC -u RUSTFLAGS cargo build -p aid-agent -p aid-lpa -p aid-hmi
    programs=$built/debug
fi
rm -rf target/package
for program in aid-agent aidctl aid-lpa aid-hmi; do
    package=aid-agent
    [ "$program" != aid-hmi ] || package=aid-hmi
    made=target/package/$package
    mkdir -p "$made/man" "$made/bash" "$made/zsh" "$made/fish"
    "$programs/$program" man --dir "$made/man" >/dev/null
    "$programs/$program" completions bash >"$made/bash/$program"
    "$programs/$program" completions zsh >"$made/zsh/_$program"
    "$programs/$program" completions fish >"$made/fish/$program.fish"
done
# Debian's policy wants them compressed.
gzip -9n target/package/*/man/*.1

for package in aid-agent aid-hmi; do
    cargo deb -p "$package" --profile dist --no-build ${target:+--target "$target"}
done

# What a car has to find room for.
echo "bytes of the programs:"
stat -c '%s %n' "$built${target:+/$target}"/dist/{aid-agent,aidctl,aid-lpa,aid-hmi}
