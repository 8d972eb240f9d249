#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The examples of groups, under haul run with several numbers of ranks: each checks its own result but samplesort, which is
# checked against sort(1). By pull, where the kernel allows that, and by stream.
set -euo pipefail
export LC_ALL=C

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

bad=0
expect() { # what the last line is to be like, command
	local want=$1 status=0 output
	shift
	output=$(timeout 60 "$@" 2>&1) || status=$?
	# shellcheck disable=SC2053 # a pattern
	if [[ $status -ne 0 || ${output##*$'\n'} != $want ]]; then
		printf '%s: exit status %d (124: it hung), and said:\n%s\n' "$*" "$status" "$output"
		bad=1
	fi
}

# Lines of all lengths, many alike, the last one without an end; and none.
awk 'BEGIN { srand(1); for (i = 0; i < 20000; i++) { n = int(rand() * 40); s = ""
	for (k = 0; k < n; k++) s = s sprintf("%c", 33 + int(rand() * 90)); print s int(rand() * 100) }; printf "the end" }' \
	>"$dir/input"
sort "$dir/input" >"$dir/sorted"
: >"$dir/empty"

for path in pull stream; do
	export HAUL_PATH=$path
	for n in 1 2 3 5; do
		expect "1000 rounds of $n ranks: the token is $((1000 * n))" tools/haul run -n $n examples/ring
		expect "pi is about 3.14159265359*" tools/haul run -n $n examples/pi
		expect "*bytes sorted by $n ranks" tools/haul run -n $n examples/samplesort "$dir/input" "$dir/output"
		cmp "$dir/sorted" "$dir/output" || bad=1
		expect "0 bytes sorted by $n ranks" tools/haul run -n $n examples/samplesort "$dir/empty" "$dir/output"
		if [[ -x examples/heat2d ]]; then
			expect "50 steps on 97 x 97 cells by $n ranks: 0 cells differ from the serial result" \
				tools/haul run -n $n examples/heat2d 97 50 "$dir/heat.png"
			[[ $(head -c 4 "$dir/heat.png" | tail -c 3) == PNG ]] || { echo "heat2d drew no picture"; bad=1; }
		fi
	done
done
exit $bad
