# A kernel that is a program (User-mode Linux), from Debian's source, with nothing in it that the
# rig does not need. Minutes of compiling, once.
#
# In: RIG_CACHE; RIG_OUT, the folder for `linux` and `mac80211_hwsim.ko`.

[ "$(dpkg --print-architecture)" = amd64 ] || die "User-mode Linux exists on x86_64 only"
command -v make >/dev/null || die "no make here: install it to build a kernel"

cd "$RIG_OUT"
say "tools and source of the kernel"
mkdir tools
unpack trixie "$PWD/tools" flex bison m4 bc
lists bookworm
rm -rf "$RIG_CACHE/apt/bookworm/archives"
# Its archive alone: what it recommends for building is here, or in tools.
mkdir deb
(cd deb && debian bookworm download linux-source-6.1)
dpkg-deb --fsys-tarfile deb/linux-source-6.1_*.deb | tar -x ./usr/src/linux-source-6.1.tar.xz
tar xf usr/src/linux-source-6.1.tar.xz
rm -rf deb usr

# Programs of another Debian run by the loader and the libraries that came with them.
mkdir wrapped
for tool in flex bison m4 bc; do
    cat >"wrapped/$tool" <<END
#!/bin/sh
exec "$PWD/tools/lib64/ld-linux-x86-64.so.2" --library-path "$PWD/tools/usr/lib/$triplet" \
    "$PWD/tools/usr/bin/$tool" "\$@"
END
    chmod 755 "wrapped/$tool"
done
export PATH=$PWD/wrapped:$PATH M4=$PWD/wrapped/m4 BISON_PKGDATADIR=$PWD/tools/usr/share/bison

yes="64BIT MMU PRINTK BUG FUTEX EPOLL SIGNALFD TIMERFD EVENTFD SHMEM AIO POSIX_TIMERS ADVISE_SYSCALLS
    MEMBARRIER FILE_LOCKING MULTIUSER SYSVIPC POSIX_MQUEUE HIGH_RES_TIMERS NO_HZ_IDLE
    BINFMT_ELF BINFMT_SCRIPT HOSTFS PROC_FS PROC_SYSCTL SYSFS TMPFS TMPFS_XATTR DEVTMPFS TTY UNIX98_PTYS
    INOTIFY_USER FHANDLE NAMESPACES UTS_NS IPC_NS PID_NS NET_NS USER_NS CGROUPS
    NULL_CHAN FD_CHAN STDERR_CONSOLE HW_RANDOM UML_RANDOM
    NET PACKET UNIX INET IPV6 IP_MULTICAST NETDEVICES NET_CORE DUMMY VETH BRIDGE NET_SCHED NET_SCH_NETEM
    NET_SCH_TBF NET_SCH_HTB
    BT BT_BREDR BT_LE BT_HCIVHCI
    WIRELESS CFG80211 MAC80211 WLAN MODULES MODULE_UNLOAD RFKILL
    INPUT HID UHID HID_GENERIC
    CRYPTO CRYPTO_AES CRYPTO_CMAC CRYPTO_ECB CRYPTO_ECDH CRYPTO_CCM CRYPTO_GCM CRYPTO_CTR
    CRYPTO_HMAC CRYPTO_SHA256 CRYPTO_USER_API_HASH CRYPTO_USER_API_SKCIPHER"
for option in $yes; do
    echo "CONFIG_$option=y"
done >options
echo 'CONFIG_CON_CHAN="null"' >>options
# A module, so that the number of radios can be said.
echo 'CONFIG_MAC80211_HWSIM=m' >>options

cd linux-source-6.1
make ARCH=um KCONFIG_ALLCONFIG=../options allnoconfig >/dev/null
for option in UNIX HOSTFS UML_RANDOM SHMEM TMPFS DEVTMPFS INET IPV6 VETH NET_NS NET_SCH_NETEM BT BT_LE BT_HCIVHCI \
    CRYPTO_USER_API_HASH; do
    grep -q "^CONFIG_$option=y" .config || die "this source will not have $option"
done
grep -q '^CONFIG_MAC80211_HWSIM=m' .config || die "this source will not have mac80211_hwsim"
say "kernel: $(make -s ARCH=um kernelversion), with all processors; this takes minutes"
make -s ARCH=um -j"$(nproc)" linux modules >../log 2>&1 ||
    { tail -n 30 ../log >&2; die "the kernel does not build; all it said is in $RIG_OUT/log"; }
cd ..
strip --strip-debug -o linux.stripped linux-source-6.1/linux
cp linux-source-6.1/drivers/net/wireless/mac80211_hwsim.ko .
rm -rf linux-source-6.1 tools wrapped options log
mv linux.stripped linux
