#!/usr/bin/env bash
# Boots the image (just image) in QEMU without KVM beside a CMP on this machine, lets it try the installed package, and says
# what it found: agent/dist/image-test.sh [FOLDER]. The exit code is 0 when all is as it has to be.
# Needs Debian's qemu-system-x86 and e2fsprogs. AID_HIL names an aid-hil that is built already.
set -euo pipefail
cd "$(dirname "$0")/../.."
image=$(realpath "${1:-target/image}")
hil=${AID_HIL:-}
if [ -z "$hil" ]; then
    cargo build -p aid-hil
    hil=${CARGO_TARGET_DIR:-target}/debug/aid-hil
fi
hil=$(realpath "$hil")
work=$(mktemp -d)
cmp=
qemu=
end() {
    [ -z "$qemu" ] || kill "$qemu" 2>/dev/null || true
    [ -z "$cmp" ] || kill "$cmp" 2>/dev/null || true
    rm -rf "$work"
}
trap end EXIT

# A car and its CMP.
"$hil" init --dir "$work/site" >/dev/null
cd "$work/site"
eid=$(sed -n 's/^eid = "\(.*\)"/\1/p' euicc.toml)
"$hil" part aid-cmp vehicle add "$eid" --config cmp.toml >/dev/null
"$hil" part aid-cmp serve --config cmp.toml >/dev/null 2>"$work/cmp.log" &
cmp=$!

# Its disk: the set-up, and the files of /etc/aid.
mkdir etc
for name in ca cert key; do
    file=$(sed -n "/^\[cmp\]/,/^\[/s/^$name = \"\(.*\)\"/\1/p" agent.toml)
    cp "$file" "etc/car-$name.pem"
    sed -i "/^\[cmp\]/,/^\[/s|^$name = .*|$name = \"/etc/aid/car-$name.pem\"|" agent.toml
done
ci=$(sed -n 's/^ci = \["\(.*\)"\]/\1/p' agent.toml)
cp "$ci" etc/ci.der
sed -e 's|^ci = .*|ci = ["/etc/aid/ci.der"]|' -e 's|^journal = .*|journal = "/var/lib/aid-agent/journal"|' \
    -e 's|^api = .*|api = "/run/aid-agent/agent.sock"\ndbus = "system"|' agent.toml >etc/agent.toml
rm -rf state/*.sqlite*
mke2fs -q -t ext4 -d "$work/site" "$work/car.img" 64M

console=$work/console.log
qemu-system-x86_64 -machine pc,accel=tcg -cpu max -m 512 -display none -no-reboot -serial file:"$console" \
    -kernel "$image/vmlinuz" -initrd "$image/initrd" \
    -append "console=ttyS0 quiet systemd.wants=car-test.service systemd.show_status=0" \
    -drive file="$image/root.ext4",if=virtio,format=raw,snapshot=on \
    -drive file="$work/car.img",if=virtio,format=raw \
    -netdev user,id=net -device virtio-net-pci,netdev=net -device virtio-rng-pci </dev/null &
qemu=$!
end=$((SECONDS + ${AID_PATIENCE:-1200}))
while kill -0 $qemu 2>/dev/null && [ $SECONDS -lt $end ]; do
    sleep 1
done
grep -a 'car-test:' "$console" | tr -d '\r' | sed 's/.*car-test: //'
grep -aq 'car-test: ALL OK' "$console" || {
    cp "$console" "$image/console.log"
    echo "image-test.sh: not as it has to be; the console is in $image/console.log" >&2
    exit 1
}
