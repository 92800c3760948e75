#!/usr/bin/env bash
# Runs the SM-DP+ suite of osmo-ttcn3-hacks against aid-smdp and prints a verdict per case and the counts.
# docs/INTEROP.md says what is needed; where something is missing this says so, and skips.
#
#   TTCN3=DIR [BIN=DIR] [WORK=DIR] hil/smdp/strangers/ttcn3.sh [strict|lenient] [CASE...]
#
# TTCN3 is the suite's checkout, compiled as its README says (_build/smdpp/smdpp_Tests). BIN has aid-smdp, euicc-sim
# and aid-lpa; without it a debug build is taken. WORK keeps configuration, orders and logs; without it they are removed. lenient
# turns on what INTEROP.md names: an underscore in MatchingIDs that operators choose. With CASEs (smdpp_Tests.TC_...,
# ES2Plus_Tests.TC_...) only these run. All traffic is on loopback; /etc/hosts must have testsmdpplus1.example.com as 127.0.0.1.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
mode=${1:-strict}
shift || true
bin=${BIN:-$here/../../../target/debug}
host=testsmdpplus1.example.com
eid=89049032123451234512345678901235
# One default order is tried some forty times by the suite.
attempts=100
# Ports of ES9+ (NIST), ES2+ and ES9+ (brainpool, by the TLS front).
es9=18000 es2=18002 brp=18001 plain=18003

skip() { echo "skipped: $*"; exit 0; }
case $mode in
strict) underscore=false ;;
lenient) underscore=true ;;
*) echo "$0 [strict|lenient] [CASE...]" >&2; exit 2 ;;
esac
[ -n "${TTCN3:-}" ] || skip "TTCN3 must be the folder of osmo-ttcn3-hacks"
suite=$TTCN3/_build/smdpp/smdpp_Tests
[ -x "$suite" ] || skip "there is no compiled suite $suite"
for command in ttcn3_start openssl stunnel4; do
    command -v $command >/dev/null || skip "there is no $command; Debian: apt-get install eclipse-titan openssl stunnel4"
done
getent ahostsv4 $host | grep -q '^127\.' || skip "$host is not 127.0.0.1; add it to /etc/hosts"

work=${WORK:-$(mktemp -d)}
mkdir -p "$work/profiles" "$work/tls" "$work/logs"
pids=()
finish() {
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    [ -n "${WORK:-}" ] || rm -rf "$work"
}
trap finish EXIT
cd "$work"
sgp26=$TTCN3/smdpp/sgp26

# TLS certificates of the server under both test CIs (those that are published have expired), and a CA with the
# operator's certificate.
ci=$sgp26/CertificateIssuer
for curve in NIST BRP; do
    openssl req -new -subj "/O=RSPTEST/CN=$host" -key "$sgp26/DPtls/SK_S_SM_DP_TLS_$curve.pem" -out tls/req.pem
    printf '%s\n' "subjectAltName = DNS:$host, RID:2.999.10" "keyUsage = critical, digitalSignature" \
        "extendedKeyUsage = critical, serverAuth, clientAuth" "certificatePolicies = 2.23.146.1.2.1.3" \
        "subjectKeyIdentifier = hash" "authorityKeyIdentifier = keyid" >tls/ext.cnf
    openssl x509 -req -in tls/req.pem -CA "$ci/CERT_CI_ECDSA_$curve.pem" -CAkey "$ci/SK_CI_ECDSA_$curve.pem" \
        -set_serial 256 -days 30 -extfile tls/ext.cnf -out tls/server-$curve.pem 2>/dev/null
done
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout tls/ca.key -out tls/ca.pem -days 30 \
    -subj "/CN=CA of operators" 2>/dev/null
openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout tls/operator.key -out tls/req.pem \
    -subj "/CN=test.operator.com" 2>/dev/null
printf '%s\n' "extendedKeyUsage = clientAuth" >tls/ext.cnf
openssl x509 -req -in tls/req.pem -CA tls/ca.pem -CAkey tls/ca.key -set_serial 1 -days 30 -extfile tls/ext.cnf \
    -out tls/operator.pem 2>/dev/null
