#!/usr/bin/env bash
# Runs the tests that need QGIS on the QGIS of Debian 12's backports (3.40), in a Debian of its own in a folder.
#   sudo tests/qgis_backports.sh [FOLDER]
# The folder (default build/bookworm-backports, about 6 GB) is kept: the next run takes seconds to start.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$(realpath -m "${1:-build/bookworm-backports}")
suite=bookworm

say() { echo "test-qgis-backports: $*" >&2; }
[ "$(id -u)" = 0 ] || { say "needs root, to make a Debian in a folder and to chroot into it; run: sudo make test-qgis-backports"; exit 1; }
command -v debootstrap >/dev/null || { say "needs debootstrap; install it with: apt-get install debootstrap"; exit 1; }

mounted=()
finish() { for place in "${mounted[@]}"; do umount "$place" || umount -l "$place"; done; }
trap finish EXIT
mount_at() { mkdir -p "$2"; mount --bind "$1" "$2"; mounted=("$2" "${mounted[@]}"); }

mirror=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
if [ ! -e "$root/.made" ]; then
  say "making Debian ($suite) in $root"
  rm -rf --one-file-system "$root"
  mkdir -p "$root"
  debootstrap --variant=minbase --include=ca-certificates,git,make,python3,python3-venv "$suite" "$root" "$mirror" >"$root.log" 2>&1 ||
    { tail -5 "$root.log" >&2; exit 1; }
  for name in $suite $suite-updates $suite-backports; do echo "deb $mirror $name main"; done >"$root/etc/apt/sources.list"
  touch "$root/.made"
fi
# The way to the network is this machine's: names, certificates, apt's and pip's settings, wheels in local folders.
cp -L /etc/resolv.conf /etc/hosts "$root/etc/"
if [ -e /etc/ssl/certs/ca-certificates.crt ]; then cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"; fi
grep -ls '^ *Acquire' /etc/apt/apt.conf.d/* 2>/dev/null | xargs -r cp -t "$root/etc/apt/apt.conf.d"
for file in /etc/pip.conf "$HOME/.config/pip/pip.conf"; do
  if [ -e "$file" ]; then mkdir -p "$root$(dirname "$file")"; cp -L "$file" "$root$file"; fi
done
for folder in $({ echo "${PIP_FIND_LINKS:-}"; cat /etc/pip.conf "$HOME/.config/pip/pip.conf" 2>/dev/null; } | grep -oE "/[^ ']+" | sed 's#^//*#/#' | sort -u); do
  folder=${folder%/simple}  # an index keeps its files beside it
  if [ -d "$folder" ] && [ "$folder" != / ]; then mount_at "$folder" "$root$folder"; fi
done
mount_at /proc "$root/proc"

say "copying the working tree"
mkdir -p "$root/urbanfm"
find "$root/urbanfm" -mindepth 1 -maxdepth 1 ! -name .venv -exec rm -rf {} +
git ls-files -coz --exclude-standard | while IFS= read -r -d '' file; do if [ -e "$file" ]; then printf '%s\0' "$file"; fi; done |
  tar --null -T - -c | tar -x -C "$root/urbanfm"

inside() {
  local keep=()
  while IFS= read -r line; do keep+=("$line"); done < <(env | grep -E '^(PIP_|SSL_|REQUESTS_CA|CURL_CA|[A-Za-z_]*_(proxy|PROXY))' | grep -v ' ')
  env -i HOME="$HOME" LANG=C.UTF-8 DEBIAN_FRONTEND=noninteractive PATH=/usr/sbin:/usr/bin:/sbin:/bin "${keep[@]}" \
    chroot "$root" /bin/bash -c 'cd /urbanfm && exec "$@"' backports "$@"
}
mkdir -p "$root$HOME"
inside make setup APT_SUITE=$suite-backports
inside qgis_process.bin --version | head -1
inside make test-qgis APT_SUITE=$suite-backports
