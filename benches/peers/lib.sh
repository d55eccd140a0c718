# What the scripts of all peers share, for `.`; each is called so:
#   NAME.sh start FOLDER PORT NEXT_HOP_PORT     prints the process id that all its processes are below
#   NAME.sh stop FOLDER
# Exit status 77: it is not there, or cannot run here.
set -eu
action=$1 folder=$2 port=${3:-} next_hop=${4:-}

# How it is stopped; a script that knows better says so before `begin`.
end() {
    kill "$(cat "$folder/pid")"
}

# What comes after it is for a start.
begin() {
    case $action in
    start) ;;
    stop)
        end
        exit 0
        ;;
    *) exit 64 ;;
    esac
}

absent() {
    exit 77
}

# Say that process $1, whose words are in the log, is the one, once it answers. One that ends instead says how by its
# own status.
running() {
    echo "$1" >"$folder/pid"
    try=0
    until bash -c "exec 3<>/dev/tcp/127.0.0.1/$port" 2>/dev/null; do
        kill -0 "$1" 2>/dev/null || {
            wait "$1" || { status=$?; cat "$folder/log" >&2; exit $status; }
            exit 1
        }
        try=$((try + 1))
        [ $try -lt 200 ] || {
            cat "$folder/log" >&2
            kill -KILL "$1"
            exit 1
        }
        sleep 0.1
    done
    echo "$1"
}
