#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Whoever says of which version this is says the same: configure, haul.h, the command, NEWS, and the Debian
# package.
set -euo pipefail

src=${srcdir:-.}
bad=0
same() { # who, what it says, what configure says
	if [[ $2 != "$3" ]]; then
		echo "$1 says '$2'; configure.ac: '$3'"
		bad=1
	fi
}

number=$(awk -F. '{ print $1 * 10000 + $2 * 100 + $3 }' <<<"$VERSION")
same HAUL_VERSION "$(printf '#include <haul/haul.h>\nHAUL_VERSION' | ${CC:-cc} "-I$src/include" -E -P -x c - | tail -n 1)" "$number"
same 'haul --version' "$(tools/haul --version)" "haul $VERSION"
same NEWS "$(sed -n '1s/^haul \([^ ]*\).*/\1/p' "$src/NEWS")" "$VERSION"
same debian/changelog "$(sed -nE '1s/^haul \(([^)]*)-[^-)]*\).*/\1/p' "$src/debian/changelog")" "$VERSION"
exit $bad
