#!/bin/sh
# get-bitcoind.sh - fetch a private bitcoind (Debian sid's bitcoin-knots) for tests and demos.
#
# Usage: get-bitcoind.sh [--dest DIR] [--update] [--arch ARCH] [--quiet]
#
# Needs: Debian or a derivative with apt, dpkg-deb and debian-archive-keyring. No root; nothing is
# installed system-wide. Result: DIR/bin/bitcoind and DIR/bin/bitcoin-cli (default DIR:
# ${XDG_CACHE_HOME:-~/.cache}/wormsig/bitcoind). A second run is a no-op without network.
# Prints the version and the path of the bitcoind.
#
# Environment: WORMSIG_BITCOIND_DIR     same as --dest
#              WORMSIG_DEBIAN_MIRROR    archive base URI (default: read from this machine's apt sources)
#              WORMSIG_BITCOIND_SUITE   suite holding bitcoin-knots (default: sid)
#              WORMSIG_STRICT_DATE=1    fail, rather than warn, if the suite's signed Release has expired
set -eu
umask 022
unset APT_CONFIG LD_LIBRARY_PATH LD_PRELOAD || :
export LC_ALL=C
PATH=$PATH:/usr/sbin:/sbin

pkg=bitcoin-knots
suite=${WORMSIG_BITCOIND_SUITE:-sid}
dest=${WORMSIG_BITCOIND_DIR:-}
update=0 quiet=0 arch=
die() { printf 'get-bitcoind: %s\n' "$*" >&2; exit 1; }
say() { [ "$quiet" = 1 ] || printf 'get-bitcoind: %s\n' "$*" >&2; }
while [ $# -gt 0 ]; do
  case $1 in
    --dest) [ $# -ge 2 ] || die "--dest needs a directory"; dest=$2; shift ;;
    --arch) [ $# -ge 2 ] || die "--arch needs a name"; arch=$2; shift ;;
    --update) update=1 ;;
    --quiet) quiet=1 ;;
    -h|--help) sed -n '2,15s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) die "unknown argument: $1" ;;
  esac
  shift
done
[ -n "$dest" ] || dest=${XDG_CACHE_HOME:-${HOME:?HOME is not set, use --dest}/.cache}/wormsig/bitcoind

finish() {  # print the version and the path; fails if the binary does not start
  v=$("$dest/bin/bitcoind" -version 2>/dev/null | sed -n 1p) && [ -n "$v" ] || return 1
  printf '%s\n%s\n' "$v" "$dest/bin/bitcoind"
}
if [ "$update" = 0 ] && [ -e "$dest/current/ok" ] && finish; then exit 0; fi

for t in apt-get apt-cache dpkg dpkg-deb flock awk; do
  command -v $t >/dev/null 2>&1 ||
    die "$t not found: not a Debian-like system. Install Bitcoin Core from its project page and set BITCOIND=/path/to/bitcoind"
done
keyring=
for k in /usr/share/keyrings/debian-archive-keyring.gpg /usr/share/keyrings/debian-archive-keyring.pgp; do
  [ -r "$k" ] && { keyring=$k; break; }
done
[ -n "$keyring" ] || die "no Debian archive keyring (apt-get install debian-archive-keyring)"
[ -n "$arch" ] || arch=$(dpkg --print-architecture)

