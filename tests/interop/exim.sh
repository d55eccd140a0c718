#!/usr/bin/env bash
# Exim as the next hop (CHUNKING, no SMTPUTF8) and as a client of the gateway under test, with STARTTLS. Its package
# excludes Postfix, so it may stand unpacked below PACKAGES and then runs apart.
. "$(dirname "$0")/lib.sh"
needs curl python3
exim=$(program exim4)
[ "$(id -u)" -eq 0 ] || { echo "skipped: Exim starts as root only"; exit 77; }
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
mkdir -p "$folder"/{spool,log,mail}
chmod 755 "$folder"
chmod 777 "$folder"/{spool,log,mail}
cat >"$folder/exim.conf" <<CF
exim_path = $exim
primary_hostname = exim.example
daemon_smtp_ports = $port
local_interfaces = 127.0.0.1
spool_directory = $folder/spool
log_file_path = $folder/log/%slog
pid_file_path = $folder/log/pid
notifier_socket =
keep_environment =
domainlist local_domains = example.org
hostlist relay_from_hosts = 127.0.0.1
acl_smtp_rcpt = check
host_lookup =
queue_only = false
begin acl
check:
  accept domains = +local_domains
         local_parts = klant
  deny domains = +local_domains
       message = 5.1.1 no such user here
  accept hosts = +relay_from_hosts
  deny message = relay not permitted
begin routers
here:
  driver = accept
  domains = +local_domains
  transport = file
elsewhere:
  driver = manualroute
  route_list = * localhost byname
  self = send
  transport = gateway
begin transports
file:
  driver = appendfile
  directory = $folder/mail
  create_directory = false
  user = Debian-exim
gateway:
  driver = smtp
  port = ${SMTP##*:}
  allow_localhost
  hosts_require_tls = *
  tls_verify_certificates = $folder/authority.pem
  tls_verify_hosts = *
begin retry
* * F,2h,1s
CF
cp "$AUTHORITY" "$folder/authority.pem"
chmod 644 "$folder/exim.conf" "$folder/authority.pem"
"$here/apart.sh" "$folder/apart" "$exim" -C "$folder/exim.conf" -bdf -q1m >"$folder/said" 2>&1 &
server=$!
if ! listening "$port"; then
    cat "$folder/said" "$folder"/log/* >&2 || true
    fail "Exim did not start"
fi
rm "$folder/said"

gateway_before "$folder" "$port"
hand_over klant@example.org exim-taken || { cat "$folder/dialog" >&2; fail "not taken"; }
was_told "250 .*OK.* id="
arrives exim-taken "$folder/mail"
if hand_over nobody@example.org exim-refused; then fail "an unknown user was taken"; fi
was_told "550 5.1.1 no such user here"

message facturen@voorbeeldhypotheken.nl klant@elders.example exim-client |
    curl --silent --show-error --url "smtp://127.0.0.1:$port" --mail-from facturen@voorbeeldhypotheken.nl \
        --mail-rcpt klant@elders.example --upload-file - || fail "Exim did not take it"
comes_in exim-client || { cat "$folder"/log/* >&2; exit 1; }
grep -Eq "=> klant@elders.example .* X=TLS.* CV=yes" "$folder/log/mainlog" || { cat "$folder"/log/* >&2; fail "no TLS"; }
echo "ok: as the next hop, its queue id and its refusals reach the client; as a client, STARTTLS"
