# Sourced by the other scripts. Debian packages without installing any: apt-get gets lists and a
# cache of its own, and an empty dpkg status, so that "install" downloads all that a package needs,
# whatever this machine has.
#
# In: RIG_CACHE, the folder of everything.

set -euo pipefail
export LC_ALL=C DEBIAN_FRONTEND=noninteractive
: "${RIG_CACHE:?the folder of the rig}"

say() { printf 'setup: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

for tool in apt-get dpkg dpkg-deb xz tar awk gcc; do
    command -v "$tool" >/dev/null || die "no $tool here: the rig needs a Debian-like machine with gcc"
done
triplet=$(gcc -dumpmachine)

# The mirror that this machine uses for Debian already, else the one that always works.
mirror() {
    local found
    found=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null |
        sed -n 's,^URIs: *,,p; s,^deb  *\(\[[^]]*\]  *\)\{0\,1\}\([^ ]*\) .*,\2,p' |
        grep '/debian/*$' | head -n 1) || true
    echo "${found:-http://deb.debian.org/debian}"
}

# debian SUITE COMMAND..: apt-get COMMAND.. in that suite.
debian() {
    local suite=$1 apt=$RIG_CACHE/apt/$1 keyring=/usr/share/keyrings/debian-archive-keyring.gpg
    shift
    [ -e "$keyring" ] || die "no $keyring: install debian-archive-keyring"
    mkdir -p "$apt/lists/partial" "$apt/archives/partial"
    : >"$apt/status"
    printf '%s [signed-by=%s] %s %s main\n' \
        deb "$keyring" "$(mirror)" "$suite" deb-src "$keyring" "$(mirror)" "$suite" >"$apt/sources.list"
    apt-get -q -y \
        -o Dir::Etc::sourcelist="$apt/sources.list" -o Dir::Etc::sourceparts=/dev/null \
        -o Dir::Etc::preferencesparts=/dev/null -o Dir::State::lists="$apt/lists" \
        -o Dir::State::status="$apt/status" -o Dir::State::extended_states="$apt/extended" \
        -o Dir::Cache="$apt" -o Dir::Cache::archives="$apt/archives" -o Dir::Log="$apt" \
        -o APT::Install-Recommends=0 -o APT::Sandbox::User= -o Debug::NoLocking=1 \
        -o Acquire::Retries=3 "$@" >>"$apt/log" 2>&1 ||
        { tail -n 20 "$apt/log" >&2; die "apt-get $1 failed in $suite; all it said is in $apt/log"; }
}

# lists SUITE: fetches the lists of packages, once a day.
lists() {
    local fresh=$RIG_CACHE/apt/$1/fresh
    [ -n "$(find "$fresh" -mtime -1 2>/dev/null)" ] && return
    say "lists of $1"
    debian "$1" update
    touch "$fresh"
}

# unpack SUITE FOLDER PACKAGE..: the packages and all that they need, unpacked. No maintainer
# script runs.
unpack() {
    local suite=$1 folder=$2 directory deb
    shift 2
    lists "$suite"
    # Only what this call needs is in the archive then.
    rm -rf "$RIG_CACHE/apt/$suite/archives"
    debian "$suite" --download-only install "$@"
    for directory in bin sbin lib lib64; do
        mkdir -p "$folder/usr/$directory"
        [ -e "$folder/$directory" ] || ln -s "usr/$directory" "$folder/$directory"
    done
    for deb in "$RIG_CACHE/apt/$suite/archives"/*.deb; do
        dpkg-deb --fsys-tarfile "$deb" |
            tar -x -C "$folder" --keep-directory-symlink --no-same-owner
    done
    rm -rf "$RIG_CACHE/apt/$suite/archives"
}
