#!/usr/bin/env bash
# Records the golden APDU scripts of this folder anew: our LPA and our SM-DP+ against the simulator, with
# a seeded PKI and a seeded card. Needs bash, curl and a debug build: cargo build --workspace.
# The tests play the scripts without LPA and SM-DP+; record again when the card's answers change on purpose.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
bin=${BIN:-$here/../../target/debug}
work=$(mktemp -d)
pids=()
finish() { for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done; rm -rf "$work"; }
trap finish EXIT
export AID_LOG=warn

# Waits for the ready line of a program and prints one of its addresses.
ready() { # file, name
    for _ in $(seq 1 600); do
        if [ -s "$1" ]; then sed -E "s/.*\"$2\":\"([^\"]*)\".*/\1/" "$1"; return; fi
        sleep 0.1
    done
    echo "$1: not ready" >&2; exit 1
}

iccid=8988000000000000001
"$bin/euicc-sim" test-profile --iccid "$iccid" --out "$work/op.der" >/dev/null
"$bin/aid-hil" init --profile "$work/op.der" --dir "$work/car" >/dev/null
# A second profile with Milenage: K and OPc of test set 1 of 3GPP TS 35.208.
second=8988000000000000002
"$bin/euicc-sim" test-profile --iccid "$second" --imsi 001010000000002 --out "$work/car/inventory/second.der" \
    --milenage 465b5ce8b199b49faa5f0a2ee238a6bc:cd63cb71954a9f4e48a5994e37a02baf >/dev/null
rm -r "$work/car/pki/rsp"
"$bin/euicc-sim" mint-pki --seed 1 --dir "$work/car/pki/rsp" >/dev/null
pki=$work/car/pki
"$bin/aid-smdp" serve --config "$work/car/smdp.toml" >"$work/smdp" & pids+=($!)
"$bin/euicc-sim" serve --seed 1 --quirk first-notification=0 --pki "$pki/rsp" --socket 127.0.0.1:0 >"$work/card" & pids+=($!)
card=$(ready "$work/card" apdu)
es9=$(ready "$work/smdp" es9)
es2=$(ready "$work/smdp" es2)

# Two profiles, ordered for this card.
es2plus() { # function, JSON
    curl -sS --fail --cacert "$pki/aid/ca.pem" --cert "$pki/aid/msp.pem" --key "$pki/aid/msp.key" \
        -H 'Content-Type: application/json' -H 'X-Admin-Protocol: gsma/rsp/v2.4.0' \
        -d "$2" "https://localhost:${es2##*:}/gsma/rsp2/es2plus/$1"
}
header='"header":{"functionRequesterIdentifier":"golden","functionCallIdentifier":"1"}'
eid=89049032123451234512345678901235
for order in "$iccid GOLDEN" "$second SECOND"; do
    read -r id matching <<<"$order"
    es2plus downloadOrder "{$header,\"eid\":\"$eid\",\"iccid\":\"$id\"}" >/dev/null
    es2plus confirmOrder "{$header,\"iccid\":\"$id\",\"eid\":\"$eid\",\"matchingId\":\"$matching\",\"releaseFlag\":true}" >/dev/null
done

# Records what one or more commands say to the card: name, title, needs, number of clients.
begin() {
    rm -f "$work/recorder"
    "$bin/euicc-sim" record --socket "$card" --out "$here/$1.toml" --title "$2" ${3:+--needs "$3.toml"} \
        --clients "$4" >"$work/recorder" & recorder=$!
    proxy=$(ready "$work/recorder" apdu)
}
end() { wait "$recorder"; }
lpa() { "$bin/aid-lpa" --socket "$proxy" --private-smdp --ci "$pki/rsp/CertificateIssuer/CERT_CI_ECDSA_NIST.der" "$@"; }

