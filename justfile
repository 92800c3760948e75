# The menu. Everything here is one cargo command; nothing needs just.

# Show this menu
default:
    @just --list

# One command provisions a car: all parts, one driver, a table at the end
demo *ARGS:
    cargo run --release -p aid-hil -- demo {{ARGS}}

# All the tests
test:
    cargo test --workspace

# One crate's tests, fast: just t aid-rsp
t CRATE *ARGS:
    cargo nextest run -p {{CRATE}} {{ARGS}}

# Formatting and clippy, warnings denied
lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings

# Lives of simulated cars for some hours, with faults of every kind: just soak SEED=7 HOURS=0.5 (docs/SOAK.md)
soak SEED="1" HOURS="1":
    cargo run --release -p aid-sim -- soak --seed {{trim_start_match(SEED, "SEED=")}} --hours {{trim_start_match(HOURS, "HOURS=")}}

# Live a life of a soak again, or repeat the run of a report: just replay target/soak/life-7.txt
replay FILE *FLAGS:
    if head -n 1 {{quote(FILE)}} | grep -q '^life '; then program=aid-sim; else program=aid-hil; fi; \
    cargo run --release -p $program -- replay {{quote(FILE)}} {{FLAGS}}

# Figures beside their limits and peers: just bench, or just bench card
bench *ARGS:
    cargo run --release -p aid-hil -- bench {{ARGS}}

# Kill every part of a cluster under load (docs/cluster.md): just cluster --kills 25, or just cluster --control
cluster *ARGS:
    cargo run --release -p aid-hil -- cluster {{ARGS}}

# Kill aid-hub 200 times under load: just hub-kills, or just hub-kills 50
hub-kills KILLS="200":
    AID_HUB_KILLS={{KILLS}} cargo test -p aid-hub --test hub kill

# Hostile input for so many seconds: just fuzz, or just fuzz apdu 1800 (needs cargo-fuzz; docs/FUZZING.md)
fuzz TARGET="all" SECONDS="60" *FLAGS:
    .ci/fuzz {{TARGET}} {{SECONDS}} {{FLAGS}}

# The cores built and linked for microcontrollers, with their sizes: just mcu, or just mcu thumbv7em-none-eabihf
mcu *TARGETS:
    .ci/mcu {{TARGETS}}

# Mutants of account_id, redirect, phone, and the cores and journal (cargo install cargo-mutants --locked; hours; docs/MUTANTS.md)
mutants *FLAGS:
    cargo mutants -o target/mutants-aid1 -p aid-aid1 -f cmp-link/aid1/src/account_id.rs -f cmp-link/aid1/src/redirect.rs -f cmp-link/aid1/src/phone.rs {{FLAGS}} -- --tests
    cargo mutants -o target/mutants-core -p aid-cmp-core {{FLAGS}} -- --tests
    cargo mutants -o target/mutants-agent -p aid-agent-core -p aid-journal {{FLAGS}} -- --tests

# Mutants of the card and of the RSP objects it verifies (as mutants; docs/MUTANTS.md, section Card)
mutants-card *FLAGS:
    cargo mutants -o target/mutants-rsp -p aid-rsp -f 'euicc-sim/rsp/src/bsp/*.rs' -f 'euicc-sim/rsp/src/cert/*.rs' {{FLAGS}} -- --lib
    cargo mutants -o target/mutants-euicc -p aid-euicc -f euicc-sim/core/src/pin.rs -f 'euicc-sim/core/src/usim/pins.rs' -f 'euicc-sim/core/src/fs/pins.rs' -f 'euicc-sim/core/src/auth/*.rs' -f 'euicc-sim/core/src/isdr/*.rs' {{FLAGS}} -- --lib

# schemathesis against a live aid-cmp and aid-msp over mutual TLS (needs python3)
contract:
    .ci/schemathesis

# An earlier release with today's: old agent, old CMP, both on one database: just skew, or just skew REV
skew *REV:
    .ci/skew {{REV}}

# API documentation, and docs/CONFORMANCE.md from the requirement ids on the tests
docs:
    cargo doc --workspace --no-deps
    cargo run --release -p aid-hil -- conformance --write docs/CONFORMANCE.md

# Advisories, licences, bans, sources (cargo install cargo-deny --locked)
deny:
    cargo deny check

# Record the golden APDU scripts of the card anew (needs bash, curl, and a build)
golden:
    cargo build --workspace
    euicc-sim/golden/record.sh

# lpac and pySim-shell against the card (docs/INTEROP.md says how to install them); skips what is missing
strangers *WAYS="stdio at at_csim":
    cargo build -p euicc-sim
    for way in {{WAYS}}; do euicc-sim/strangers/lpac.sh "$way" || exit 1; done

# Kill the agent so often at random moments, and compare the books of all sides: just kills, or just kills --kills 1000 --seed 7
kills *ARGS:
    cargo run --release -p aid-hil -- kills {{ARGS}}

# Bootable image of a car with the package installed (needs root, mmdebstrap, cargo-deb; docs/agent.md)
image DIR="target/image":
    agent/dist/image.sh {{DIR}}

# Try package, unit and watchdog in the image, in QEMU without KVM
image-test DIR="target/image":
    agent/dist/image-test.sh {{DIR}}

# Cut the power of a car in QEMU so often, and compare the books (needs just image; docs/POWER.md): just power-cut 100
power-cut CUTS="100" *ARGS:
    cargo run --release -p aid-hil -- power-cut --cuts {{CUTS}} {{ARGS}}

# Debian packages of agent and page (needs cargo-deb; docs/agent.md): just package, or just package aarch64-unknown-linux-gnu
package TARGET="":
    agent/dist/package.sh {{TARGET}}

# Debian packages of the servers (needs cargo-deb; docs/install.md): just package-servers, or just package-servers aid-cmp
package-servers *SERVERS:
    cmp-link/dist/package.sh {{SERVERS}}

# A release in target/release-VERSION: packages, SBOM, checksums (docs/install.md): just release, or just release --trial
release *FLAGS:
    .ci/release {{FLAGS}}

# Keys, certificates and configurations for the six terminals of docs/guide.md
init DIR:
    cargo run --release -p aid-hil -- init --dir {{DIR}}

# What CI runs
ci:
    .ci/run
