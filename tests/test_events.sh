#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The examples event_*, those of them that were built, do their work in each event loop and end by themselves;
# by pull, where the kernel allows that, and by stream.
set -euo pipefail

ran=0 bad=0
for loop in epoll uv libevent; do
	program=examples/event_$loop
	if [[ ! -x $program ]]; then
		echo "$program was not built"
		continue
	fi
	ran=$((ran + 1))
	for path in pull stream; do
		status=0
		output=$(HAUL_PATH=$path timeout 30 "$program" 2>&1) || status=$?
		want="event_$loop: 4 workers, 400 answers, all bytes right"
		if [[ $status -ne 0 || ${output##*$'\n'} != "$want" ]]; then
			printf '%s, %s: exit status %d (124: it hung), and said:\n%s\n' "$program" "$path" "$status" "$output"
			bad=1
		fi
	done
done

if [[ $ran -eq 0 ]]; then
	exit 77
fi
exit $bad
