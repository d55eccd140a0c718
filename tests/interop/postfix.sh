#!/usr/bin/env bash
# Postfix as the next hop: a gateway of its own in front of a Postfix of its own, on free ports. What Postfix
# takes is in its mailbox, with its dots; what it refuses, the client hears in its words. And as a client, of the
# gateway under test.
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
port=$(free_port)

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
smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination
relayhost = [localhost]:${SMTP##*:}
smtp_host_lookup = native
smtp_tls_security_level = secure
smtp_tls_CAfile = $AUTHORITY
smtp_tls_loglevel = 1
smtp_tls_secure_cert_match = nexthop
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
tlsmgr unix - - n 1000? 1 tlsmgr
error unix - - n - - error
retry unix - - n - - error
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
CF
postfix -c "$folder/etc" start >/dev/null 2>"$folder/start" || { cat "$folder/start" >&2; fail "Postfix did not start"; }

gateway_before "$folder" "$port"
hand_over klant@example.org postfix-taken || { cat "$folder/dialog" "$folder/log" >&2; fail "not taken"; }
was_told "250 2.0.0 Ok: .*queued as "
arrives postfix-taken "$folder/mail"
if hand_over nobody@example.org postfix-refused; then fail "an unknown user was taken"; fi
was_told "550 5.1.1 <nobody@example.org>: Recipient address rejected"

# As a client: what is for others goes to the gateway under test, by STARTTLS, its certificate believed.
message facturen@voorbeeldhypotheken.nl klant@elders.example postfix-client |
    curl --silent --show-error --url "smtp://127.0.0.1:$port" --mail-from facturen@voorbeeldhypotheken.nl \
        --mail-rcpt klant@elders.example --upload-file - || { cat "$folder/log" >&2; fail "Postfix did not take it"; }
comes_in postfix-client || { cat "$folder/log" >&2; exit 1; }
grep -q "Verified TLS connection established to localhost.*TLSv1.3" "$folder/log" || { cat "$folder/log" >&2; fail "no TLS"; }
echo "ok: as the next hop, its queue id and its refusals reach the client; as a client, STARTTLS and pipelining"
