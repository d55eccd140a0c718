#!/usr/bin/env bash
# nginx and Caddy in front of the unsubscribe page, by the examples in config/proxy/: TLS, HTTP/2, a POST as a
# mailbox provider sends it, and whose address is on record when a client claims to be somebody else.
. "$(dirname "$0")/lib.sh"
needs curl openssl unzip
examples=$(cd "$(dirname "$0")/../../config/proxy" && pwd)

work=$(mktemp -d)
server=""
finish() {
    if [ -n "$server" ]; then
        kill "$server" 2>/dev/null || true
        wait "$server" 2>/dev/null || true
    fi
    rm -rf "$work"
}
trap finish EXIT
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost \
    -addext subjectAltName=DNS:localhost -keyout "$work/key.pem" -out "$work/cert.pem" 2>/dev/null
port=$((20000 + RANDOM % 10000))

# A link of its own for each proxy.
link() { # who
    "$SLUIS" --config "$CONFIG" consent add "$1@example.org" --act ticked_box \
        --purpose "nieuwsbrief hypotheken en verzekeringen" \
        --text "Ja, ik wil de nieuwsbrief van Voorbeeld Hypotheken" \
        --source https://voorbeeldhypotheken.nl/nieuws >/dev/null
    message nieuws@voorbeeldhypotheken.nl "$1@example.org" "proxy-$1" |
        curl -sS -T - --mail-from nieuws@voorbeeldhypotheken.nl --mail-rcpt "$1@example.org" "smtp://$SMTP"
    grep -ao '/u/[a-z0-9]*' "$(sent_with "proxy-$1")" | head -1
}

# A client at 127.0.0.2, that says it is another; 127.0.0.1 is the proxy.
visit() { # path, then curl's own arguments
    local path=$1
    shift
    curl -sS -o "$work/body" -w '%{http_code} %{http_version}' --interface 127.0.0.2 --cacert "$work/cert.pem" \
        -H 'X-Forwarded-For: 203.0.113.66' -H 'Forwarded: for=203.0.113.66' "$@" "https://localhost:$port$path"
}

try() { # name
    local path answer
    path=$(link "$1")
    for _ in $(seq 100); do
        if visit /healthz >/dev/null 2>&1; then break; fi
        sleep 0.1
    done
    answer=$(visit "$path") || fail "$1 does not answer: $(cat "$work/log")"
    [ "$answer" = "200 2" ] || fail "$1: the page: $answer, $(cat "$work/log" "$work/body")"
    grep -q '<form' "$work/body" || fail "$1: no button on the page"
    answer=$(visit "$path" --http1.1 -X OPTIONS)
    [ "${answer%% *}" = 204 ] || fail "$1: OPTIONS: $answer"
    answer=$(visit "${path}x")
    [ "${answer%% *}" = 404 ] || fail "$1: a link that is none: $answer"
    head -c 100000 /dev/zero >"$work/large"
    answer=$(visit "$path" --data-binary "@$work/large")
    [ "${answer%% *}" = 413 ] || fail "$1: a body without an end: $answer"
    if "$SLUIS" --config "$CONFIG" suppress list | grep -q "$1@example.org"; then
        fail "$1: unsubscribed before anybody asked for it"
    fi
    answer=$(visit "$path" --http1.1 -H 'Transfer-Encoding: chunked' -d List-Unsubscribe=One-Click)
    [ "$answer" = "200 1.1" ] || fail "$1: the POST: $answer"
    grep -q '^Unsubscribed' "$work/body" || fail "$1: the POST said $(cat "$work/body")"
    "$SLUIS" --config "$CONFIG" suppress list | grep -q "$1@example.org" || fail "$1: not unsubscribed"
    "$SLUIS" --config "$CONFIG" proof export "$1@example.org" --output "$work/$1.zip" >/dev/null
    unzip -p "$work/$1.zip" >"$work/$1.txt"
    grep -aq '"ip":"127.0.0.2"' "$work/$1.txt" || fail "$1: the client's own address is not on record"
    if grep -aq '203.0.113.66' "$work/$1.txt"; then fail "$1: what the client says of itself is on record"; fi
    kill "$server"
    wait "$server" 2>/dev/null || true
    server=""
}

done=""
if command -v nginx >/dev/null 2>&1; then
    sed -e "s/127.0.0.1:8025/$PAGE/" -e "s/listen 443 ssl/listen 127.0.0.1:$port ssl/" -e '/listen \[::\]/d' \
        -e 's/afmelden.voorbeeldhypotheken.nl;/localhost;/' \
        -e "s#ssl_certificate .*#ssl_certificate $work/cert.pem;#" \
        -e "s#ssl_certificate_key .*#ssl_certificate_key $work/key.pem;#" "$examples/nginx.conf" >"$work/site.conf"
    cat >"$work/nginx.conf" <<CONF
daemon off;
pid $work/nginx.pid;
error_log $work/log;
events {}
http {
    client_body_temp_path $work/body_temp;
    proxy_temp_path $work/proxy_temp;
    fastcgi_temp_path $work/fastcgi_temp;
    uwsgi_temp_path $work/uwsgi_temp;
    scgi_temp_path $work/scgi_temp;
    include $work/site.conf;
}
CONF
    nginx -c "$work/nginx.conf" -p "$work" 2>"$work/log" &
    server=$!
    try nginx
    done="nginx"
fi
if command -v caddy >/dev/null 2>&1; then
    {
        printf '{\n\tadmin off\n\tauto_https disable_redirects\n}\n'
        sed -e "s/127.0.0.1:8025/$PAGE/" \
            -e "s#^afmelden.voorbeeldhypotheken.nl {#https://localhost:$port {\n\ttls $work/cert.pem $work/key.pem#" \
            "$examples/Caddyfile"
    } >"$work/Caddyfile"
    HOME=$work caddy run --config "$work/Caddyfile" --adapter caddyfile 2>"$work/log" &
    server=$!
    try caddy
    done="${done:+$done, }caddy"
fi
if [ -z "$done" ]; then
    echo "skipped: neither nginx nor caddy is installed"
    exit 77
fi
echo "ok: $done: page, POST, 404, 413, the client's own address on record"