chmod 600 tls/*.key
for file in tls/NIST.key:DPtls/SK_S_SM_DP_TLS_NIST tls/BRP.key:DPtls/SK_S_SM_DP_TLS_BRP \
    dpauth-NIST.key:DPauth/SK_S_SM_DPauth_ECDSA_NIST dppb-NIST.key:DPpb/SK_S_SM_DPpb_ECDSA_NIST \
    dpauth-BRP.key:DPauth/SK_S_SM_DPauth_ECDSA_BRP dppb-BRP.key:DPpb/SK_S_SM_DPpb_ECDSA_BRP; do
    install -m 600 "$sgp26/${file#*:}.pem" "${file%%:*}"
done

# An icon that takes metadata over one segment of 1,020 bytes: it begins as PNG does, nobody looks further.
icon() { printf '\x89PNG\r\n\x1a\n'; head -c 1000 /dev/zero; }
icon >icon.png
# ICCIDs with their check digit.
luhn() {
    local digits=$1 sum=0 i digit
    for ((i = ${#digits} - 1; i >= 0; i--)); do
        digit=$((${digits:i:1} * (1 + (${#digits} - i) % 2)))
        sum=$((sum + digit / 10 + digit % 10))
    done
    echo "$digits$(((10 - sum % 10) % 10))"
}
profile() { # name, ICCID, lines of its description
    "$bin/euicc-sim" test-profile --log warn --iccid "$2" --out "profiles/$1.der" >/dev/null
    printf '%s\n' 'icon = "../icon.png"' "${@:3}" >"profiles/$1.toml"
}
# The suite's own ICCIDs, and enough for an order per case.
for iccid in 89000000000000001010 89000000000000001028 89000000000000001036 89000000000000001044 89000000000000001051; do
    profile "s-$iccid" $iccid 'profile_type = "Other"'
done
for i in $(seq 1000 1249); do profile "t-$i" "$(luhn "898800000000000$i")" 'profile_type = "Test"'; done
for i in $(seq 2000 2059); do profile "d-$i" "$(luhn "898800000000000$i")" 'profile_type = "Default"'; done
for i in $(seq 3000 3019); do profile "n-$i" "$(luhn "898800000000000$i")" 'profile_type = "Named"'; done
profile ppr1 "$(luhn 8988000000000004000)" 'profile_type = "Ppr1"' 'policy_rules = ["ppr1"]' 'mcc_mnc = "00101"'

cat >smdp.toml <<TOML
database = "smdp.db"
inventory = "profiles"
address = "$host:$es9"
ci = ["$ci/CERT_CI_ECDSA_NIST.der", "$ci/CERT_CI_ECDSA_BRP.der"]
protection = "own-keys"
[orders]
attempts = $attempts
matching_id_underscore = true
[es9]
listen = "127.0.0.1:$es9"
cert = "tls/server-NIST.pem"
key = "tls/NIST.key"
[es2]
listen = "127.0.0.1:$es2"
cert = "tls/server-NIST.pem"
key = "tls/NIST.key"
client_ca = "tls/ca.pem"
[[operator]]
common_name = "test.operator.com"
[dpauth]
cert = "$sgp26/DPauth/CERT_S_SM_DPauth_ECDSA_NIST.der"
key = "dpauth-NIST.key"
[dppb]
cert = "$sgp26/DPpb/CERT_S_SM_DPpb_ECDSA_NIST.der"
key = "dppb-NIST.key"
TOML
# Only for the cases with brainpool: one of the others wants a server that has no such certificate.
cat >further <<TOML
[[further]]
dpauth = { cert = "$sgp26/DPauth/CERT_S_SM_DPauth_ECDSA_BRP.der", key = "dpauth-BRP.key" }
dppb = { cert = "$sgp26/DPpb/CERT_S_SM_DPpb_ECDSA_BRP.der", key = "dppb-BRP.key" }
TOML

serve() {
    : >ready
    "$bin/aid-smdp" serve --config smdp.toml >ready 2>>logs/smdp.log & server=$!
    pids+=($server)
    for _ in $(seq 1 300); do [ ! -s ready ] || return 0; sleep 0.1; done
    echo "aid-smdp does not start:" >&2; tail -5 logs/smdp.log >&2; exit 1
}
stop() { kill "$server"; wait "$server" 2>/dev/null || true; }
order() { "$bin/aid-smdp" order add --config smdp.toml "$@" >>logs/orders 2>&1; }
rm -f smdp.db*
serve
# Whoever runs a server may place orders with such MatchingIDs only where the configuration allows it, so they are
# placed first; strict then runs without.
order --profile-type Named --matching-id AC_NO_CC
order --profile-type Named --matching-id AC_WITH_CC --confirmation-code 12345678
order --profile-type Named --matching-id CC_REQUIRED_TEST --confirmation-code 12345678
order --profile-type Named --matching-id AC_EXPIRED --expires 2020-01-01
order --profile-type Named --matching-id AC_NOT_RELEASED --hold
order --profile-type Named --matching-id AC_OTHER_EID --eid 89049032123451234512345678901299
order --profile-type Named --matching-id AC_RESTRICTED_EID --eid 89049032123451234512345678901299
order --profile-type Named --matching-id EVENT_001
order --profile-type Named --matching-id EVENT_RESTRICTED --eid 89049032123451234512345678901299
order --profile-type Named --matching-id AC_MAX_RETRIES
order --profile-type Ppr1 --matching-id AC_PPR1
for _ in $(seq 60); do order --profile-type Default --default --eid $eid; done
# An order that was tried too often: a card without room for the profile takes its package, as often as may be.
room=$(($(stat -c %s "$(ls profiles/n-*.der | head -1)") + 50))
"$bin/euicc-sim" serve --log warn --pki "$sgp26" --memory $room --socket ./card.sock >card 2>logs/card.log & card=$!
pids+=($card)
for _ in $(seq 1 100); do [ ! -s card ] || break; sleep 0.1; done
for _ in $(seq $attempts); do
    "$bin/aid-lpa" --log warn --socket ./card.sock --ci "$ci/CERT_CI_ECDSA_NIST.der" --private-smdp profile download \
        --smdp "$host:$es9" --matching-id AC_MAX_RETRIES --yes >>logs/lpa 2>&1 || true
done
kill $card
stop
# The suite names the server without its port.
sed -i "s/^address.*/address = \"$host\"/" smdp.toml
sed -i "s/^matching_id_underscore.*/matching_id_underscore = $underscore/" smdp.toml
serve

