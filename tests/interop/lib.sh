# Shared by the interop scripts; sourced, never run.
#
# run.sh exports where everything is:
#   SLUIS      the binary            CONFIG   its config file
#   SMTP       host:port, STARTTLS   SMTPS    host:port, implicit TLS
#   OUTBOX     folder of .eml files  AUTHORITY  PEM to trust
#   ACCOUNT, PASSWORD                a local account
#   PAGE       host:port of the unsubscribe page
#   PACKAGES   folder of packages that were unpacked and not installed (run.sh --fetch); may be empty

set -euo pipefail

# Leave with "skipped" when a program is not installed.
needs() {
    local program
    for program in "$@"; do
        if ! command -v "$program" >/dev/null 2>&1; then
            echo "skipped: $program is not installed"
            exit 77
        fi
    done
}

fail() {
    echo "FAILED: $*" >&2
    exit 1
}

# The file in the outbox that has this text in it; there must be exactly one.
sent_with() {
    local found
    found=$(grep -slrF -- "$1" "$OUTBOX" || true)
    [ "$(printf '%s' "$found" | grep -c .)" -eq 1 ] || fail "expected one message with $1, found: ${found:-none}"
    printf '%s' "$found"
}

none_with() {
    if grep -sqrF -- "$1" "$OUTBOX"; then fail "a message with $1 was sent"; fi
}

# A message on standard output: From, To, a text of its own to find it by.
message() {
    printf 'From: Voorbeeld Hypotheken <%s>\r\nTo: <%s>\r\nSubject: interop\r\n\r\n%s\r\n.\r\nend\r\n' \
        "$1" "$2" "$3"
}

# Where a program is: installed, or among the unpacked packages. Leaves with "skipped" when it is nowhere.
program() {
    local found
    found=$(command -v "$1" || true)
    for found in $found "${PACKAGES:-/nonexistent}"/usr/sbin/"$1" "${PACKAGES:-/nonexistent}"/usr/bin/"$1"; do
        if [ -x "$found" ]; then
            printf '%s' "$found"
            return
        fi
    done
    echo "skipped: $1 is not installed" >&2
    exit 77
}

free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# Wait until somebody listens on this port of 127.0.0.1.
listening() {
    local try
    for try in $(seq 100); do
        if (exec 5<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; then return; fi
        sleep 0.1
    done
    return 1
}

# A gateway as the one under test, with a folder of its own, on the port $LISTEN, in front of the next hop at
# 127.0.0.1:$2. Its process id is in $gateway.
gateway_before() {
    local folder=$1 port=$2 page
    LISTEN=$(free_port) page=$(free_port)
    sed -e "s|^data = .*|data = \"$folder/var\"|" \
        -e "s|^next_hop = .*|next_hop = \"127.0.0.1:$port\"\ntls = \"none\"|" \
        -e "0,/^address = .*/s||address = \"127.0.0.1:$LISTEN\"|" \
        -e "s|127.0.0.1:${PAGE##*:}\"|127.0.0.1:$page\"|" "$CONFIG" >"$folder/sluis.toml"
    mkfifo "$folder/said"
    "$SLUIS" --config "$folder/sluis.toml" serve >"$folder/said" 2>"$folder/gateway.log" &
    gateway=$!
    exec 4<"$folder/said"
    while read -r -u 4 what _; do [ "$what" = try ] && break; done
    [ "$what" = try ] || { cat "$folder/gateway.log" >&2; fail "the gateway did not start"; }
}

# An invoice to $1 with $2 in it, handed to the gateway of gateway_before; the dialog is in $folder/dialog.
hand_over() {
    message facturen@voorbeeldhypotheken.nl "$1" "$2" | curl --silent --show-error --url "smtp://127.0.0.1:$LISTEN" \
        --mail-from facturen@voorbeeldhypotheken.nl --mail-rcpt "$1" --upload-file - --verbose 2>"$folder/dialog"
}

# What the next hop said is what the client read: $1 a pattern of its line.
was_told() {
    grep -Eq "^< $1" "$folder/dialog" || { cat "$folder/dialog" >&2; fail "the client was not told $1"; }
}

# A message with $1 arrives below the folder $2, with its dots as they were.
arrives() {
    local found="" try
    for try in $(seq 100); do
        found=$(grep -lr -- "$1" "$2" 2>/dev/null | head -1 || true)
        [ -z "$found" ] || break
        sleep 0.1
    done
    [ -n "$found" ] || fail "$1 never arrived"
    # Below it stands who sent it (service mail).
    tr -d '\r' <"$found" | grep -Pzq "\n\n$1\n\.\nend\n" || { cat "$found" >&2; fail "the body was changed"; }
}

# A message with $1 comes into the outbox of the gateway under test.
comes_in() {
    local try
    for try in $(seq 100); do
        if grep -sqrF -- "$1" "$OUTBOX"; then return; fi
        sleep 0.1
    done
    fail "$1 never came"
}
