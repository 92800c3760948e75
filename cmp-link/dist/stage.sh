#!/usr/bin/env bash
# Writes what the Debian package of a server installs beside the program itself: unit, user, example configuration, manual
# pages, completions, maintainer scripts.
#   cmp-link/dist/stage.sh PROGRAM BINARY DIR     PROGRAM: aid-cmp, aid-hub, aid-msp or aid-smdp; BINARY prints pages and
#                                                 example (a command such as "target/debug/aid-hil part aid-cmp" will do)
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
program=$1 dir=$3
read -ra binary <<<"$2"
case $program in
    aid-cmp) description="Car Mobility Provider of AID.02" ;;
    aid-hub) description="Aggregation layer of AID.02" ;;
    aid-msp) description="Mobile Service Provider of AID.02" ;;
    aid-smdp) description="SM-DP+ of SGP.22" ;;
    *) echo "stage.sh: $program is not a server of this project" >&2; exit 1 ;;
esac
name=${program#aid-}

mkdir -p "$dir"/{man,completions/bash,completions/zsh,completions/fish,debian}
sed -e "s/@PROGRAM@/$program/g; s/@NAME@/$name/g; s/@DESCRIPTION@/$description/g" "$here/server.service" >"$dir/$program.service"
printf '# Owns its state; reads its configuration and keys.\nu %s - "%s" /var/lib/%s\n' "$program" "$description" "$program" \
    >"$dir/$program.conf"

# Relative paths of a configuration begin at its folder, /etc/aid, where a service can't write.
"${binary[@]}" example-config | sed -E "s#^(database|inventory) = \"([^\"/:]+)\"#\1 = \"/var/lib/$program/\2\"#" >"$dir/$name.example.toml"
"${binary[@]}" man --dir "$dir/man" >/dev/null
gzip -9nf "$dir"/man/*.1
"${binary[@]}" completions bash >"$dir/completions/bash/$program"
"${binary[@]}" completions zsh >"$dir/completions/zsh/_$program"
"${binary[@]}" completions fish >"$dir/completions/fish/$program.fish"

cat >"$dir/debian/postinst" <<SCRIPT
#!/bin/sh
set -e

if [ "\$1" = configure ]; then
    systemd-sysusers /usr/lib/sysusers.d/$program.conf
fi

#DEBHELPER#
SCRIPT
cat >"$dir/debian/postrm" <<SCRIPT
#!/bin/sh
set -e

#DEBHELPER#

if [ "\$1" = purge ]; then
    # Databases are not removed: what they hold can't be had again. Configuration and keys in /etc/aid are the operator's.
    echo "$program: /var/lib/$program stays; remove it by hand"
fi
SCRIPT
chmod 755 "$dir"/debian/*
