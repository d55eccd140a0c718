#!/bin/sh
# nginx as a bare TCP proxy (its stream module): no queue, no look at the message.
#   nginx.sh start FOLDER PORT NEXT_HOP_PORT      prints the process id of its master
#   nginx.sh stop FOLDER
# Exit status 77: not installed.
set -eu
command -v nginx >/dev/null 2>&1 || exit 77
module=/usr/lib/nginx/modules/ngx_stream_module.so
[ -e "$module" ] || exit 77
folder=$2
case $1 in
stop)
    kill "$(cat "$folder/nginx.pid")"
    exit 0
    ;;
start) ;;
*) exit 64 ;;
esac
cat >"$folder/nginx.conf" <<CF
load_module $module;
pid $folder/nginx.pid;
error_log $folder/error.log crit;
worker_processes 2;
events { worker_connections 2048; }
stream {
    server {
        listen 127.0.0.1:$3;
        tcp_nodelay on;
        proxy_pass 127.0.0.1:$4;
    }
}
CF
nginx -c "$folder/nginx.conf" -e "$folder/error.log"
cat "$folder/nginx.pid"
