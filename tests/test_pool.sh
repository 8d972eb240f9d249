#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The example pool compresses 200 files, each result being what gunzip makes the file of again; also when a worker is
# killed with a file in its hands, in the middle or right at the end, and where it may not pull.
set -euo pipefail

if [[ ! -x examples/pool ]]; then
	echo "examples/pool was not built"
	exit 77
fi
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
mkdir "$dir/in"

# Real files, as many as there are of some size, and some more of all kinds.
mapfile -t files < <(find -L /usr/share/doc /usr/include -type f -size +0 -size -4096k 2>/dev/null | sort | head -n 190)
for ((i = ${#files[@]}; i < 200; i++)); do
	file=$dir/in/$i
	case $((i % 3)) in
	0) : >"$file" ;;
	1) head -c 5000000 /dev/urandom >"$file" ;;
	2) (yes "line $i" || true) 2>/dev/null | head -c 3000000 >"$file" ;;
	esac
	files+=("$file")
done

bad=0
check() { # what, program with its options
	local what=$1 out=$dir/out status=0 said
	shift
	mkdir "$out"
	said=$(timeout 120 "$@" "$out" "${files[@]}" 2>&1) || status=$?
	if [[ $status -ne 0 ]]; then
		printf '%s: exit status %d (124: it hung), and said:\n%s\n' "$what" "$status" "$said"
		bad=1
	fi
	echo "$what: $said"
	for ((i = 0; i < 200; i++)); do
		if ! gunzip -c "$out/$i-$(basename "${files[i]}").gz" | cmp -s - "${files[i]}"; then
			echo "$what: file $i, ${files[i]}, did not come back as it was"
			bad=1
			break
		fi
	done
	if [[ $what == *killed* && $said != *"signal 9"*"given to another"*", 1 replaced"* ]]; then
		echo "$what: no worker was replaced"
		bad=1
	fi
	rm -r "$out"
}

check "in peace" examples/pool
check "killed in the middle" examples/pool --kill 100
check "killed at the beginning" examples/pool --kill 0
check "killed at the end" examples/pool --kill 199
check "the only worker is killed" examples/pool --workers 1 --kill 100
check "without pulling" env HAUL_PATH=stream examples/pool
check "killed without pulling" env HAUL_PATH=stream examples/pool --kill 100
check "by outboxes, killed" env HAUL_TRANSPORT=outbox examples/pool --kill 100
if [[ -x bench/pool_pipes ]]; then
	check "by pipes" bench/pool_pipes
fi
exit $bad
