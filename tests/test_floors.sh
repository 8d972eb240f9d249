#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# src/ is a stack of floors: a file includes headers of its own folder and of folders below, and the
# wire floor does no I/O and allocates nothing. What stands outside src/ sees the public headers only,
# unit tests and fuzzers excepted.
set -euo pipefail
cd "${srcdir:-.}"

# From the ground up; rooms of one floor know nothing of each other. "haul" is the public headers: the floors below know
# nothing of them.
floors="os wire haul link engine msg group,stream,rma"

bad=0
complain() { # file:line:text, why
	local file line
	IFS=: read -r file line _ <<<"$1"
	echo "$file:$line: $2"
	bad=1
}

rank() { # folder: its height, nothing if it is no floor
	local n=0 floor
	for floor in $floors; do
		n=$((n + 1))
		if [[ ,$floor, == *,$1,* ]]; then
			echo $n
		fi
	done
}

shopt -s nullglob
files=(src/*/*.[ch])
if [[ ${#files[@]} -eq 0 ]]; then
	echo "no sources in $PWD/src"
	exit 1
fi

for file in "${files[@]}"; do
	floor=$(cut -d/ -f2 <<<"$file")
	if [[ -z $(rank "$floor") ]]; then
		complain "$file:1:" "src/$floor is not a floor; they are: $floors"
	fi
done

include='^[[:space:]]*#[[:space:]]*include[[:space:]]*'
name='["<]([^">]+)'
while IFS= read -r hit; do
	from=$(cut -d/ -f2 <<<"$hit")
	[[ $hit =~ $name ]]
	header=${BASH_REMATCH[1]}
	to=${header%%/*}
	if [[ $header != */* || -z $(rank "$to") ]]; then
		complain "$hit" "\"$header\" names no floor; write \"floor/file.h\""
	elif [[ $(rank "$to") -gt $(rank "$from") ]]; then
		complain "$hit" "$from is below $to, so it must not include $header"
	elif [[ $to != "$from" && $(rank "$to") -eq $(rank "$from") ]]; then
		complain "$hit" "$from is beside $to, so it must not include $header"
	fi
done < <(grep -nHE "$include(\"|<haul/)" "${files[@]}")

while IFS= read -r hit; do
	complain "$hit" "src/wire does no I/O and allocates nothing"
done < <(grep -nHE -e "$include<(sys/(socket|un|epoll)|unistd|fcntl|poll|stdio)\.h>" \
	-e '\b(malloc|calloc|realloc|reallocarray|strdup|free)\(' /dev/null src/wire/*.[ch])

insides=$(tr ' ,' '||' <<<"${floors/haul /}")
while IFS= read -r hit; do
	# A hand-made peer speaks the numbers of the protocol, which are no secret; haul run those of a job, and so does
	# a test that starts ranks.
	[[ $hit == tests/lib/*wire/protocol.h* || $hit == tools/run*wire/job.h* || $hit == tests/lib/crew.c*wire/job.h* ]] || complain "$hit" "only src/, unit tests and fuzzers see the library's insides"
done < <(grep -nHE "$include[\"<]($insides)/" /dev/null \
	{tools,examples,bench,tests/lib,tests/fault,tests/integration}/*.[ch])

exit $bad
