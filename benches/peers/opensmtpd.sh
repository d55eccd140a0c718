#!/bin/sh
# OpenSMTPD as a relay with its own durable queue, in a folder of its own.
# Its spool has one place only and its package excludes Postfix, so it runs apart from the machine
# (tests/interop/apart.sh), installed or unpacked below PACKAGES. Only root can.
. "$(dirname "$0")/lib.sh"
end() {
    kill -KILL "$(cat "$folder/pid")"
}
begin
smtpd=$(command -v smtpd || echo "${PACKAGES:-}/usr/sbin/smtpd")
[ -x "$smtpd" ] || absent
[ "$(id -u)" = 0 ] || absent
apart=$(cd "$(dirname "$0")/../../tests/interop" && pwd)/apart.sh
chmod 755 "$folder"
cat >"$folder/smtpd.conf" <<CF
listen on 127.0.0.1 port $port hostname peer.example
# As fast as it can be told to be: sessions that stay, and no limit on what comes over them.
smtp limit max-mails 1000000
smtp limit max-rcpt 1000
action "on" relay host "smtp+notls://127.0.0.1:$next_hop"
match from any for any action "on"
CF
chmod 644 "$folder/smtpd.conf"
"$apart" "$folder/apart" "$smtpd" -d -f "$folder/smtpd.conf" >"$folder/log" 2>&1 &
running $!
