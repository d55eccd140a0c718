#!/usr/bin/env bash
# mutt: mail of a person at a terminal, with STARTTLS and sign-in.
. "$(dirname "$0")/lib.sh"
mutt=$(program mutt)
case $mutt in
    # Unpacked, and its libraries beside it.
    "${PACKAGES:-/nonexistent}"/*) export LD_LIBRARY_PATH="$PACKAGES/usr/lib/x86_64-linux-gnu" ;;
esac

invoices="facturen@voorbeeldhypotheken.nl"
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat >"$folder/muttrc" <<RC
set smtp_url = "smtp://$ACCOUNT@localhost:${SMTP##*:}"
set smtp_pass = "$PASSWORD"
set ssl_starttls = yes
set ssl_force_tls = yes
set certificate_file = "$AUTHORITY"
set from = "Voorbeeld Hypotheken <$invoices>"
set use_from = yes
set use_envelope_from = yes
set envelope_from_address = "$invoices"
set copy = no
set hostname = "localhost"
RC
printf 'mutt-starttls\n.\nend\n' | HOME="$folder" "$mutt" -n -F "$folder/muttrc" -s interop -- klant@example.org
sent_with mutt-starttls >/dev/null
echo "ok: STARTTLS with sign-in"
