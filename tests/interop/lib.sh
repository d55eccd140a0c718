# Shared by the interop scripts; sourced, never run.
#
# run.sh exports where everything is:
#   SLUIS      the binary            CONFIG   its config file
#   SMTP       host:port, STARTTLS   SMTPS    host:port, implicit TLS
#   OUTBOX     folder of .eml files  AUTHORITY  PEM to trust
#   ACCOUNT, PASSWORD                a local account
#   PAGE       host:port of the unsubscribe page

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
    found=$(grep -lrF -- "$1" "$OUTBOX" || true)
    [ "$(printf '%s' "$found" | grep -c .)" -eq 1 ] || fail "expected one message with $1, found: ${found:-none}"
    printf '%s' "$found"
}

none_with() {
    if grep -qrF -- "$1" "$OUTBOX"; then fail "a message with $1 was sent"; fi
}

# A message on standard output: From, To, a text of its own to find it by.
message() {
    printf 'From: Voorbeeld Hypotheken <%s>\r\nTo: <%s>\r\nSubject: interop\r\n\r\n%s\r\n.\r\nend\r\n' \
        "$1" "$2" "$3"
}
