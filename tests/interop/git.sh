#!/usr/bin/env bash
# git send-email: a patch as developers send it, without TLS from a trusted network.
. "$(dirname "$0")/lib.sh"
needs git perl
if ! [ -x "$(git --exec-path)/git-send-email" ] && [ -x "${PACKAGES:-}/usr/lib/git-core/git-send-email" ]; then
    # Unpacked: Debian's git, with its commands beside it.
    export GIT_EXEC_PATH="$PACKAGES/usr/lib/git-core" PATH="$PACKAGES/usr/bin:$PATH"
    export PERL5LIB="$PACKAGES/usr/share/perl5"
fi
[ -x "$(git --exec-path)/git-send-email" ] || { echo "skipped: git send-email is not installed"; exit 77; }
perl -MNet::SMTP -e 1 2>/dev/null || { echo "skipped: perl has no Net::SMTP"; exit 77; }

invoices="facturen@voorbeeldhypotheken.nl"
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat >"$folder/0001-interop.patch" <<PATCH
From 0000000000000000000000000000000000000000 Mon Sep 17 00:00:00 2001
From: Voorbeeld Hypotheken <$invoices>
Date: Tue, 24 Nov 2026 10:00:00 +0100
Subject: [PATCH] git-send-email

---
+. a line with a dot
PATCH
(cd "$folder" && HOME="$folder" git -c user.name="Voorbeeld Hypotheken" -c user.email="$invoices" send-email --quiet --confirm=never --no-validate --smtp-server="${SMTP%:*}" \
    --smtp-server-port="${SMTP##*:}" --smtp-encryption=none --from="Voorbeeld Hypotheken <$invoices>" \
    --envelope-sender="$invoices" --to=klant@example.org "$folder/0001-interop.patch" >/dev/null)
sent_with "[PATCH] git-send-email" >/dev/null
echo "ok: a patch"
