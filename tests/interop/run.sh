#!/usr/bin/env bash
# Real mail programs against the real binary: starts it with a config of its own on free ports, runs each
# script, stops it. A program that is not installed is named and passed over; with --strict that fails.
# --fetch unpacks those that exclude each other, or are missing, into a folder that is thrown away (fetch.sh);
# PACKAGES and NODE_PATH name them when they are unpacked already. Names of scripts run only those.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$here/../.."

strict=no fetch=no scripts=""
for option in "$@"; do
    case $option in
        --strict) strict=yes ;;
        --fetch) fetch=yes ;;
        -*) echo "unknown option $option; known are --strict and --fetch" >&2; exit 64 ;;
        *) scripts="$scripts $option" ;;
    esac
done
if [ -z "${SLUIS:-}" ]; then
    cargo build --quiet
    SLUIS="${CARGO_TARGET_DIR:-target}/debug/sluis"
fi
SLUIS=$(realpath "$SLUIS")

home=$(mktemp -d)
gateway=""
finish() {
    if [ -n "$gateway" ]; then
        kill -TERM "$gateway" 2>/dev/null || true
        wait "$gateway" 2>/dev/null || true
    fi
    rm -rf "$home"
}
trap finish EXIT

chmod 755 "$home"
export PACKAGES="${PACKAGES:-}" NODE_PATH="${NODE_PATH:-}"
if [ $fetch = yes ]; then
    "$here/fetch.sh" "$home/fetched"
    PACKAGES="$home/fetched/root" NODE_PATH="$home/fetched/node_modules"
fi

ACCOUNT=mailtool
PASSWORD='correct horse battery'
printf '%s\n' "$PASSWORD" | "$SLUIS" password >"$home/hash"
chmod 600 "$home/hash"
# Port 0 everywhere: the gateway says which it got. The page's public address has to be known before it
# starts, so a first start on any port tells a free one.
config() {
    cat >"$home/sluis.toml" <<TOML
name = "localhost"
data = "$home/var"

[[listener]]
address = "127.0.0.1:0"
name = "submission"

[[listener]]
address = "127.0.0.1:0"
name = "submissions"
tls = "implicit"
auth_required = true

[[account]]
name = "$ACCOUNT"
password_hash_file = "$home/hash"

[trusted]
networks = ["127.0.0.0/8"]

[relay]
next_hop = "directory"

[unsubscribe]
listen = "127.0.0.1:$1"
url = "http://127.0.0.1:$1"
trusted_proxies = ["127.0.0.1"]

[[sender]]
name = "Voorbeeld Hypotheken B.V."
trade_names = ["Voorbeeld Hypotheken"]
kvk = "12345678"
address = "Dorpsstraat 1, 1234 AB Ons Dorp"
contact = "info@voorbeeldhypotheken.nl"
domains = ["voorbeeldhypotheken.nl"]
notify = ["beheer@voorbeeldhypotheken.nl"]
color = "#c8102e"
logo_file = "$home/logo.svg"

[[rule]]
name = "invoices"
match = { envelope_from = "facturen@voorbeeldhypotheken.nl" }
class = "service"

[[rule]]
name = "newsletter"
match = { envelope_from = "nieuws@voorbeeldhypotheken.nl" }
class = "marketing"
sender = "Voorbeeld Hypotheken B.V."
purpose = "nieuwsbrief hypotheken en verzekeringen"
TOML
}

cat >"$home/logo.svg" <<'SVG'
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 220 48" width="220" height="48">
<path d="M4 44V22L24 6l20 16v22H30V30H18v14z" fill="#c8102e"/>
<text x="54" y="32" font-family="sans-serif" font-size="20" fill="#1b1f24">Voorbeeld</text></svg>
SVG

# Start, and wait until it has said where it listens and what to try.
start() {
    rm -f "$home/said"
    mkfifo "$home/said"
    "$SLUIS" --config "$home/sluis.toml" serve >"$home/said" 2>"$home/log" &
    gateway=$!
    # Kept open, so that nothing it says later finds nobody listening.
    exec 3<"$home/said"
    SMTP="" SMTPS="" page=""
    while read -r -u 3 what where rest; do
        case "$what $rest" in
            "submission (STARTTLS)") SMTP=$where ;;
            "submission (implicit TLS)") SMTPS=$where ;;
            unsubscribe*) page=${where#http://} page=${page%/} ;;
            try*) break ;;
        esac
    done
    if [ -z "$SMTP" ] || [ -z "$SMTPS" ] || [ -z "$page" ]; then
        echo "the gateway did not start:" >&2
        cat "$home/log" >&2
        exit 1
    fi
}

config 0
start
kill -TERM "$gateway"
wait "$gateway" || { echo "the gateway did not stop well:" >&2; cat "$home/log" >&2; exit 1; }
config "${page##*:}"
start

export SLUIS SMTP SMTPS ACCOUNT PASSWORD PAGE="$page"
export CONFIG="$home/sluis.toml" OUTBOX="$home/var/outbox" AUTHORITY="$home/var/tls/ca.pem"
failed=0
all="curl swaks msmtp python git mutt nodemailer postfix exim opensmtpd proxy browser timestamp rewrite"
for script in ${scripts:-$all}; do
    status=0
    said=$("$here/$script.sh" 2>&1) || status=$?
    printf "%-10s %s\n" "$script" "$said"
    case $status in
        0) ;;
        77) if [ $strict = yes ]; then failed=1; fi ;;
        *) failed=1 ;;
    esac
done
if [ $failed -ne 0 ]; then
    echo "--- the gateway's log ---" >&2
    cat "$home/log" >&2
fi
exit $failed
