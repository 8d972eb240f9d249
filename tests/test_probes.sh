#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Two lists are one: the probes that docs/probes.md has in its table, with how many arguments and how wide, and
# those that libhaul.so has.
set -euo pipefail
export LC_ALL=C

library=.libs/libhaul.so
readelf=${READELF:-readelf}
if ! grep -q '^#define HAVE_SYS_SDT_H 1' config.h; then
	echo "configured without sys/sdt.h"
	exit 77
elif [[ ! -e $library ]]; then
	echo "there is no $library: configured without shared libraries"
	exit 77
elif ! command -v "$readelf" >/dev/null; then
	echo "there is no $readelf"
	exit 77
fi

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

# A row is | `name` | `type` name, `type` name | when |; as in the library's notes, sizes of signed ones are negative.
sed -nE 's/^\| `([a-z_]+)` \| ([^|]*) \|.*/\1 \2/p' "${srcdir:-.}/docs/probes.md" |
	sed -E 's/`(ptr|u64)` [a-z]+,?/8/g; s/`i32` [a-z]+,?/-4/g; s/`u32` [a-z]+,?/4/g' | sort -u >"$dir/documented"

"$readelf" -n "$library" | awk '
	$1 == "Provider:" { provider = $2 }
	$1 == "Name:" { name = $2 }
	$1 == "Arguments:" && provider == "haul" {
		line = name
		for (i = 2; i <= NF; i++) { sub(/@.*/, "", $i); line = line " " $i }
		print line
	}' | sort -u >"$dir/built"

if [[ ! -s $dir/documented ]]; then
	echo "no table of probes in docs/probes.md"
	exit 1
fi
cd "$dir"
diff -u documented built