begin 1-chip-info "chip info" "" 1; lpa chip info; end
begin 2-download "download and installation of a profile" 1-chip-info 1
lpa profile download "1\$localhost:${es9##*:}\$GOLDEN"; end
begin 3-enable "list, nickname, enable" 2-download 3
lpa profile list; lpa profile nickname "$iccid" golden; lpa profile enable "$iccid"; end
# The key is 00..0F: for this RAND the XOR algorithm yields zeros, so that AUTN is SQN, AMF, SQN, AMF.
rand=10000102030405060708090A0B0C0D0E0F
apdus=(reset atr 80AA00000AA9088100820101830107
    # MF, EF ICCID, EF DIR
    00A40004023F00 00A40004022FE2 00B000000A 00A40004022F00 00B2010400 00B2020400
    # the USIM, by a part of its AID; IMSI, administrative data, a file that is not there
    00A4040407A0000000871002 00A40004026F07 00B0000009 00A40004026FAD 00B0000000 00A40004026FFF
    # a record file: read, update, read back; a transparent one
    00A40004026F3B 00B2010400 00A40004026F73 00B0000000
    # PIN: how many tries, enable, then the IMSI is not for everybody; after a reset give it, wrongly first
    0020000100 002800010830303030FFFFFFFF reset 00A4040407A0000000871002 00A40004026F07 00B0000009
    002000010839393939FFFFFFFF 0020000100 002000010830303030FFFFFFFF 00B0000009
    002400011030303030FFFFFFFF31323334FFFFFFFF 002000010831323334FFFFFFFF
    # blocked by three wrong ones, unblocked by the PUK
    002000010839393939FFFFFFFF 002000010839393939FFFFFFFF 002000010839393939FFFFFFFF 002000010831323334FFFFFFFF
    002C000110313233343536373830303030FFFFFFFF 00B0000009 002600010830303030FFFFFFFF
    # AUTHENTICATE: fresh, the same again (AUTS), a wrong MAC
    00A4040407A0000000871002
    0088008122$rand''1000000000002080000000000000208000
    0088008122$rand''1000000000002080000000000000208000
    0088008122$rand''1000000000004080000000000000408001
    # a logical channel of its own
    0070000001 01A4040407A0000000871002 01A40004026F07 01B0000009 00708001 01B0000009)
begin 4-usim "USIM session: files, PIN and PUK, AUTHENTICATE" 3-enable 1
"$bin/euicc-sim" apdu --socket "$proxy" "${apdus[@]}"
end
begin 5-notifications "list, process and remove notifications" 4-usim 3
lpa notification list; lpa notification process; lpa notification list; end
begin 6-delete "disable, list, delete, notifications" 5-notifications 4
lpa profile disable "$iccid"; lpa profile list; lpa profile delete "$iccid"; lpa notification list; end
begin 7-purge "default SM-DP+ address, eUICCMemoryReset with every option" 6-delete 1
"$bin/euicc-sim" apdu --socket "$proxy" 0070000001 01A4040010A0000005591010FFFFFFFF8900000100 \
    81E291000FBF3F0C800A64702E6578616D706C65 81E2910003BF3C00 81E2910007BF3404820204F0 81E2910007BF3404820205E0 81E2910003BF3C00 \
    81E2910003BF2D00 81E2910003BF2800 00708001
end
begin 8-milenage "a profile with Milenage: AUTHENTICATE and resynchronisation" 7-purge 3
lpa profile download "1\$localhost:${es9##*:}\$SECOND"; lpa profile enable "$second"
# RAND of test set 1; AUTN are SQN xor AK, AMF 8000, MAC-A, made with OpenSSL's AES. RES, CK and IK are those
# of the test set.
rand=1023553cbe9637a89d218ae64dae47bf35
"$bin/euicc-sim" apdu --socket "$proxy" reset 00A4040407A0000000871002 \
    "0088008122${rand}10aa689c6483508000904cbb451b65def8" \
    `# the same again: AUTS with SQN 20` \
    "0088008122${rand}10aa689c6483508000904cbb451b65def8" \
    `# another index, then the next number` \
    "0088008122${rand}10aa689c648351800041ed662ae8c74ecd" \
    "0088008122${rand}10aa689c64833080001d34c2beabe680bc" \
    `# test set 1 itself: its SQN is a leap that the profile does not allow, so AUTS` \
    "0088008122${rand}1055f328b43577b9b94a9ffac354dfafb3" \
    `# a wrong MAC` \
    "0088008122${rand}10aa689c64833080001d34c2beabe680bd" \
    `# the GSM context, for which the profile has no service` \
    "0088008011${rand}"
end
# As pySim-shell opens channels: the terminal names them. One that is taken, one that there is not; the ISD-R there.
begin 9-channels "logical channels with numbers that the terminal chose" "" 1
"$bin/euicc-sim" apdu --socket "$proxy" reset 0070000100 00700001 0070001400 \
    01A4040010A0000005591010FFFFFFFF8900000100 81E2910006BF3E035C015A 0070001300 \
    4FA4040010A0000005591010FFFFFFFF8900000100 \
    0070000001 00708001 01A40004023F00 00708013 00708002
end
echo "recorded; now: cargo nextest run -p euicc-sim golden"
