#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# A program may include any one public header, first and alone, from C11 or C++11, with every warning
# an error; and haul.h is of the version that is being built.
set -euo pipefail

headers=$(cd "${srcdir:-.}/include" && echo haul/*.h)
flags="-Wall -Wextra -pedantic -Werror -fsyntax-only -I${srcdir:-.}/include"
bad=0

compile() { # compiler with its flags, header
	# The header comes twice, which tries its guard as well.
	if ! printf '#include <%s>\n' "$2" "$2" | $1 $flags -; then
		echo "$2: does not compile alone with: $1"
		bad=1
	fi
}

for header in $headers; do
	compile "${CC:-cc} -x c -std=c11" "$header"
done

want=$(awk -F. '{ print $1 * 10000 + $2 * 100 + $3 }' <<<"$VERSION")
have=$(printf '#include <haul/haul.h>\nHAUL_VERSION' | ${CC:-cc} "-I${srcdir:-.}/include" -E -P -x c - | tail -n 1)
if [[ $have != "$want" ]]; then
	echo "HAUL_VERSION is $have, but this is haul $VERSION: $want"
	bad=1
fi

if [[ -n ${CXX:-} ]] && command -v ${CXX%% *} >/dev/null; then
	for header in $headers; do
		compile "$CXX -x c++ -std=c++11" "$header"
	done
elif [[ $bad -eq 0 ]]; then
	echo "no C++ compiler: only C was tried"
	exit 77
fi

exit $bad
