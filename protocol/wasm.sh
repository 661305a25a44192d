#!/bin/sh
# Proves that the core needs nothing from its host: builds it for wasm32 and fails if the module imports
# anything, or if a crate that asks the operating system for entropy is in its tree.
set -eu
cd "$(dirname "$0")/.."

target=wasm32-unknown-unknown
rustup target list --installed | grep -qx "$target" || rustup target add "$target"

tree=$(cargo tree --locked -p bombyx-protocol --target "$target" -e normal --prefix none)
if echo "$tree" | grep '^getrandom '; then
    echo "getrandom is in the core's tree: randomness must come from the seed alone" >&2
    exit 1
fi

# Nothing is exported, so optimiser and linker would drop all code and with it every import: make them keep it.
cargo rustc --locked -p bombyx-protocol --lib --target "$target" --release --crate-type cdylib \
    -- -C lto=off -C link-dead-code -C link-args=--no-gc-sections

python3 - "${CARGO_TARGET_DIR:-target}/$target/release/bombyx_protocol.wasm" <<'PYTHON'
"""Lists a WebAssembly module's imports and functions from its sections."""
import sys

module = open(sys.argv[1], "rb").read()
if module[:8] != b"\0asm\1\0\0\0":
    sys.exit(f"{sys.argv[1]} is not a WebAssembly module of version 1")


def number(at):
    """An unsigned LEB128 number and the place after it."""
    value = shift = 0
    while True:
        byte = module[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def text(at):
    length, at = number(at)
    return module[at : at + length].decode(), at + length


IMPORTS, CODE = 2, 10
imports, functions, at = [], 0, 8
while at < len(module):
    section, (size, at) = module[at], number(at + 1)
    end = at + size
    if section == IMPORTS:
        count, at = number(at)
        for _ in range(count):
            host, at = text(at)
            name, at = text(at)
            kind, at = module[at], at + 1
            if kind != 0:
                sys.exit(f"the core imports {host}.{name}, which is not even a function")
            _, at = number(at)
            imports.append(f"{host}.{name}")
    elif section == CODE:
        functions, _ = number(at)
    at = end

if imports:
    sys.exit("the core asks its host for: " + ", ".join(imports))
# One public function that nothing in the crate calls: where it is, dead code was kept.
if b"bombyx_protocol7session9handshake7respond" not in module:
    sys.exit("the module lacks session::respond: the core was dropped from it, so this proves nothing")
print(f"the core runs anywhere: {functions} functions, {len(module)} bytes, no import")
PYTHON
