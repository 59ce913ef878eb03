#!/usr/bin/env bash
# Prints, as a tar, a root filesystem of this Debian machine's own installed packages: Python, a
# shell, and what they need. Usage: rootfs.sh | docker import - NAME
set -euo pipefail
packages=$(apt-cache depends --recurse --installed --no-recommends --no-suggests --no-conflicts \
    --no-breaks --no-replaces --no-enhances python3-minimal libpython3-stdlib dash coreutils |
    grep '^\w' | sort -u)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
# Links from /bin to /usr/bin and the like belong to no package.
for name in bin sbin lib lib32 lib64; do
    [ ! -L "/$name" ] || { mkdir -p "$folder/usr/$name"; ln -s "usr/$name" "$folder/$name"; }
done
mkdir -p "$folder"/{dev,proc,sys,tmp,etc}
chmod 1777 "$folder/tmp" # a container's own /tmp in memory takes this over
for package in $packages; do dpkg -L "$package" 2>/dev/null || true; done |
    grep -vE '^/(\.|usr/share/(doc|man|locale|info|lintian)(/.*)?)$' | sort -u |
    while read -r path; do if [ -f "$path" ] || [ -L "$path" ]; then echo ".$path"; fi; done |
    tar -C / --no-recursion -cf - -T - | tar -C "$folder" --keep-directory-symlink -xf -
tar -C "$folder" -cf - .
