#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Programs that were linked with the last release run with this library: every function, and every type and struct that
# a header shows, is as recorded in abi/, or was added, or has grown in a way that abi/grows allows. The values of enums
# and macros are in no library, and not looked at. scripts/abi runs this alone, and records.
set -euo pipefail

src=${srcdir:-.}
library=.libs/libhaul.so
skip() {
	echo "$*"
	exit 77
}
command -v abidiff >/dev/null || skip "there is no abidiff (Debian: abigail-tools)"
[[ -e $library ]] || skip "there is no $library: configured without shared libraries"
readelf -S "$library" | grep -q '\.debug_info' || skip "built without -g"
if nm -D "$library" | grep -E ' (__asan|__tsan|__ubsan|__gcov|_*sanitizer)' >/dev/null; then
	skip "this library is for testing only"
fi
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

# No lines, no paths: so a record is small, and the same wherever it is made.
abidw --headers-dir "$src/include" --drop-private-types --exported-interfaces-only --no-show-locs --no-comp-dir-path \
	--no-corpus-path --no-elf-needed --no-parameter-names "$library" | sed "s|path='[^']*/src/|path='src/|" >"$dir/now.xml"
if [[ ${1:-} = record ]]; then
	mv "$dir/now.xml" "$2"
	exit
fi

record=$(find "$src/abi" -name "libhaul-*.$(uname -m).xml" | sort -V | tail -n 1)
[[ -n $record ]] || skip "no release is recorded for $(uname -m)"
if ! abidiff --no-added-syms --suppressions "$src/abi/grows" "$record" "$dir/now.xml"; then
	echo "differs from ${record##*/}; what to do about it: scripts/abi --help"
	exit 1
fi
