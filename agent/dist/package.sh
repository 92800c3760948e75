#!/usr/bin/env bash
# Builds the Debian package of the agent: programs of the profile `dist`, unit, manual pages, completions.
#   agent/dist/package.sh            for this machine
#   agent/dist/package.sh TARGET     for another one, e.g. aarch64-unknown-linux-gnu (docs/agent.md)
# Needs cargo-deb (cargo install cargo-deb --locked).
set -euo pipefail
cd "$(dirname "$0")/../.."
target=${1:-}

command -v cargo-deb >/dev/null || {
    echo "package.sh: cargo-deb is missing; cargo install cargo-deb --locked" >&2
    exit 1
}
cargo build --profile dist -p aid-agent -p aid-lpa ${target:+--target "$target"}

# Manual pages and completions are printed by the programs, so by those of this machine.
programs=target/dist
if [ -n "$target" ]; then
    cargo build -p aid-agent -p aid-lpa
    programs=target/debug
fi
made=target/package
rm -rf "$made"
mkdir -p "$made/man" "$made/completions/bash" "$made/completions/zsh" "$made/completions/fish"
for program in aid-agent aidctl aid-lpa; do
    "$programs/$program" man --dir "$made/man" >/dev/null
    "$programs/$program" completions bash >"$made/completions/bash/$program"
    "$programs/$program" completions zsh >"$made/completions/zsh/_$program"
    "$programs/$program" completions fish >"$made/completions/fish/$program.fish"
done
# Debian's policy wants them compressed.
gzip -9n "$made"/man/*.1

cargo deb -p aid-agent --profile dist --no-build ${target:+--target "$target"}
