# `just` lists these; `./test` is all that must pass.

_default:
    @just --list --unsorted

# Format, lints, licences, documentation, tests
test *ARGUMENTS:
    ./test {{ ARGUMENTS }}

# Types and lints only
check:
    cargo clippy --locked --profile ci --all-targets -- -D warnings

# The tests whose name matches, such as `just t f1_`
t *FILTER:
    cargo nextest run --cargo-profile ci {{ FILTER }}

format:
    cargo fmt --all

# An echo upstream, a gateway, an admin port, and tokens to try
demo *ARGUMENTS:
    cargo run --release -- demo {{ ARGUMENTS }}

# The documentation of the code, in a browser
doc:
    cargo doc --no-deps --document-private-items --open

# Known vulnerabilities of dependencies; needs the network and cargo-deny
advisories:
    cargo deny check advisories

# Processor time per request, side by side with other proxies; see benches/load/README.md
bench *ARGUMENTS: release
    benches/load/run {{ ARGUMENTS }}

# User-space instructions per request
instructions *ARGUMENTS: release
    benches/load/callgrind {{ ARGUMENTS }}

release:
    cargo build --release

# Takes the pictures of the README anew.
pictures:
    tests/browser/pictures
