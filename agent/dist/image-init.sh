#!/bin/busybox sh
# First process of the image: loads QEMU's devices, mounts the root, and goes on there. `car.init=` on the kernel's command line
# names what goes on instead of systemd.
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
for module in virtio_ring virtio virtio_pci_modern_dev virtio_pci_legacy_dev virtio_pci virtio_blk virtio-rng failover \
    net_failover virtio_net; do
    [ ! -f "/modules/$module.ko" ] || insmod "/modules/$module.ko"
done
init=/sbin/init
for word in $(cat /proc/cmdline); do
    case $word in car.init=*) init=${word#car.init=} ;; esac
done
n=0
while [ ! -b /dev/vda ] && [ $n -lt 100 ]; do
    n=$((n + 1))
    usleep 50000
done
mount -t ext4 -o "$(grep -q car.ro /proc/cmdline && echo ro,noload || echo rw)" /dev/vda /root || exec sh
mount --move /dev /root/dev
mount --move /proc /root/proc
mount --move /sys /root/sys
exec switch_root /root "$init"
