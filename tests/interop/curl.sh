#!/usr/bin/env bash
# curl: smtp:// in the clear, with STARTTLS, smtps:// with sign-in, and a refusal.
. "$(dirname "$0")/lib.sh"
needs curl

invoices="facturen@voorbeeldhypotheken.nl"
send() { # mark, from, to, then curl's own arguments
    local mark=$1 from=$2 to=$3
    shift 3
    message "$from" "$to" "$mark" | curl -sS -T - --mail-from "$from" --mail-rcpt "$to" "$@"
}

send curl-plain "$invoices" klant@example.org "smtp://$SMTP"
send curl-starttls "$invoices" klant@example.org --ssl-reqd --cacert "$AUTHORITY" "smtp://localhost:${SMTP##*:}"
send curl-implicit "$invoices" klant@example.org --cacert "$AUTHORITY" --user "$ACCOUNT:$PASSWORD" \
    "smtps://localhost:${SMTPS##*:}"
for mark in curl-plain curl-starttls curl-implicit; do
    grep -qx $'\\.\r' "$(sent_with $mark)" || fail "$mark: the line with a dot did not survive"
done

if send curl-refused nieuws@voorbeeldhypotheken.nl vreemde@example.org "smtp://$SMTP" 2>/dev/null; then
    fail "a newsletter went to somebody who never asked for it"
fi
none_with curl-refused
echo "ok: clear, STARTTLS, implicit TLS with sign-in, refusal"
