#!/usr/bin/env bash
# Programs that cannot all be installed beside each other, unpacked below FOLDER/root and FOLDER/node_modules:
#   fetch.sh FOLDER
# What cannot be had is left out and said so; the scripts then skip it by name.
set -euo pipefail
folder=$(realpath -m "$1")
mkdir -p "$folder/packages" "$folder/root"
cd "$folder/packages"
if command -v apt-get >/dev/null 2>&1 && command -v dpkg >/dev/null 2>&1; then
    for package in exim4-base exim4-daemon-light opensmtpd mutt libtokyocabinet9 libgpgme11 libnet-ssleay-perl git git-email; do
        apt-get download "$package" >/dev/null 2>&1 || { echo "not to be had: $package" >&2; continue; }
        dpkg -x "$package"_*.deb "$folder/root"
    done
else
    echo "not to be had: packages (no apt-get here)" >&2
fi
if command -v npm >/dev/null 2>&1; then
    npm install --silent --no-audit --no-fund --prefix "$folder" nodemailer >/dev/null 2>&1 ||
        echo "not to be had: nodemailer" >&2
fi
