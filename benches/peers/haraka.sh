#!/bin/sh
# Haraka as a relay with its own queue on the disk, in a folder of its own; a worker per core.
# Installed by npm: found as haraka, or below NODE_PATH.
. "$(dirname "$0")/lib.sh"
begin
command -v node >/dev/null 2>&1 || absent
haraka=$(command -v haraka || echo "${NODE_PATH:-}/Haraka/bin/haraka")
[ -e "$haraka" ] || absent
mkdir -p "$folder/config" "$folder/plugins" "$folder/queue"
cat >"$folder/config/smtp.ini" <<CF
listen=127.0.0.1:$port
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
exports.hook_get_mx = (next, hmail, domain) => next(OK, { exchange: '127.0.0.1', port: $next_hop, priority: 0 });
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
running $!
