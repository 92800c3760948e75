#!/usr/bin/env bash
# Plays the .pysim files of this folder with pySim-shell to the simulator in the PC/SC reader, and looks at each
# answer. docs/INTEROP.md says how to install the peers; where one of them is missing this says so, and skips.
#
#   PYSIM="PYTHON .../pySim-shell.py" [LPAC=FILE] [SMDP=HOST] [TS48=NAME] [MILENAGE=NAME] euicc-sim/strangers/pysim.sh
#
# A .pysim file has a command on a line, and indented below it what must be in the answer (after `- `: must not).
# Without `got` (a status word) or `Failed to` among these, the command must not fail.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
read -ra pysim <<<"${PYSIM:-pySim-shell.py}"
lpac=${LPAC:-lpac}
smdp=${SMDP:-testsmdpplus1.example.com}
eid=89049032123451234512345678901235

skip() { echo "skipped: $*"; exit 0; }
command -v "${pysim[0]}" >/dev/null || skip "there is no pySim-shell.py on the PATH and none in \$PYSIM"
command -v "$lpac" >/dev/null || skip "there is no lpac on the PATH and none at \$LPAC"
(exec 3<>"/dev/tcp/$smdp/443") 2>/dev/null || skip "no SM-DP+ answers at $smdp, port 443"
export LPAC_APDU=pcsc PYTHONUNBUFFERED=1
# No other card is touched: it might be a real one, and this purges it.
info=$("$lpac" chip info 2>&1) || true
grep -qF "\"$eid\"" <<<"$info" || { echo "the simulator with the SGP.26 keys is not in the reader: $info" >&2; exit 1; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
flat() { tr -s "[:space:]" " "; }

# Plays a file: all commands at once, each after a mark; then every answer is one line.
play() {
    local line n=0 answer= command= may_fail=
    sed -E "s/@TS48@/${aid_of_ts48:-}/" "$here/$1.pysim" >"$work/play"
    grep -E '^[^ #]' "$work/play" | sed -E 's/(.*)/echo @@\n\1/' >"$work/script"
    "${pysim[@]}" -p 0 --noprompt --script "$work/script" >"$work/out" 2>&1 </dev/null || true
    flat <"$work/out" | sed 's/@@/\n/g' | tail -n +2 >"$work/answers"
    while IFS= read -r line; do
        case $line in
        '' | '#'*) continue ;;
        '    - '*) ! grep -qF -- "${line#    - }" <<<"$answer" || wrong "$1" "$command" "$line" "$answer" ;;
        ' '*)
            grep -qF -- "${line#    }" <<<"$answer" || wrong "$1" "$command" "$line" "$answer"
            [[ $line != *'got '* && $line != *'Failed to'* ]] || may_fail=yes ;;
        *)
            [[ -n $may_fail || $answer != *Error:* ]] || wrong "$1" "$command" "no error" "$answer"
            n=$((n + 1)) command=$line may_fail='' answer=$(sed -n "${n}p" "$work/answers") ;;
        esac
    done < <(cat "$work/play"; echo end)
    echo "$1: $((n - 1)) commands"
}
wrong() { printf '%s: %s: wanted %s in\n%s\n' "$1" "$2" "$3" "$4" >&2; exit 1; }
ask() { "$lpac" "$@" >"$work/lpac" 2>&1 || { echo "lpac $*:" >&2; cat "$work/lpac" >&2; exit 1; }; }

"$lpac" chip purge yes >/dev/null 2>&1 || true
ask notification remove -a
ask profile download -s "$smdp" -m "${TS48:-TS48-V7-SUCI}"
ask profile list
aid_of_ts48=$(sed -nE 's/.*"isdpAid":"([0-9a-f]+)".*/\1/p' "$work/lpac")
ask profile download -s "$smdp" -m "${MILENAGE:-AID-MILENAGE}"
play isd-r
play milenage
play ts48
play reset
