#!/usr/bin/env bash
# Runs everything that lpac can do against the simulator, and looks at each answer. docs/INTEROP.md says how to
# install lpac and osmo-smdpp; where one of them is missing this says so, and skips.
#
#   SGP26=DIR [LPAC=FILE] [SMDP=HOST] [MATCHING_ID=NAME] euicc-sim/strangers/lpac.sh [stdio|at|at_csim|pcsc]
#
# stdio (the default), at and at_csim start a card of their own, from a debug build or from BIN; pcsc takes the
# simulator that is in the reader.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
way=${1:-stdio}
lpac=${LPAC:-lpac}
smdp=${SMDP:-testsmdpplus1.example.com}
matching_id=${MATCHING_ID:-TS48V5-SAIP2-3-NOBERTLV-UNIQUE}
# Of the eUICC certificate of SGP.26. No other card is touched: it might be a real one, and this purges it.
eid=89049032123451234512345678901235

skip() { echo "skipped: $*"; exit 0; }
command -v "$lpac" >/dev/null || skip "there is no lpac on the PATH and none at \$LPAC"
(exec 3<>"/dev/tcp/$smdp/443") 2>/dev/null || skip "no SM-DP+ answers at $smdp, port 443"

work=$(mktemp -d)
pids=()
finish() { for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done; rm -rf "$work"; }
trap finish EXIT

# Starts a card, with a way to reach it.
serve() {
    : "${SGP26:?is to be the folder with the PKI of SGP.26}"
    AID_LOG=warn "${BIN:-$here/../../target/debug}/euicc-sim" serve --pki "$SGP26" --nvm "$work/card.nvm" \
        "$@" >"$work/card" & pids+=($!)
    for _ in $(seq 1 100); do [ ! -s "$work/card" ] || return 0; sleep 0.1; done
    exit 1
}
run() { "$lpac" "$@" >"$work/all" 2>"$work/err"; }
case $way in
stdio)
    serve --lpac-stdio 127.0.0.1:0
    port=$(sed -E 's/.*"lpac-stdio":"[^"]*:([0-9]+)".*/\1/' "$work/card")
    # lpac's lines go to the card and to the file; the card's lines are lpac's input.
    run() { exec 3<>"/dev/tcp/127.0.0.1/$port"; "$lpac" "$@" <&3 2>"$work/err" | tee "$work/all" >&3; exec 3>&-; } ;;
at | at_csim)
    serve --at "$work/modem"
    export LPAC_APDU_AT_DEVICE=$work/modem ;;
pcsc) ;;
*) echo "$0 [stdio|at|at_csim|pcsc]" >&2; exit 2 ;;
esac
export LPAC_APDU=$way

# One command of lpac, and what its answer must have (`-` before a pattern: must not).
check() { # command, patterns...
    local answer pattern wrong=
    # shellcheck disable=SC2086
    run $1 || true
    answer=$(grep '"type":"lpa"' "$work/all" || cat "$work/all" "$work/err")
    for pattern in '"code":0,' "${@:2}"; do
        case $pattern in
        -*) ! grep -qF -- "${pattern#-}" <<<"$answer" || wrong=$pattern ;;
        *) grep -qF -- "$pattern" <<<"$answer" || wrong=$pattern ;;
        esac
        [ -z "$wrong" ] || { printf '%s: lpac %s: wanted %s in\n%s\n' "$way" "$1" "$wrong" "$answer" >&2; exit 1; }
    done
    echo "$way: lpac $1"
}
last() { sed -nE "s/.*\"$1\":\"?([0-9]+).*/\1/p" <<<"$answer_of_list"; }
list() { run "$1" list; answer_of_list=$(grep '"type":"lpa"' "$work/all"); }

check "chip info" "\"eidValue\":\"$eid\"" '"svn":"2.4.0"'
check "profile list" -iccid
check "profile download -s $smdp -m $matching_id"
list profile; iccid=$(last iccid)
check "profile list" "\"iccid\":\"$iccid\"" '"profileState":"disabled"' '"profileNickname":null'
check "profile nickname $iccid car"
check "profile list" '"profileNickname":"car"'
check "profile nickname $iccid"
check "profile list" '"profileNickname":null'
check "profile enable $iccid"
check "profile list" '"profileState":"enabled"'
check "notification list" '"profileManagementOperation":"install"' '"profileManagementOperation":"enable"' "$smdp"
list notification
check "notification process -r $(last seqNumber)"
check "profile disable $iccid"
check "profile list" '"profileState":"disabled"'
check "notification list" '"profileManagementOperation":"disable"'
check "notification process -a -r"
check "notification list" -seqNumber
check "profile delete $iccid"
check "profile list" -iccid
check "notification list" '"profileManagementOperation":"delete"'
list notification
check "notification remove $(last seqNumber)"
check "notification list" -seqNumber
check "chip defaultsmdp $smdp"
check "chip info" "\"defaultDpAddress\":\"$smdp\""
# Without -s: from the default SM-DP+.
check "profile download -m $matching_id"
check "profile enable $iccid 0"
check "notification remove -a"
check "notification list" -seqNumber
check "chip purge yes"
check "chip info" '"defaultDpAddress":null'
check "profile list" -iccid
check "notification list" '"profileManagementOperation":"delete"'
check "notification process -a -r"
echo "$way: all done"
