#!/usr/bin/env bash
# Python: smtplib submits, the email package reads what was sent, urllib clicks the link.
. "$(dirname "$0")/lib.sh"
needs python3

"$SLUIS" --config "$CONFIG" consent add abonnee@example.org --purpose "nieuwsbrief hypotheken en verzekeringen" \
    --act ticked_box --text "Ja, ik wil de nieuwsbrief van Voorbeeld Hypotheken" --source https://voorbeeldhypotheken.nl/nieuws >/dev/null
exec python3 "$(dirname "$0")/client.py"
