#!/bin/sh
# OpenSMTPD as a relay with its own durable queue, in a folder of its own.
#   opensmtpd.sh start FOLDER PORT NEXT_HOP_PORT  prints the process id that all its processes are below
#   opensmtpd.sh stop FOLDER
# Its spool has one place only and its package excludes Postfix, so it runs apart from the machine
# (tests/interop/apart.sh), installed or unpacked below PACKAGES.
# Exit status 77: not there, or not root.
set -eu
folder=$2
case $1 in
stop)
    kill -KILL "$(cat "$folder/pid")"
    exit 0
    ;;
start) ;;
*) exit 64 ;;
esac
smtpd=$(command -v smtpd || echo "${PACKAGES:-}/usr/sbin/smtpd")
[ -x "$smtpd" ] || exit 77
[ "$(id -u)" = 0 ] || exit 77
apart=$(cd "$(dirname "$0")/../../tests/interop" && pwd)/apart.sh
chmod 755 "$folder"
cat >"$folder/smtpd.conf" <<CF
listen on 127.0.0.1 port $3 hostname peer.example
# As fast as it can be told to be: sessions that stay, and no limit on what comes over them.
smtp limit max-mails 1000000
smtp limit max-rcpt 1000
action "on" relay host "smtp+notls://127.0.0.1:$4"
match from any for any action "on"
CF
chmod 644 "$folder/smtpd.conf"
"$apart" "$folder/apart" "$smtpd" -d -f "$folder/smtpd.conf" >"$folder/log" 2>&1 &
pid=$!
echo "$pid" >"$folder/pid"
try=0
until bash -c "exec 3<>/dev/tcp/127.0.0.1/$3" 2>/dev/null; do
    # What cannot run apart has ended by itself.
    kill -0 "$pid" 2>/dev/null || { wait "$pid" || exit $?; exit 1; }
    try=$((try + 1))
    [ $try -lt 100 ] || { cat "$folder/log" >&2; kill -KILL "$pid"; exit 1; }
    sleep 0.1
done
echo "$pid"
