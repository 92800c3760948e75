#!/usr/bin/env bash
# Makes a bootable image of a car: Debian's cloud kernel booted directly by QEMU, a minimal root with the package aid-agent
# installed as on a TCU, and the software eUICC as a service beside it. docs/agent.md, section *In a virtual machine*.
#   agent/dist/image.sh [FOLDER]     default: target/image; FOLDER gets vmlinuz, initrd, root.ext4
# Needs root, and Debian's mmdebstrap and e2fsprogs (apt-get install), cargo-deb. AID_PACKAGE names a package
# that is built already, AID_EUICC_SIM a euicc-sim.
set -euo pipefail
cd "$(dirname "$0")/../.."
image=$(realpath -m "${1:-target/image}")
suite=bookworm
mirror=${AID_MIRROR:-http://deb.debian.org/debian}

for program in mmdebstrap mke2fs dpkg-deb; do
    command -v "$program" >/dev/null || {
        echo "image.sh: $program is missing; apt-get install mmdebstrap e2fsprogs dpkg" >&2
        exit 1
    }
done
[ "$(id -u)" = 0 ] || {
    echo "image.sh: run it as root: it installs packages into the image's root" >&2
    exit 1
}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$image"
built=${CARGO_TARGET_DIR:-target}

# What this project has to do with it.
package=${AID_PACKAGE:-}
if [ -z "$package" ]; then
    agent/dist/package.sh
    package=$(ls -t "$built"/debian/aid-agent_*_amd64.deb | head -1)
fi
sim=${AID_EUICC_SIM:-}
if [ -z "$sim" ]; then
    cargo build --profile dist -p euicc-sim
    sim=$built/dist/euicc-sim
fi

# Root and kernel. They stay for the next time: only the mirror changes them. The kernel is unpacked and not installed, because
# its package would build an initial memory disk for every device there is.
root_tar=$image/root.tar
if [ ! -f "$root_tar" ]; then
    mmdebstrap --mode=root --variant=minbase --aptopt='Acquire::Languages "none"' \
        --include=systemd-sysv,dbus,iproute2,procps,busybox-static \
        --customize-hook='mkdir "$1/var/cache/car"' \
        --customize-hook='chroot "$1" sh -c "cd /var/cache/car && apt-get download \$(apt-cache depends linux-image-cloud-amd64 | sed -n \"s/.*Depends: \\(linux-image-[0-9].*\\)/\\1/p\")"' \
        "$suite" "$root_tar.part.tar" "$mirror"
    mv "$root_tar.part.tar" "$root_tar"
fi
root=$work/root
mkdir "$root"
tar -C "$root" -xf "$root_tar"

# The package, as apt-get install would: its dependencies must be there.
cp "$package" "$root/aid-agent.deb"
chroot "$root" dpkg -i /aid-agent.deb
rm "$root/aid-agent.deb"

# The card.
install -m 755 "$sim" "$root/usr/bin/euicc-sim"
cp -r agent/dist/image/. "$root/"
mkdir -p "$root/var/lib/car"
# QEMU's user network has this machine at 10.0.2.2; certificates of a bench are for localhost.
printf '10.0.2.2 localhost\n127.0.0.1 car\n' >"$root/etc/hosts"
echo car >"$root/etc/hostname"
echo '/dev/vda / ext4 defaults 0 0' >"$root/etc/fstab"
chroot "$root" systemctl enable car-disk.service car-network.service euicc-sim.service aid-agent.service >/dev/null
chroot "$root" systemctl mask systemd-firstboot.service systemd-timesyncd.service apt-daily.timer apt-daily-upgrade.timer \
    e2scrub_all.timer fstrim.timer dpkg-db-backup.timer getty@tty1.service >/dev/null 2>&1
# Nobody needs a password on the console of a test.
sed -i 's/^root:[^:]*:/root::/' "$root/etc/shadow"

dpkg-deb -x "$root"/var/cache/car/linux-image-*.deb "$work/kernel"

# Kernel, and an initial memory disk of busybox and the modules of QEMU's devices.
cp "$work"/kernel/boot/vmlinuz-* "$image/vmlinuz"
modules=$work/kernel/lib/modules
early=$work/early
mkdir -p "$early"/{bin,dev,proc,sys,root,modules}
cp "$root/bin/busybox" "$early/bin/busybox"
for module in virtio_ring virtio virtio_pci_modern_dev virtio_pci_legacy_dev virtio_pci virtio_blk virtio-rng \
    failover net_failover virtio_net; do
    file=$(find "$modules" -name "$module.ko*" | head -1)
    [ -z "$file" ] || cp "$file" "$early/modules/"
done
cp agent/dist/image-init.sh "$early/init"
chmod 755 "$early/init"
(cd "$early" && find . | bin/busybox cpio -o -H newc 2>/dev/null | gzip -1) >"$image/initrd"

rm -rf "$root"/var/cache/car "$root"/usr/share/{doc,man,locale}/* "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/*
size=$(du -sm "$root" | cut -f1)
rm -f "$image/root.ext4"
mke2fs -q -t ext4 -L car -d "$root" "$image/root.ext4" "$((size + size / 5 + 32))M"
ls -l "$image"
