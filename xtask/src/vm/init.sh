#!/bin/busybox sh
# The first process of the machine: makes it look like one, does /job, says on the second serial port, where the kernel
# writes nothing, how that ended, and switches off.

export PATH=/bin HOME=/ RXDP_REQUIRE_KERNEL=1
/bin/busybox mkdir -p /proc /sys /dev /run /tmp
/bin/busybox mount -t proc proc /proc
/bin/busybox --install -s /bin

mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
# Not on /tmp: the tests' own files may lie there.
mount -t tmpfs tmpfs /run
mount -t tracefs tracefs /sys/kernel/tracing
mount -t securityfs securityfs /sys/kernel/security
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t bpf bpf /sys/fs/bpf

# What is printed is shown by a terminal that knows what a line is.
stty -F /dev/ttyS0 -onlcr
stty -F /dev/ttyS1 raw

for module in /modules/*; do
    insmod "$module" || echo "no $module"
done
ip link set lo up

sh /job
echo $? >/dev/ttyS1
poweroff -f
