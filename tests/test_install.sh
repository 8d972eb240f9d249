#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# make install puts what is expected below DESTDIR and nothing else; a program in C and in C++ that knows of it by
# pkg-config only is built, with the shared library and with the static one, and runs; make uninstall leaves no file.
set -euo pipefail

src=${srcdir:-.}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
to=$dir/to
bad=0
untried=()

# (grep -q would end before nm has said all, which then fails.)
if nm .libs/libhaul-internal.a 2>/dev/null | grep -E ' U __(asan|tsan|ubsan|gcov|sanitizer)_' >/dev/null; then
	echo "this library is for testing only: who links it would have to be built in the same way"
	exit 77
fi

# Of the make that runs this test we inherit what is meant for that one.
make=(env -u MAKEFLAGS -u MFLAGS "${MAKE:-make}" --silent "DESTDIR=$to")
"${make[@]}" install >"$dir/log" 2>&1 || { cat "$dir/log"; exit 1; }

# ---- What is there: names below the prefix; links with where they point to ----

pc=$(find "$to" -name haul.pc)
prefix=$to$(sed -n 's/^prefix=//p' "$pc")
libdir=$(cd "$(dirname "$pc")/.." && pwd)
lib=${libdir#"$prefix/"}
shared=0 static=0
[[ -e .libs/libhaul.so ]] && shared=1
[[ -e .libs/libhaul.a ]] && static=1
{
	echo bin/haul
	(cd "$src/include" && printf 'include/%s\n' haul/*.h)
	echo "$lib/libhaul.la"
	echo "$lib/pkgconfig/haul.pc"
	[[ $static = 0 ]] || echo "$lib/libhaul.a"
	[[ $shared = 0 ]] || printf '%s\n' "$lib/libhaul.so -> libhaul.so.0.0.0" "$lib/libhaul.so.0 -> libhaul.so.0.0.0" \
		"$lib/libhaul.so.0.0.0"
	(cd "$src/man" && for page in *.[1-9]; do echo "share/man/man${page##*.}/$page"; done)
} | sort >"$dir/expected"
# Pages that are another one by a second name are as many as there are functions: see below.
(cd "$to" && find . ! -type d ! \( -path '*/man/*' -type l \) \( -type l -printf '%p -> %l\n' -o -printf '%p\n' \)) |
	sed "s|^\./${prefix#"$to/"}/||" | sort >"$dir/installed"
diff -u "$dir/expected" "$dir/installed" || bad=1

while read -r link; do
	echo "$link points to nothing"
	bad=1
done < <(find "$to" -xtype l)
if [[ -n $(find "$to" -type f -perm /022) ]]; then
	find "$to" -type f -perm /022 -ls
	bad=1
fi

# ---- A program, by pkg-config ----

export PKG_CONFIG_PATH=$libdir/pkgconfig PKG_CONFIG_SYSROOT_DIR=$to
build() { # what, compiler with its language, option of pkg-config, option of the linker
	local words
	# shellcheck disable=SC2086 # words
	if ! words=$(pkg-config ${3:+"$3"} --cflags --libs haul) ||
		! $2 -Wall -Wextra -Werror $4 "$src/tests/plain/every_header.c" -x none $words -o "$dir/program"; then
		echo "$1: a program can't be built: $words"
		bad=1
	elif ! LD_LIBRARY_PATH=$libdir timeout 60 "$dir/program"; then
		echo "$1: the program fails"
		bad=1
	fi
}

if ! command -v pkg-config >/dev/null; then
	untried+=("no pkg-config: no program was built")
else
	languages=("${CC:-cc} -x c -std=c11")
	if [[ -n ${CXX:-} ]] && command -v "${CXX%% *}" >/dev/null; then
		languages+=("$CXX -x c++ -std=c++11")
	else
		untried+=("no C++ compiler: only C was tried")
	fi
	for language in "${languages[@]}"; do
		[[ $shared = 0 ]] || build "shared, $language" "$language" "" ""
		[[ $static = 0 ]] || build "static, $language" "$language" --static -static
	done
	words=$(pkg-config --libs-only-l haul)
	if [[ $shared = 1 && ${words// /} != -lhaul ]]; then
		echo "who links the shared library needs no other: $words"
		bad=1
	fi
fi

# ---- And back ----

"${make[@]}" uninstall >"$dir/log" 2>&1 || { cat "$dir/log"; exit 1; }
if [[ -n $(find "$to" ! -type d) ]]; then
	echo "make uninstall leaves:"
	find "$to" ! -type d
	bad=1
fi

if [[ $bad -eq 0 && ${#untried[@]} -gt 0 ]]; then
	printf '%s\n' "${untried[@]}"
	exit 77
fi
exit $bad
