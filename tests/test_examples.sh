#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The C in the documentation is what it says: blocks of README.md and docs/, fenced as ```c, and those of EXAMPLES
# in man/*.3 and *.7. One that has an int main is compiled, linked with the library that was built, and run, without
# arguments: it is to end by itself, with 0. Any other is a fragment, and compiled as the body of a function, behind
# tests/lib/fragment.h. Arguments are files to be tried instead of all.
set -euo pipefail

src=$(cd "${srcdir:-.}" && pwd)
build=$PWD
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

# A sanitizer that is in the library has to be in the program as well.
sanitize=$(grep -o -e '-fsanitize=[^ ]*' <<<"${HAUL_CFLAGS:-}") || true
flags="-std=gnu11 -Wall -Wextra -Werror -g $sanitize -I$src/include"
libs="$build/.libs/libhaul.so -Wl,-rpath,$build/.libs"
if [[ ! -e $build/.libs/libhaul.so ]]; then
	libs="$build/.libs/libhaul.a -lbsd"
fi

# Writes each block of a file into a file of its own, whose lines the compiler calls by their place in the document.
# In a page EXAMPLES has blocks of other kinds, too: a shell's begin with its prompt.
extract() { # file, its name in messages, prefix of the files written
	awk -v name="$2" -v prefix="$3" '
		function begin() { n++; block = ""; first = NR + 1; inside = 1 }
		function end(  out) {
			inside = 0
			if (block ~ /^\$ /)
				return
			out = sprintf("%s.%03d", prefix, n)
			printf "#line %d \"%s\"\n%s", first, name, block >(out (block ~ /int main/ ? ".program.c" : ".fragment.c"))
		}
		name ~ /\.md$/ && inside && /^ *```/ { end(); next }
		name ~ /\.md$/ && /^ *```c$/ { begin(); next }
		name !~ /\.md$/ && /^\.Sh / { examples = $2 == "EXAMPLES" }
		name !~ /\.md$/ && examples && /^\.Bd .*-literal/ { begin(); next }
		name !~ /\.md$/ && inside && /^\.Ed/ { end(); next }
		inside && name !~ /\.md$/ { gsub(/\\&/, ""); gsub(/\\-/, "-"); gsub(/\\(\(aq|\[aq\])/, "\047"); gsub(/\\(\(dq|\[dq\])/, "\""); gsub(/\\e/, "\\") }
		inside { block = block $0 "\n" }
		END { if (inside) { printf "%s:%d: a block without an end\n", name, first >"/dev/stderr"; exit 1 } }
	' "$1"
}

try() { # one block; leaves NAME.bad behind if it is not as it should be, with the reason
	local block=$1 place status=0
	place=$(awk 'NR == 1 { gsub(/"/, ""); print $3 ":" $2 }' "$block")
	if [[ $block == *.fragment.c ]]; then
		{
			# A fragment shows a step: what it sets may be meant for the next one.
			echo '#include "lib/fragment.h"'
			echo '#pragma GCC diagnostic ignored "-Wunused-but-set-variable"'
			echo '#pragma GCC diagnostic ignored "-Wunused-variable"'
			echo 'void fragment(void);'
			echo 'void fragment(void)'
			echo '{'
			cat "$block"
			echo '}'
		} >"$block.body.c"
		# shellcheck disable=SC2086 # flags are words
		$CC $flags "-I$src/tests" -fsyntax-only "$block.body.c" >"$block.log" 2>&1 || status=$?
	else
		# shellcheck disable=SC2086
		$CC $flags -o "$block.out" "$block" $libs >"$block.log" 2>&1 || status=$?
		if [[ $status -eq 0 ]]; then
			mkdir "$block.dir"
			(cd "$block.dir" && exec timeout 60 "$block.out") >"$block.log" 2>&1 </dev/null || status=$?
		fi
	fi
	if [[ $status -ne 0 ]]; then
		printf '%s: exit status %d (124: it hung), and said:\n' "$place" "$status" >"$block.bad"
		cat "$block.log" >>"$block.bad"
	fi
}
export CC="${CC:-cc}" flags libs src
export -f try

if [[ $# -eq 0 ]]; then
	shopt -s nullglob
	set -- "$src/README.md" "$src"/docs/*.md "$src"/man/*.[37]
fi
i=0
for file in "$@"; do
	i=$((i + 1))
	extract "$file" "${file#"$src"/}" "$dir/$(printf %03d $i)"
done

# shellcheck disable=SC2016 # for the shell inside
find "$dir" -name '*.c' -print0 | sort -z | xargs -0 -r -P "$(nproc)" -I{} bash -c 'try "$1"' - {}

count() { # pattern
	find "$dir" -maxdepth 1 -name "$1" | wc -l
}
programs=$(count '*.program.c') fragments=$(count '*.fragment.c') bad=$(count '*.bad')
find "$dir" -name '*.bad' | sort | xargs -r cat
echo "$programs programs run, $fragments fragments compiled, of $i files; $bad are bad"
[[ $bad -eq 0 && $((programs + fragments)) -gt 0 ]]
