#!/bin/sh
# nginx as a bare TCP proxy (its stream module): no queue, no look at the message.
. "$(dirname "$0")/lib.sh"
begin
command -v nginx >/dev/null 2>&1 || absent
module=/usr/lib/nginx/modules/ngx_stream_module.so
[ -e "$module" ] || absent
cat >"$folder/nginx.conf" <<CF
load_module $module;
pid $folder/nginx.pid;
error_log $folder/error.log crit;
worker_processes 2;
daemon off;
events { worker_connections 2048; }
stream {
    server {
        listen 127.0.0.1:$port;
        tcp_nodelay on;
        proxy_pass 127.0.0.1:$next_hop;
    }
}
CF
nginx -c "$folder/nginx.conf" -e "$folder/error.log" >"$folder/log" 2>&1 &
running $!
