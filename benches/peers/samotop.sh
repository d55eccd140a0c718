#!/bin/sh
# A relay made of samotop, without a queue: the bench itself, which BENCH names, in another process (samotop.rs).
. "$(dirname "$0")/lib.sh"
begin
[ -x "${BENCH:-}" ] || absent
"$BENCH" --samotop "$port" "$next_hop" >"$folder/log" 2>&1 &
running $!
