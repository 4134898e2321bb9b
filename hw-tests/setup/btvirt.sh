# btvirt, BlueZ's emulator of Bluetooth controllers, from Debian's source with three changes made
# here. BlueZ is under the GPL: it is fetched and built on the machine that uses it, and nothing of
# it is in this repository.
#
# In: RIG_CACHE; RIG_OUT, the folder for `btvirt` and `small_mtu.so`.

lists trixie
cd "$RIG_OUT"
debian trixie --download-only source bluez
say "btvirt from $(ls bluez_*.orig.tar.*)"
tar xf bluez_*.orig.tar.*
rm bluez_*
mv bluez-* source
cd source

# edit FILE EXPRESSION: a change of one place by sed; none, or more than one, is an error.
edit() {
    sed "$2" "$1" >"$1.new"
    local places
    places=$(diff "$1" "$1.new" | grep -c '^[0-9]') || true
    [ "$places" -eq 1 ] || die "this BlueZ is another one: \`$2\` fits $places places of $1, not one"
    mv "$1.new" "$1"
}

btdev=emulator/btdev.c
# Both ends of a connection use one number for it, chosen where it begins: it must be free at both,
# or a second link at one end gets the bytes of another.
edit $btdev '/^\tconn1 = conn_new(dev, handle/i\
	for (; queue_find(dev->conns, match_handle, UINT_TO_PTR(handle)) ||\
	       queue_find(remote->conns, match_handle, UINT_TO_PTR(handle)); handle++);'
# Who connects goes on advertising, as real controllers do; only the end that was found stops.
edit $btdev 's/^\t\tbtdev->le_adv_enable = 0;$//'
edit $btdev 's/queue_foreach(btdev->le_ext_adv, ext_adv_term, conn);/(void)conn;/'
# Room for data as in a common controller, not for one packet of 192 bytes.
edit $btdev 's/\(btdev->acl_mtu = \)192;/\1251;/'
edit $btdev 's/\(btdev->acl_max_pkt = \)1;/\110;/'

# What the few files that are built take from elsewhere.
mkdir -p lib/bluetooth rig/objects
for header in lib/*.h; do
    [ -e "lib/bluetooth/${header##*/}" ] || cp "$header" lib/bluetooth/
done
echo 'typedef struct _GSList GSList; typedef int gboolean; typedef void *gpointer;
typedef char gchar;' >rig/glib.h
: >config.h

shared="mainloop mainloop-notify io-mainloop timeout-mainloop queue util crypto ecc hci ringbuf ad"
for file in emulator/{main,serial,server,vhci,btdev,bthost,smp,phy,le}.c lib/*.c \
    $(printf 'src/shared/%s.c ' $shared); do
    object=rig/objects/$(echo "${file%.c}" | tr / _).o
    gcc -O2 -w -D_GNU_SOURCE -DHAVE_CONFIG_H '-DVERSION="rig"' -I. -Ilib -Irig \
        -include string.h -include stdlib.h -include stdbool.h -c "$file" -o "$object"
done
# Whatever C library this machine has, the guest has another.
gcc -static -o ../btvirt rig/objects/*.o
cd ..
rm -rf source

# bluetoothd takes one size for GATT's packets over both radios, and the kernel refuses to the
# classic one what is the smallest of the other, 23. Preloaded, this gives the classic one its own
# smallest, 48, which nobody here uses.
cat >small_mtu.c <<'END'
#include <stdint.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { SOL_L2CAP_SOCKET = 6, L2CAP_OPTIONS_NAME = 1, CLASSIC_MIN = 48 };

int setsockopt(int socket, int level, int name, const void *value, socklen_t size)
{
    /* Outgoing and incoming size come first. */
    union { uint16_t mtu[2]; unsigned char bytes[64]; } options;
    if (level == SOL_L2CAP_SOCKET && name == L2CAP_OPTIONS_NAME && size <= sizeof options) {
        __builtin_memcpy(&options, value, size);
        for (int i = 0; i < 2; i++)
            if (options.mtu[i] && options.mtu[i] < CLASSIC_MIN)
                options.mtu[i] = CLASSIC_MIN;
        value = &options;
    }
    return (int)syscall(SYS_setsockopt, socket, level, name, value, size);
}
END
gcc -O2 -Wall -shared -fPIC -o small_mtu.so small_mtu.c
rm small_mtu.c
