#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# A program may include any one public header, first and alone, in every C from C11 and every C++ from C++11, with every
# warning an error.
set -euo pipefail

headers=$(cd "${srcdir:-.}/include" && echo haul/*.h)
flags="-Wall -Wextra -pedantic -Werror -fsyntax-only -I${srcdir:-.}/include"
bad=0

compile() { # compiler with its language, standards
	local header standard
	for header in $headers; do
		for standard in $2; do
			# The header comes twice, which tries its guard as well.
			# shellcheck disable=SC2086 # words
			if ! printf '#include <%s>\n' "$header" "$header" | $1 "-std=$standard" $flags -; then
				echo "$header: does not compile alone with: $1 -std=$standard"
				bad=1
			fi
		done
	done
}

compile "${CC:-cc} -x c" "c11 c17 c2x"
if [[ -n ${CXX:-} ]] && command -v "${CXX%% *}" >/dev/null; then
	compile "$CXX -x c++" "c++11 c++17 c++20"
elif [[ $bad -eq 0 ]]; then
	echo "no C++ compiler: only C was tried"
	exit 77
fi

exit $bad
