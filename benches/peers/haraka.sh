#!/bin/sh
# Haraka as a relay with its own queue on the disk, in a folder of its own; a worker per core.
#   haraka.sh start FOLDER PORT NEXT_HOP_PORT     prints the process id of its master
#   haraka.sh stop FOLDER
# Installed by npm: found as haraka, or below NODE_PATH. Exit status 77: not there.
set -eu
folder=$2
case $1 in
stop)
    kill -TERM "$(cat "$folder/pid")"
    exit 0
    ;;
start) ;;
*) exit 64 ;;
esac
command -v node >/dev/null 2>&1 || exit 77
haraka=$(command -v haraka || echo "${NODE_PATH:-}/Haraka/bin/haraka")
[ -e "$haraka" ] || exit 77
mkdir -p "$folder/config" "$folder/plugins" "$folder/queue"
cat >"$folder/config/smtp.ini" <<CF
listen=127.0.0.1:$3
nodes=$(nproc)
daemonize=false
CF
echo peer.example >"$folder/config/me"
printf 'everything_on\n' >"$folder/config/plugins"
printf '[main]\nlevel=crit\nformat=default\n' >"$folder/config/log.ini"
cp "$(dirname "$(realpath "$haraka")")/../config/connection.ini" "$folder/config/"
cat >"$folder/config/outbound.ini" <<CF
concurrency_max=100
local_mx_ok=true
enable_tls=false
CF
# Whoever comes may send, and everything goes to the next hop.
cat >"$folder/plugins/everything_on.js" <<CF
exports.hook_connect = (next, connection) => { connection.relaying = true; next(); };
exports.hook_get_mx = (next, hmail, domain) => next(OK, { exchange: '127.0.0.1', port: $4, priority: 0 });
CF
# Both ways: without it each answer waits for a delayed acknowledgement, 44 ms, and anybody looks fast beside it.
cat >"$folder/nodelay.js" <<'CF'
const net = require('net');
const { listen } = net.Server.prototype;
net.Server.prototype.listen = function (...given) { this.noDelay = true; return listen.apply(this, given); };
const { connect } = net.Socket.prototype;
net.Socket.prototype.connect = function (...given) { this.setNoDelay(true); return connect.apply(this, given); };
CF
NODE_OPTIONS="--require $folder/nodelay.js" node "$haraka" -c "$folder" >"$folder/log" 2>&1 &
pid=$!
echo "$pid" >"$folder/pid"
try=0
until bash -c "exec 3<>/dev/tcp/127.0.0.1/$3" 2>/dev/null; do
    try=$((try + 1))
    if ! kill -0 "$pid" 2>/dev/null || [ $try -ge 200 ]; then
        cat "$folder/log" >&2
        kill -KILL "$pid" 2>/dev/null || true
        exit 1
    fi
    sleep 0.1
done
echo "$pid"
