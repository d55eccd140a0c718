#!/usr/bin/env bash
# Rewritten messages (the golden cases, and the corpus when it is there) read by Python's email package, and
# their signatures verified by dkimpy. Needs no gateway; dkimpy and PyNaCl come from pip into a folder that is
# thrown away, or from PYTHON.
. "$(dirname "$0")/lib.sh"
needs python3 cargo
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python=${PYTHON:-}
if [ -z "$python" ]; then
    python3 -m venv "$work/venv"
    python="$work/venv/bin/python"
    if ! "$work/venv/bin/pip" install --quiet dkimpy pynacl dnspython >"$work/pip" 2>&1; then
        echo "skipped: pip cannot install dkimpy"
        exit 77
    fi
fi
mkdir "$work/out"
if ! SLUIS_REWRITTEN="$work/out" cargo test --quiet --test rewrite >"$work/log" 2>&1; then
    cat "$work/log" >&2
    fail "cargo test --test rewrite"
fi
"$python" "$here/rewrite.py" "$work/out"