# The TLS front for brainpool: OpenSSL ends the TLS of the client, and begins another one to aid-smdp.
cat >front.conf <<CONF
foreground = yes
pid =
[front]
accept = 127.0.0.1:$brp
connect = 127.0.0.1:$plain
cert = $work/tls/server-BRP.pem
key = $work/tls/BRP.key
curves = brainpoolP256r1:P-256
sslVersionMax = TLSv1.2
[behind]
client = yes
accept = 127.0.0.1:$plain
connect = 127.0.0.1:$es9
sni = $host
CAfile = $ci/CERT_CI_ECDSA_NIST.pem
verifyChain = yes
checkHost = $host
CONF
stunnel4 front.conf >logs/front.log 2>&1 & pids+=($!)

# The suite looks for its certificates beside where it is started.
for folder in sgp26 test_certs InvalidTestCases; do ln -sfn "$(dirname "$sgp26")/$folder" $folder; done
run() { # name, module, cases
    local name=$1 module=$2
    cat >"$name.cfg" <<CFG
[LOGGING]
FileMask := LOG_ALL | TTCN_DEBUG
ConsoleMask := ERROR | TESTCASE | VERDICTOP | STATISTICS
LogFile := "$work/logs/$name.%n-%r.log"
[MODULE_PARAMETERS]
smdpp_Tests.mp_es9plus_server_port_nist := $es9
smdpp_Tests.mp_es9plus_server_port_brp := $brp
smdpp_Tests.mp_es2plus_server_port := $es2
smdpp_Tests.mp_es2plus_client_cert_path := "$work/tls/operator.pem"
smdpp_Tests.mp_es2plus_client_key_path := "$work/tls/operator.key"
[EXECUTE]
${3:?no case}
CFG
    LD_LIBRARY_PATH=$(dirname "$suite"):/usr/lib/titan ttcn3_start "$suite" "$name.cfg" >"logs/$name.console" 2>&1 \
        </dev/null || true
    grep -aE 'Test case .* finished\. Verdict' "logs/$name.console" |
        sed -E 's/.*Test case ([^ ]+) finished\. Verdict: ([a-z]+).*/\2 \1/' | sort -u | tee -a "logs/$module.verdicts"
}
cases() { # module: those of its control part, or those that were asked for
    if [ ${#asked[@]} -gt 0 ]; then
        printf '%s\n' "${asked[@]}" | grep "^$1\." || true
    else
        sed -nE "s/^[[:space:]]*execute\((TC_[A-Za-z0-9_]+)\(\)\);.*/$1.\1/p" "$TTCN3/smdpp/$1.ttcn"
    fi
}
asked=("$@")
: >logs/smdpp_Tests.verdicts; : >logs/ES2Plus_Tests.verdicts
es2_cases=$(cases ES2Plus_Tests)
[ -z "$es2_cases" ] || run ES2Plus ES2Plus_Tests "$es2_cases"
nist_cases=$(cases smdpp_Tests | grep -v BRP || true)
[ -z "$nist_cases" ] || run NIST smdpp_Tests "$nist_cases"
brp_cases=$(cases smdpp_Tests | grep BRP || true)
if [ -n "$brp_cases" ]; then
    stop
    cat further >>smdp.toml
    serve
    # OpenSSL offers no brainpool by itself; the suite's client is to do so, or there is no cipher in common.
    printf '%s\n' 'openssl_conf = a' '[a]' 'ssl_conf = b' '[b]' 'system_default = c' '[c]' \
        'Groups = brainpoolP256r1:P-256:X25519' >openssl.cnf
    export OPENSSL_CONF=$work/openssl.cnf
    run BRP smdpp_Tests "$brp_cases"
fi
for module in smdpp_Tests ES2Plus_Tests; do
    echo "$module, $mode: $(grep -c '^pass ' logs/$module.verdicts || true) of $(wc -l <logs/$module.verdicts) pass"
done
