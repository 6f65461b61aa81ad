#!/bin/sh
# The first program of a guest: loads modules, mounts the shared folders, runs /srv/work/run, turns the machine off.
# Of the kernel's command line: vivid=NAME:VALUE,…, the parameters of the virtual camera.
B=/bin/busybox
$B mount -t proc proc /proc
$B mount -t sysfs sys /sys
$B mount -t devtmpfs dev /dev
vivid=$($B sed -n 's/.*vivid=\([^ ]*\).*/\1/p' /proc/cmdline | $B tr ',:' ' =')
for file in /modules/*.ko; do
  case $file in *-vivid.ko) parameters=$vivid ;; *) parameters= ;; esac
  # shellcheck disable=SC2086
  $B insmod "$file" $parameters || echo "guest: $file does not load"
done
options=trans=virtio,version=9p2000.L,msize=262144
$B mount -t 9p -o ro,cache=loose,$options root /root
for folder in tmp run root srv; do $B mount -t tmpfs tmpfs /root/$folder; done
for folder in site pycache work; do $B mkdir /root/srv/$folder; done
$B mount -t 9p -o ro,cache=loose,$options site /root/srv/site
$B mount -t 9p -o cache=loose,$options pycache /root/srv/pycache
$B mount -t 9p -o cache=none,$options work /root/srv/work
$B mkdir -p /dev/pts /dev/shm
$B mount -t devpts -o ptmxmode=666 devpts /dev/pts
$B mount -t tmpfs tmpfs /dev/shm
for folder in dev proc sys; do $B mount --rbind /$folder /root/$folder; done
$B ifconfig lo 127.0.0.1 up
if [ -e /sys/class/net/eth0 ]; then $B ifconfig eth0 10.0.2.15 up; $B route add default gw 10.0.2.2; fi
$B hostname guest
export HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8
export PYTHON_COLORS=0 PYTHONPATH=/srv/work/product:/srv/site PYTHONPYCACHEPREFIX=/srv/pycache
$B chroot /root /srv/work/run
echo "guest: ended with $? after $($B cut -d' ' -f1 /proc/uptime) s"
$B sync
$B poweroff -f
