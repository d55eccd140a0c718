#!/usr/bin/env bash
# Chromium: the unsubscribe page as a person meets it, by mouse and by keyboard, with and without JavaScript,
# at 320 pixels, in the dark, on paper; and axe-core on every state of it. SHOTS=folder keeps the pictures.
. "$(dirname "$0")/lib.sh"
needs node npm curl
browser=""
for name in chromium chromium-browser google-chrome; do
    if command -v "$name" >/dev/null 2>&1; then browser=$(command -v "$name"); break; fi
done
if [ -z "$browser" ]; then
    echo "skipped: no Chromium is installed"
    exit 77
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp "$(dirname "$0")/browser.mjs" "$work/"
if ! (cd "$work" && npm init -y && npm install --no-audit --no-fund playwright-core axe-core) >"$work/npm.log" 2>&1; then
    echo "skipped: playwright-core and axe-core cannot be installed"
    exit 77
fi

# Four newsletters, four links: one for each way through the page.
links=()
for who in een twee drie vier; do
    "$SLUIS" --config "$CONFIG" consent add "$who@example.org" --act ticked_box \
        --purpose "nieuwsbrief hypotheken en verzekeringen" \
        --text "Ja, ik wil de nieuwsbrief van Voorbeeld Hypotheken" \
        --source https://voorbeeldhypotheken.nl/nieuws >/dev/null
    message nieuws@voorbeeldhypotheken.nl "$who@example.org" "browser-$who" |
        curl -sS -T - --mail-from nieuws@voorbeeldhypotheken.nl --mail-rcpt "$who@example.org" "smtp://$SMTP"
    links+=("$(grep -ao 'http://[0-9.:]*/u/[a-z0-9]*' "$(sent_with "browser-$who")" | head -1)")
done
cd "$work"
SHOTS=${SHOTS:-$work/shots} node browser.mjs "$browser" "${links[@]}"
