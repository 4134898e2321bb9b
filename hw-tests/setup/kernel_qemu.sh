# Debian's own kernel, and QEMU to run it by emulation: nothing to compile, but several times as
# slow as User-mode Linux.
#
# In: RIG_CACHE; RIG_ROOT, the guest's root folder; RIG_OUT, the folder for `vmlinuz`, `initrd`,
# `mac80211_hwsim.ko` and QEMU, below `tools`.

[ "$(dpkg --print-architecture)" = amd64 ] || die "the virtual machine is for x86_64 only"
cd "$RIG_OUT"
say "QEMU"
unpack trixie "$PWD/tools" qemu-system-x86 cpio
rm -rf tools/usr/share/{doc,man,locale,info}
say "kernel and modules"
unpack trixie "$PWD/kernel" linux-image-amd64
version=$(ls kernel/usr/lib/modules)
mv "kernel/boot/vmlinuz-$version" vmlinuz

# run FOLDER PROGRAM NAME..: a program of an unpacked Debian, by its own loader and libraries.
run() {
    local folder=$1 program=$2 name=$3
    shift 3
    "$folder/usr/lib64/ld-linux-x86-64.so.2" --library-path "$folder/usr/lib/$triplet" \
        --argv0 "$name" "$folder/usr/bin/$program" "$@"
}
run "$RIG_ROOT" kmod depmod -b kernel/usr "$version"

# The first file system: the modules in the order in which they need each other, and busybox to load
# them and to go on in the guest's root folder, which is shared by the host.
mkdir -p first/bin first/modules first/proc first/sys first/dev first/root
cp "$RIG_ROOT/usr/bin/busybox" first/bin/
modules="virtio_pci 9p 9pnet_virtio virtio_rng
    bluetooth hci_vhci uhid cmac ecb ecdh_generic algif_hash algif_skcipher
    af_packet veth sch_netem sch_tbf sch_htb ccm gcm ctr mac80211_hwsim"
number=100
for module in $modules; do
    run "$RIG_ROOT" kmod modprobe -d "$PWD/kernel/usr" -S "$version" --show-depends "$module"
done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }' >order
while read -r file; do
    number=$((number + 1))
    copy=first/modules/$number-${file##*/}
    cp "$file" "$copy"
    case $copy in *.xz) xz -d "$copy" ;; esac
done <order
# This one is loaded by the guest, which says how many radios.
mv first/modules/*-mac80211_hwsim.ko mac80211_hwsim.ko
cat >first/init <<'END'
#!/bin/busybox sh
PATH=/bin
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
for module in /modules/*.ko; do
    insmod "$module" || echo "guest: no $module"
done
mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144,cache=loose,ro root /root
mount --move /proc /root/proc
mount --move /sys /root/sys
mount --move /dev /root/dev
exec switch_root /root /usr/sbin/rig-init
END
chmod 755 first/init
(cd first && find . | run ../tools cpio cpio -o -H newc --quiet | gzip -1 >../initrd)
rm -rf first kernel order
