#!/bin/busybox sh
# The init of the Linux test guest. Each round it stamps its number into memory and onto every
# disk, after it has checked that the stamps of the round before are there, all of them and only
# them. So a snapshot whose memory or disks are not of one instant says "torn" when it goes on.
# On the kernel command line: stamp_kib=N, how much memory is stamped.
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mount -t tmpfs run /run
exec </dev/ttyS0 >/dev/ttyS0 2>&1

for module in /modules/*; do
    insmod "$module"
done
stamp_kib=256
for word in $(cat /proc/cmdline); do
    case $word in stamp_kib=*) stamp_kib=${word#*=} ;; esac
done
disks=$(cd /dev && ls vd[a-z] 2>/dev/null)

fill() { # N: a sector's worth and more, so that every page of memory is its own witness
    yes "tick $1" | head -c "$((stamp_kib * 1024))"
}

stamp_disk() { # DISK N: into sector 0, past the guest's page cache and QEMU's
    yes "tick $2" | head -c 512 | dd of="/dev/$1" bs=512 oflag=direct conv=notrunc,fsync 2>/dev/null
}

check() { # N
    fill "$1" | cmp -s - /run/stamp || echo "torn memory, expected $1"
    for disk in $disks; do
        found=$(dd if="/dev/$disk" bs=512 count=1 iflag=direct 2>/dev/null | head -n 1)
        [ "$found" = "tick $1" ] || echo "torn $disk, expected $1, found $found"
    done
}

stamp() { # N
    fill "$1" | dd of=/run/stamp bs=64k conv=notrunc 2>/dev/null
    for disk in $disks; do
        stamp_disk "$disk" "$1"
    done
}

n=0
stamp 0
echo "linux guest is up, disks:" $disks
while :; do
    check "$n"
    n=$((n + 1))
    stamp "$n"
    echo "tick $n"
done
