#!/usr/bin/env bash
# Postfix as the next hop: a gateway of its own in front of a Postfix of its own, on free ports. What Postfix
# takes is in its mailbox, with its dots; what it refuses, the client hears in its words.
. "$(dirname "$0")/lib.sh"
needs postfix curl python3
[ "$(id -u)" -eq 0 ] || { echo "skipped: Postfix starts as root only"; exit 77; }
id postfix >/dev/null 2>&1 || { echo "skipped: there is no user postfix"; exit 77; }

folder=$(mktemp -d)
gateway=""
finish() {
    [ -z "$gateway" ] || kill -TERM "$gateway" 2>/dev/null || true
    postfix -c "$folder/etc" stop >/dev/null 2>&1 || true
    rm -rf "$folder"
}
trap finish EXIT
free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
port=$(free_port) listen=$(free_port) page=$(free_port)

mkdir -p "$folder"/{etc,spool,data,mail}
chmod 755 "$folder" "$folder/etc"
chown postfix "$folder/data" "$folder/mail"
cat >"$folder/etc/main.cf" <<CF
compatibility_level = 3.6
queue_directory = $folder/spool
data_directory = $folder/data
mail_owner = postfix
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = postfix.example
mynetworks = 127.0.0.0/8
mydestination =
alias_maps =
virtual_mailbox_domains = example.org
virtual_mailbox_base = $folder/mail
virtual_mailbox_maps = inline:{ klant@example.org=klant/ }
virtual_uid_maps = static:$(id -u postfix)
virtual_gid_maps = static:$(id -g postfix)
virtual_minimum_uid = 1
smtpd_relay_restrictions = reject_unauth_destination
maillog_file = $folder/log
maillog_file_prefixes = $folder
CF
cat >"$folder/etc/master.cf" <<CF
127.0.0.1:$port inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
CF
postfix -c "$folder/etc" start >/dev/null 2>"$folder/start" || { cat "$folder/start" >&2; fail "Postfix did not start"; }

# The same gateway, but for where it listens and where mail goes.
sed -e "s|^data = .*|data = \"$folder/var\"|" \
    -e "s|^next_hop = .*|next_hop = \"127.0.0.1:$port\"\ntls = \"none\"|" \
    -e "0,/^address = .*/s||address = \"127.0.0.1:$listen\"|" \
    -e "s|127.0.0.1:${PAGE##*:}\"|127.0.0.1:$page\"|" "$CONFIG" >"$folder/sluis.toml"
mkfifo "$folder/said"
"$SLUIS" --config "$folder/sluis.toml" serve >"$folder/said" 2>"$folder/gateway.log" &
gateway=$!
exec 4<"$folder/said"
while read -r -u 4 what _; do [ "$what" = try ] && break; done
[ "$what" = try ] || { cat "$folder/gateway.log" >&2; fail "the gateway did not start"; }

invoices="facturen@voorbeeldhypotheken.nl"
send() {
    message "$invoices" "$1" "$2" | curl --silent --show-error --url "smtp://127.0.0.1:$listen" \
        --mail-from "$invoices" --mail-rcpt "$1" --upload-file - --verbose 2>"$folder/dialog"
}
send klant@example.org postfix-taken || { cat "$folder/dialog" "$folder/log" >&2; fail "not taken"; }
grep -q "^< 250 2.0.0 Ok: .*queued as " "$folder/dialog" ||
    { cat "$folder/dialog" >&2; fail "the queue id did not reach the client"; }
for _ in $(seq 100); do
    found=$(grep -lr postfix-taken "$folder/mail" || true)
    [ -z "$found" ] || break
    sleep 0.1
done
[ -n "$found" ] || { cat "$folder/log" >&2; fail "it never arrived"; }
# The body as it was sent, with its dot; below it stands who sent it (service mail).
tr -d '\r' <"$found" | grep -Pzq '\n\npostfix-taken\n\.\nend\n' || { cat "$found" >&2; fail "the body was changed"; }
if send nobody@example.org postfix-refused; then fail "an unknown user was taken"; fi
grep -q "^< 550 5.1.1 <nobody@example.org>: Recipient address rejected" "$folder/dialog" ||
    { cat "$folder/dialog" >&2; fail "Postfix's own words did not reach the client"; }
echo "ok: as the next hop, its queue id and its refusals reach the client"