mkdir -p "$dest" && dest=$(cd "$dest" && pwd -P)
case $dest in *[[:space:]\"\']*) die "no blanks or quotes allowed in the target path: $dest" ;; esac
exec 9>"$dest/.lock"; flock 9          # one fetch at a time; a waiter finds the work done
if [ "$update" = 0 ] && [ -e "$dest/current/ok" ] && finish; then exit 0; fi
tmp=$(mktemp -d "$dest/.tmp.XXXXXX")
trap 'rm -rf "$tmp"' EXIT; trap 'exit 130' INT; trap 'exit 143' TERM HUP
mkdir -p "$tmp/state/lists/partial" "$tmp/cache/archives/partial" "$tmp/dl" "$tmp/none" "$tmp/out/root"
: >"$tmp/state/status"

# The archive's base URI(s), by apt's own parser (.list, deb822, mirror+file:, even before any update).
if [ -n "${WORMSIG_DEBIAN_MIRROR:-}" ]; then
  mirrors=${WORMSIG_DEBIAN_MIRROR%/}
else
  mirrors=$(apt-get -o Dir::State::lists="$tmp/state/lists" -o Dir::Cache="$tmp/cache" -o Debug::NoLocking=1 \
              update --print-uris 2>/dev/null |
            sed -n "s|^'\(.*\)/dists/\([^']*\)/InRelease'.*|\1 \2|p" |
            awk '$2 !~ /security/ && $1 !~ /security/ && !s[$1]++ {print $1}')
  [ -n "$mirrors" ] || die "no Debian archive in apt's sources; set WORMSIG_DEBIAN_MIRROR"
fi

# Private apt state. Passed with -c (read last): system hooks, pins and foreign architectures stay out,
# while proxies and auth.conf.d stay in.
cat >"$tmp/apt.conf" <<CONF
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear DPkg::Pre-Invoke;
#clear DPkg::Post-Invoke;
#clear APT::Architectures;
APT::Architecture "$arch";
APT::Architectures { "$arch"; };
APT::Default-Release "";
APT::Update::Error-Mode "any";
Acquire::Languages "none";
Acquire::Retries "3";
Dir::Etc::sourcelist "$tmp/sources.list";
Dir::Etc::sourceparts "$tmp/none";
Dir::Etc::preferences "$tmp/none/x";
Dir::Etc::preferencesparts "$tmp/none";
Dir::State "$tmp/state";
Dir::State::lists "$tmp/state/lists";
Dir::State::status "$tmp/state/status";
Dir::Cache "$tmp/cache";
CONF
[ "${WORMSIG_STRICT_DATE:-0}" != 1 ] || echo 'Acquire::Check-Valid-Until "true"; Acquire::Check-Date "true";' >>"$tmp/apt.conf"
[ "$(id -u)" != 0 ] || echo 'APT::Sandbox::User "root";' >>"$tmp/apt.conf"   # _apt cannot enter /root

found=
for m in $mirrors; do
  echo "deb [arch=$arch signed-by=$keyring target=Packages pdiffs=no] $m $suite main" >"$tmp/sources.list"
  say "reading $suite's index from $m"
  if ! apt-get -c "$tmp/apt.conf" -qq update >"$tmp/log" 2>&1; then
    if grep -qE 'is expired|not valid yet' "$tmp/log" && [ "${WORMSIG_STRICT_DATE:-0}" != 1 ]; then
      say "warning: $(grep -m1 -E 'is expired|not valid yet' "$tmp/log" | sed 's/^E: //')"
      say "warning: stale mirror or wrong clock; going on (the signature is still checked)"
      apt-get -c "$tmp/apt.conf" -o Acquire::Check-Valid-Until=false -o Acquire::Check-Date=false -qq update >"$tmp/log" 2>&1 ||
        { cat "$tmp/log" >&2; continue; }
    else
      cat "$tmp/log" >&2; continue
    fi
  fi
  apt-cache -c "$tmp/apt.conf" show "$pkg" >"$tmp/show" 2>/dev/null && [ -s "$tmp/show" ] && { found=$m; break; }
  say "$m $suite has no $pkg for $arch"
done
[ -n "$found" ] || die "could not find $pkg in $suite"
ver=$(sed -n 's/^Version: //p' "$tmp/show" | sed -n 1p)

# Shared-library closure only (no systemd, debconf, adduser: nothing is configured, only unpacked).
pkgs=$(apt-cache -c "$tmp/apt.conf" depends --recurse --important "$pkg" |
  awk -v start="$pkg" '
    /^[^ |]/ { cur = $1; next }
    $1 ~ /Depends:$/ && $2 ~ /^(lib|zlib)/ { sub(/:.*/, "", $2); dep[cur] = dep[cur] " " $2 }
    END { q[n = 1] = start; seen[start] = 1
          for (i = 1; i <= n; i++) { print q[i]; c = split(dep[q[i]], d, " ")
            for (j = 1; j <= c; j++) if (!(d[j] in seen)) { seen[d[j]] = 1; q[++n] = d[j] } } }')
say "downloading $pkg $ver and $(($(echo "$pkgs" | wc -l) - 1)) libraries"
# shellcheck disable=SC2086
(cd "$tmp/dl" && apt-get -c "$tmp/apt.conf" -qq download $pkgs) >"$tmp/log" 2>&1 || { cat "$tmp/log" >&2; die "download failed"; }
for deb in "$tmp"/dl/*.deb; do dpkg-deb -x "$deb" "$tmp/out/root"; done
(cd "$tmp/dl" && sha256sum ./*.deb) >"$tmp/out/SHA256SUMS"
r=$tmp/out/root
rm -rf "$r/etc" "$r/usr/share/man" "$r/usr/share/lintian" "$r/usr/share/locale" "$r/usr/lib/systemd" "$r"/usr/lib/*/gconv \
  "$r/usr/bin/bitcoin-tx" "$r/usr/bin/bitcoin-util" "$r/usr/bin/bitcoin-wallet"

set -- "$r"/usr/lib/*-linux-gnu*/ld-linux-*.so.*
[ -e "$1" ] || die "no dynamic loader in libc6 for $arch"
libdir=usr/lib/$(basename "$(dirname "$1")") ldso=$(basename "$1")
mkdir "$tmp/out/run"                   # the loader under the program's own name, so that ps says "bitcoind"
for p in bitcoind bitcoin-cli; do ln -s "../root/$libdir/$ldso" "$tmp/out/run/$p"; done
if [ "$arch" = "$(dpkg --print-architecture)" ]; then   # every library must come from the private root
  for p in bitcoind bitcoin-cli; do
    "$r/$libdir/$ldso" --inhibit-cache --library-path "$r/$libdir" --list "$r/usr/bin/$p" >"$tmp/log" 2>&1 || { cat "$tmp/log" >&2; die "$p does not load"; }
    if grep '=>' "$tmp/log" | grep -v "=> $r/" >&2; then die "$p resolves libraries outside $r"; fi
  done
fi
echo "$ver" >"$tmp/out/ok"

id=$ver-$arch
rm -rf "$dest/versions/$id.old"; mkdir -p "$dest/versions" "$dest/bin"
[ ! -e "$dest/versions/$id" ] || mv "$dest/versions/$id" "$dest/versions/$id.old"
mv "$tmp/out" "$dest/versions/$id"; rm -rf "$dest/versions/$id.old"
ln -s "versions/$id" "$tmp/current" && mv -T "$tmp/current" "$dest/current"
for p in bitcoind bitcoin-cli; do
  cat >"$tmp/$p" <<WRAP
#!/bin/sh
# Written by get-bitcoind.sh: $pkg $ver under its own loader; relocatable, sets no LD_* variable.
self=\$0
case \$self in */*) ;; *) self=./\$self ;; esac
[ ! -L "\$self" ] || self=\$(readlink -f -- "\$self")
d=\${self%/*}/../current
exec "\$d/run/$p" --argv0 $p --inhibit-cache --library-path "\$d/root/$libdir" "\$d/root/usr/bin/$p" "\$@"
WRAP
  chmod 755 "$tmp/$p" && mv "$tmp/$p" "$dest/bin/$p"
done
[ "$arch" = "$(dpkg --print-architecture)" ] || { say "unpacked for $arch; not run here"; exit 0; }
finish || die "the fetched bitcoind does not start here"
