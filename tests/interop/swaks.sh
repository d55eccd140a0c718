#!/usr/bin/env bash
# swaks: STARTTLS with AUTH PLAIN and LOGIN, a wrong password, a refusal at RCPT.
. "$(dirname "$0")/lib.sh"
needs swaks perl
if [ -d "${PACKAGES:-/nonexistent}/usr/lib/x86_64-linux-gnu/perl5" ]; then
    export PERL5LIB=$(echo "$PACKAGES"/usr/lib/x86_64-linux-gnu/perl5/*)
fi
perl -MNet::SSLeay -e 1 2>/dev/null || { echo "skipped: swaks has no TLS here (Perl's Net::SSLeay)"; exit 77; }

invoices="facturen@voorbeeldhypotheken.nl"
for method in PLAIN LOGIN; do
    swaks --server "$SMTP" --tls --auth $method --auth-user "$ACCOUNT" --auth-password "$PASSWORD" \
        --from "$invoices" --to klant@example.org --body "swaks-$method" --silent 2
    sent_with "swaks-$method" >/dev/null
done

status=0
swaks --server "$SMTP" --tls --auth PLAIN --auth-user "$ACCOUNT" --auth-password wrong \
    --from "$invoices" --to klant@example.org --body swaks-wrong --silent 3 >/dev/null 2>&1 || status=$?
[ $status -ne 0 ] || fail "a wrong password was taken"
none_with swaks-wrong

refused=$(swaks --server "$SMTP" --from nieuws@voorbeeldhypotheken.nl --to vreemde@example.org 2>&1 || true)
grep -q '550 5\.7\.1 .*<vreemde@example.org>' <<<"$refused" || fail "no 550 5.7.1 that names the recipient: $refused"
echo "ok: AUTH PLAIN and LOGIN, wrong password, 550 5.7.1"
