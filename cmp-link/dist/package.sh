#!/usr/bin/env bash
# Builds the Debian packages of the servers (docs/install.md).
#   cmp-link/dist/package.sh                     all four, for this machine
#   cmp-link/dist/package.sh aid-cmp aid-hub     these
# Needs cargo-deb (cargo install cargo-deb --locked).
set -euo pipefail
cd "$(dirname "$0")/../.."
servers=("$@")
[ $# -gt 0 ] || servers=(aid-cmp aid-hub aid-msp aid-smdp)

command -v cargo-deb >/dev/null || {
    echo "package.sh: cargo-deb is missing; cargo install cargo-deb --locked" >&2
    exit 1
}
packages=()
for server in "${servers[@]}"; do packages+=(-p "$server"); done
cargo build --release "${packages[@]}"
for server in "${servers[@]}"; do
    staged=target/package/$server
    rm -rf "$staged"
    cmp-link/dist/stage.sh "$server" "target/release/$server" "$staged"
    # Links instead of one more set of files: cargo-deb looks for units beside the maintainer scripts.
    cp "$staged/$server.service" "$staged/debian/$server.service"
    cargo deb -p "$server" --no-build
done
