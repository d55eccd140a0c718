#!/usr/bin/env bash
# Runs a program of a package that was unpacked below PACKAGES, as if it was installed, without touching the machine:
# in a mount namespace of its own, with the users, folders and helpers that it was built to find.
#   apart.sh WORK COMMAND…     WORK keeps its spool and sockets; kill -KILL ends it, and all that the command started
# Exit status 77: not root, or no namespaces here.
set -euo pipefail
work=$1
shift
[ "$(id -u)" -eq 0 ] || exit 77
mkdir -p "$work"/{etc,run,spool,lib}
for file in passwd group; do cp "/etc/$file" "$work/etc/$file"; done
# name, id, home
for user in "Debian-exim 64711 /nonexistent" "opensmtpd 64712 /var/lib/opensmtpd/empty" "opensmtpq 64713 /nonexistent"; do
    read -r name id folder <<<"$user"
    grep -q "^$name:" "$work/etc/passwd" && continue
    echo "$name:x:$id:$id::$folder:/usr/sbin/nologin" >>"$work/etc/passwd"
    grep -q "^$name:" "$work/etc/group" || echo "$name:x:$id:" >>"$work/etc/group"
done
export APART_WORK="$work" APART_PACKAGES="${PACKAGES:-}"
unshare --mount --pid --fork --mount-proc true 2>/dev/null || exit 77
exec unshare --mount --pid --mount-proc --fork --kill-child bash -c '
    set -eu
    mount --bind "$APART_WORK/etc/passwd" /etc/passwd
    mount --bind "$APART_WORK/etc/group" /etc/group
    mount --bind "$APART_WORK/run" /run
    mount --bind "$APART_WORK/spool" /var/spool
    mount --bind "$APART_WORK/lib" /var/lib
    mkdir -p /var/lib/opensmtpd/empty
    if [ -d "$APART_PACKAGES/usr/libexec" ]; then
        mkdir -p /usr/libexec
        mount --bind "$APART_PACKAGES/usr/libexec" /usr/libexec
    fi
    # Not exec: as the first process of its namespace this shell takes all others with it, whoever they became.
    "$@"
    exit $?' apart "$@"
