# The folder that is the guest's root file system: Debian trixie, whose BlueZ 5.82 is known to work
# here (5.66 of bookworm stops in the middle of long GATT transfers).
#
# In: RIG_CACHE; RIG_OUT, the folder to make.

packages="busybox-static bash coreutils util-linux mount kmod procps iproute2 iputils-ping sed grep
    dbus bluez wpasupplicant iw systemd"

say "root folder of the guest"
# shellcheck disable=SC2086
unpack trixie "$RIG_OUT" $packages
cd "$RIG_OUT"

mkdir -p proc sys dev run tmp root t etc var/lib/bluetooth
# Maintainer scripts would have made these. The bus is looked for below /var/run by its own books.
rm -rf var/run var/lock
ln -s /run var/run
ln -s /run/lock var/lock
cat >etc/passwd <<'END'
root:x:0:0:root:/root:/bin/bash
messagebus:x:100:100::/nonexistent:/usr/sbin/nologin
END
cat >etc/group <<'END'
root:x:0:
messagebus:x:100:
bluetooth:x:101:
netdev:x:102:
END
printf '%s: files\n' passwd group hosts >etc/nsswitch.conf
echo '127.0.0.1 localhost' >etc/hosts
echo rig >etc/hostname
echo 0123456789abcdef0123456789abcdef >etc/machine-id
# Nobody but the rig starts what it runs: not the bus, when somebody asks for a service that is down.
rm -rf usr/share/dbus-1/system-services usr/share/{doc,man,locale,info,lintian,bug,zoneinfo} usr/lib/udev/hwdb.d \
    "usr/lib/$triplet/gconv" usr/lib/modules

# The applets of busybox for what has no program: no alternatives were chosen.
for applet in $(usr/bin/busybox --list); do
    for folder in usr/bin usr/sbin; do
        { [ -e "$folder/$applet" ] || [ -L "$folder/$applet" ]; } && continue 2
    done
    ln -s busybox "usr/bin/$applet"
done

# The first process: all that it does is to find the share; the rest is in there, so that a change
# of it needs no new root folder.
cat >usr/sbin/rig-init <<'END'
#!/bin/bash
export PATH=/usr/sbin:/usr/bin
mountpoint -q /proc || mount -t proc proc /proc
share=$(sed -n 's/.*rig\.share=\([^ ]*\).*/\1/p' /proc/cmdline)
case $share in
/*) mount -t hostfs -o "$share" none /t ;;
*) mount -t 9p -o "trans=virtio,version=9p2000.L,msize=262144,cache=none" "$share" /t ;;
esac
exec bash /t/init
END
chmod 755 usr/sbin/rig-init
