#!/usr/bin/env bash
# OpenSMTPD as the next hop (no CHUNKING, no PIPELINING) and as a client of the gateway under test, with STARTTLS. Its
# package excludes Postfix, and its spool has one place only, so it runs apart, installed or unpacked.
. "$(dirname "$0")/lib.sh"
needs curl python3
smtpd=$(program smtpd)
[ "$(id -u)" -eq 0 ] || { echo "skipped: OpenSMTPD starts as root only"; exit 77; }
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

folder=$(mktemp -d)
gateway="" server=""
finish() {
    [ -z "$gateway" ] || kill -TERM "$gateway" 2>/dev/null || true
    [ -z "$server" ] || { kill -KILL "$server"; wait "$server"; } 2>/dev/null || true
    rm -rf "$folder"
}
trap finish EXIT
port=$(free_port)
mkdir -p "$folder/mail"
chmod 755 "$folder"
chmod 777 "$folder/mail"
cat >"$folder/smtpd.conf" <<CF
listen on 127.0.0.1 port $port hostname opensmtpd.example
action "keep" maildir "$folder/mail" virtual { "klant@example.org" = "nobody" }
# The certificate of a development gateway is its own; that it is checked, Postfix and Exim show.
action "pass" relay host "smtp+tls://127.0.0.1:${SMTP##*:}" tls no-verify
match from any for domain "example.org" action "keep"
match from any for any action "pass"
CF
chmod 644 "$folder/smtpd.conf"
"$here/apart.sh" "$folder/apart" "$smtpd" -d -f "$folder/smtpd.conf" >"$folder/log" 2>&1 &
server=$!
listening "$port" || { cat "$folder/log" >&2; fail "OpenSMTPD did not start"; }

gateway_before "$folder" "$port"
hand_over klant@example.org opensmtpd-taken || { cat "$folder/dialog" "$folder/log" >&2; fail "not taken"; }
was_told "250 2.0.0 [0-9a-f]+ Message accepted for delivery"
arrives opensmtpd-taken "$folder/mail" || { cat "$folder/log" >&2; exit 1; }
if hand_over nobody@example.org opensmtpd-refused; then fail "an unknown user was taken"; fi
was_told "5[0-9][0-9] 5\.[0-9]\.[0-9] .*<nobody@example.org>"

message facturen@voorbeeldhypotheken.nl klant@elders.example opensmtpd-client |
    curl --silent --show-error --url "smtp://127.0.0.1:$port" --mail-from facturen@voorbeeldhypotheken.nl \
        --mail-rcpt klant@elders.example --upload-file - || { cat "$folder/log" >&2; fail "OpenSMTPD did not take it"; }
comes_in opensmtpd-client || { cat "$folder/log" >&2; exit 1; }
grep -q "mta tls ciphers=TLSv1.3" "$folder/log" || { cat "$folder/log" >&2; fail "no TLS"; }
echo "ok: as the next hop, its queue id and its refusals reach the client; as a client, STARTTLS"
