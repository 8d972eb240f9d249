#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Three lists are one: the functions that the public headers declare, those that the version script
# names, and the symbols that libhaul.so exports.
set -euo pipefail
export LC_ALL=C

library=.libs/libhaul.so
if [[ ! -e $library ]]; then
	echo "there is no $library: configured without shared libraries"
	exit 77
fi

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

for header in "${srcdir:-.}"/include/haul/*.h; do
	${CC:-cc} "-I${srcdir:-.}/include" -E -P "$header"
done | grep -oE '\bhaul_[a-z0-9_]+\(' | tr -d '(' | sort -u >"$dir/declared"

grep -oE '^[[:space:]]*[a-z0-9_]+;' "${srcdir:-.}/src/libhaul.map" | tr -d '\t ;' |
	sort -u >"$dir/listed"

# The version node itself is an absolute symbol (A); the rest carries it as "@@HAUL_0.1".
${NM:-nm} -D --defined-only "$library" | awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }' |
	sort -u >"$dir/exported"

bad=0
compare() { # list, list
	if ! diff -u --label "$1" --label "$2" "$dir/$1" "$dir/$2"; then
		bad=1
	fi
}
compare declared listed
compare listed exported
exit $bad
