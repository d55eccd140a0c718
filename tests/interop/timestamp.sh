#!/usr/bin/env bash
# OpenSSL's time-stamping authority stamps a checkpoint; the pack that holds the stamp convinces `openssl ts -verify`.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
needs openssl python3 unzip
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
home=$(mktemp -d)
service="" gateway=""
finish() {
    for process in $gateway $service; do
        kill -TERM "$process" 2>/dev/null || true
        wait "$process" 2>/dev/null || true
    done
    rm -rf "$home"
}
trap finish EXIT

make_authority() {
    openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj "/CN=Authority of the test" \
        -keyout "$home/ca.key" -out "$home/ca.pem" 2>/dev/null
    openssl req -newkey rsa:2048 -nodes -subj "/CN=Time stamps of the test" \
        -keyout "$home/tsa.key" -out "$home/tsa.csr" 2>/dev/null
    printf 'extendedKeyUsage=critical,timeStamping\n' >"$home/tsa.ext"
    openssl x509 -req -in "$home/tsa.csr" -CA "$home/ca.pem" -CAkey "$home/ca.key" -days 30 \
        -extfile "$home/tsa.ext" -out "$home/tsa.pem" 2>/dev/null
    echo 01 >"$home/serial"
    cat >"$home/tsa.cnf" <<CNF
[tsa]
default_tsa = service
[service]
serial = $home/serial
signer_cert = $home/tsa.pem
signer_key = $home/tsa.key
certs = $home/ca.pem
signer_digest = $1
default_policy = 1.2.3.4.1
digests = sha256
accuracy = secs:1
clock_precision_digits = $2
ordering = yes
tsa_name = yes
ess_cert_id_chain = yes
CNF
}

serve() {
    mkfifo "$home/port"
    python3 "$here/tsa.py" "$home" >"$home/port" &
    service=$!
    read -r port <"$home/port"
    sed -e "s|^data = .*|data = \"$home/var\"|" -e 's|^listen = .*|listen = "127.0.0.1:0"|' "$CONFIG" >"$home/sluis.toml"
    cat >>"$home/sluis.toml" <<TOML

[ledger.anchor]
time_stamp = ["http://127.0.0.1:$port/tsr"]
time_stamp_ca_file = "$home/ca.pem"
TOML
    mkfifo "$home/said"
    "$SLUIS" --config "$home/sluis.toml" serve >"$home/said" 2>"$home/log" &
    gateway=$!
    exec 4<"$home/said"
    while read -r -u 4 what rest; do if [ "$what" = try ]; then break; fi; done
}

# The stamp is asked for right after the start: until it stands in the ledger, a look costs nothing.
stamped() {
    for _ in $(seq 200); do
        "$SLUIS" --config "$home/sluis.toml" proof show --since 2020-01-01 --json >"$home/entries" || true
        if grep -q '"kind":"anchored"' "$home/entries"; then return; fi
        sleep 0.1
    done
    cat "$home/log" >&2
    fail "nothing was anchored"
}

make_authority sha512 3
serve
stamped
if grep '"kind":"anchored"' "$home/entries" | grep -qv '"missed":null'; then
    fail "missed: $(grep '"kind":"anchored"' "$home/entries")"
fi
"$SLUIS" --config "$home/sluis.toml" proof export --since 2020-01-01 -o "$home/pack.zip" >/dev/null
"$SLUIS" --config "$home/sluis.toml" proof verify "$home/pack.zip" >"$home/verified" || fail "$(cat "$home/verified")"
grep -q "says time stamp http://127.0.0.1:$port/tsr" "$home/verified" || fail "no stamp in $(cat "$home/verified")"
unzip -q "$home/pack.zip" -d "$home/pack"
stamp=$(echo "$home"/pack/anchors/*.tsr)
note=$(echo "$home"/pack/anchors/*.txt)
openssl ts -verify -data "$note" -in "$stamp" -CAfile "$home/ca.pem" >"$home/openssl" 2>&1 || fail "$(cat "$home/openssl")"
printf 'x' >>"$note"
if openssl ts -verify -data "$note" -in "$stamp" -CAfile "$home/ca.pem" >/dev/null 2>&1; then
    fail "openssl believes a changed checkpoint"
fi
echo "a checkpoint stamped by openssl ts, and verified by it out of the pack"
