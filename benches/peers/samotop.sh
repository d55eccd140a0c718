#!/bin/sh
# A relay made of samotop, without a queue: the bench itself, in another process (samotop.rs).
#   samotop.sh start FOLDER PORT NEXT_HOP_PORT    prints its process id
#   samotop.sh stop FOLDER
# Exit status 77: BENCH does not name the bench.
set -eu
folder=$2
case $1 in
stop)
    kill "$(cat "$folder/pid")"
    exit 0
    ;;
start) ;;
*) exit 64 ;;
esac
[ -x "${BENCH:-}" ] || exit 77
"$BENCH" --samotop "$3" "$4" >"$folder/log" 2>&1 &
pid=$!
echo "$pid" >"$folder/pid"
try=0
until bash -c "exec 3<>/dev/tcp/127.0.0.1/$3" 2>/dev/null; do
    try=$((try + 1))
    if ! kill -0 "$pid" 2>/dev/null || [ $try -ge 100 ]; then
        cat "$folder/log" >&2
        kill -KILL "$pid" 2>/dev/null || true
        exit 1
    fi
    sleep 0.1
done
echo "$pid"
