#!/bin/sh
# Postfix as a relay with its own durable queue, in a folder of its own. RECIPIENT_LIMIT: recipients of one delivery.
# Only root can: it drops privileges itself.
. "$(dirname "$0")/lib.sh"
end() {
    postfix -c "$folder/etc" stop >/dev/null 2>&1
}
begin
command -v postfix >/dev/null 2>&1 || absent
[ "$(id -u)" = 0 ] || absent
mkdir -p "$folder/etc" "$folder/queue" "$folder/data"
chmod 755 "$folder" "$folder/etc" "$folder/queue"
chown postfix "$folder/data"
cat >"$folder/etc/main.cf" <<CF
compatibility_level = 3.6
queue_directory = $folder/queue
data_directory = $folder/data
command_directory = $(postconf -dh command_directory)
daemon_directory = $(postconf -dh daemon_directory)
maillog_file = $folder/mail.log
maillog_file_prefixes = $folder
myhostname = peer.example
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
relayhost = [127.0.0.1]:$next_hop
smtp_dns_support_level = disabled
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_client_connection_count_limit = 0
default_process_limit = 300
# As fast as it can be told to be: kept connections, no slow start, no waiting for the queue.
smtp_connection_cache_destinations = [127.0.0.1]:$next_hop
initial_destination_concurrency = 50
default_destination_concurrency_limit = 50
in_flow_delay = 0
default_destination_recipient_limit = ${RECIPIENT_LIMIT:-50}
CF
cat >"$folder/etc/master.cf" <<CF
$port inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
CF
postfix -c "$folder/etc" check >/dev/null 2>&1
postfix -c "$folder/etc" start >"$folder/log" 2>&1
running "$(tr -d ' ' <"$folder/queue/pid/master.pid")"
