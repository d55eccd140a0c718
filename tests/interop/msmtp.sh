#!/usr/bin/env bash
# msmtp: a sendmail replacement as scripts use it, with STARTTLS and a checked certificate.
. "$(dirname "$0")/lib.sh"
needs msmtp

invoices="facturen@voorbeeldhypotheken.nl"
send() {
    message "$invoices" klant@example.org "$1" | msmtp --file=/dev/null --host=localhost --port="${2##*:}" \
        --tls=on --tls-trust-file="$AUTHORITY" --tls-starttls="$3" --auth=on --user="$ACCOUNT" \
        --passwordeval="printf %s '$PASSWORD'" --from="$invoices" -- klant@example.org
}
send msmtp-starttls "$SMTP" on
send msmtp-implicit "$SMTPS" off
sent_with msmtp-starttls >/dev/null
sent_with msmtp-implicit >/dev/null
echo "ok: STARTTLS and implicit TLS with sign-in"
