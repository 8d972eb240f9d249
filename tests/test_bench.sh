#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The contenders of bench/run that need nothing but this tree move messages and print the rows they should, the CSV and the
# tables made of these are well-formed, and one that delivers wrong bytes is found out. What the figures are is nobody's
# business here.
set -euo pipefail

bench=${srcdir:-.}/bench
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
bad=0
: >"$dir/raw"

complain() { # what is wrong
	echo "$1; it printed:"
	cat "$dir/out" "$dir/words"
	bad=1
}

run() { # exit status wanted, program, arguments
	local want=$1 status=0
	shift
	timeout 100 "$@" >"$dir/out" 2>"$dir/words" || status=$?
	[[ $status -eq $want ]] || complain "$*: exit status $status, not $want"
}

rows() { # the beginnings of the rows wanted, all of them; the end is a figure
	local have
	have=$(sed -nE 's/^([a-z-]+,[a-z-]+,(spin|sleep),[0-9]+,[A-Za-z%\/]+),[0-9.e+-]+$/\1/p' "$dir/out" | sort)
	[[ $have == "$(printf '%s\n' "$@" | sort)" ]] || complain "the rows should begin with: $*"
	cat "$dir/out" >>"$dir/raw"
}

says() { # words
	grep -qF -- "$1" "$dir/words" || complain "it should say '$1'"
}

# What a kernel may refuse is measured, or the refusal is told.
contend() { # contender, program, the words of a refusal, the shortest message that is measured
	local name=$1 status=0 short=${4:-8}
	timeout 100 "bench/$2" --contender "$name" --wait sleep --budget-ms 2 --sizes "$short",1000,4096,655368 >"$dir/out" \
		2>"$dir/words" || status=$?
	if [[ $status -ne 0 && -n ${3:-} ]]; then
		says "$3"
	elif [[ $status -ne 0 ]]; then
		complain "$name: exit status $status"
	else
		rows "latency,$name,sleep,"{"$short",1000,4096,655368},us "rate,$name,sleep,"{"$short",1000},M/s \
			"bandwidth,$name,sleep,"{4096,655368},MB/s "cpu,$name,sleep,"{4096,655368},s/GiB "idle,$name,sleep,0,%CPU"
	fi
}
contend haul via_haul 'no outbox, or no two-handed copies'
contend haul-default via_haul 'messages are not pulled'
contend haul-stream via_haul
contend unix via_unix
contend seqpacket via_unix
contend pipe via_pipe
contend vmsplice via_pipe
contend vmread via_vmread process_vm_readv 512
contend shared via_shared
contend mqueue via_mqueue mq_open

for way in pipe:pipe pipe:vmsplice unix:unix mqueue:mqueue shared:shared haul:haul-stream; do
	[[ $way != mqueue:mqueue || -e /proc/sys/fs/mqueue/msg_max ]] || continue
	run 0 "bench/via_${way%:*}" --contender "${way#*:}" --wait spin --what latency --sizes 8192 --budget-ms 1
	rows "latency,${way#*:},spin,8192,us"
done
run 0 bench/via_unix --contender unix --wait sleep --what latency --sizes 0,1 --name other
rows latency,other,sleep,1,us # a stream has no empty messages
run 64 bench/via_unix --contender pipe --wait sleep
says "there is no contender 'pipe'"
for arguments in '' '--contender unix' '--contender unix --wait idly' '--contender unix --wait spin --sizes 12' \
	'--contender unix --wait spin --what speed' '--contender unix --wait spin more'; do
	# shellcheck disable=SC2086 # these are words
	run 64 bench/via_unix $arguments
	says '--contender NAME --wait spin|sleep'
done

# Whoever lies is found out, and whoever dies holds nobody up.
run 1 bench/via_liar --contender liar-byte --wait sleep --budget-ms 2 --what bandwidth --sizes 4096
says 'wrong bytes: message'
says 'of 4096 bytes, at 2048'
run 1 bench/via_liar --contender liar-byte --wait sleep --budget-ms 2 --what latency --sizes 4096
says 'wrong bytes: message'
says 'of 4096 bytes, at 2048'
run 1 bench/via_liar --contender liar-old --wait sleep --budget-ms 2 --what rate --sizes 64
says 'wrong bytes: message 0 of 64 bytes, at 0'
run 1 bench/via_liar --contender liar-gone --wait sleep --budget-ms 2 --what latency --sizes 64
says gone

for contender in haul unix; do
	for what in fanout fanin; do
		run 0 bench/scale --contender $contender --what $what --peers 3 --budget-ms 2
		rows $what-rate,$contender,sleep,3,M/s $what,$contender,sleep,3,MB/s
	done
	run 0 bench/scale --contender $contender --what connections --peers 20 --budget-ms 2
	rows connections,$contender,sleep,20,us memory,$contender,sleep,20,KiB
done
run 64 bench/scale --contender unix --what fanin --peers 0
says '--peers N'

# All that was measured as a CSV, and as tables.
: >"$dir/words"
bash "$bench/medians" <"$dir/raw" >"$dir/out"
[[ $(head -n 1 "$dir/out") == what,contender,wait,x,unit,median,q1,q3,rounds,ratio,note ]] || complain "the CSV's first line"
awk -F, 'NF != 11 || (NR > 1 && ($6 == "" || $7 + 0 > $6 + 0 || $6 + 0 > $8 + 0 || $9 != 1)) { exit 1 }' "$dir/out" ||
	complain "a row of the CSV is not well-formed"
grep -qE '^fanin,haul,sleep,3,MB/s,.*,1,1,$' "$dir/out" || complain "haul's ratio to itself should be 1"

printf 'latency,%s,spin,8,us,%s\n' haul 3 haul 1 haul 2 haul 10 haul 4 pipe 6 >"$dir/raw"
bash "$bench/medians" <"$dir/raw" >"$dir/out"
grep -qx 'latency,haul,spin,8,us,3,2,4,5,1,' "$dir/out" || complain "medians and quartiles of 1, 2, 3, 4, 10"
grep -qx 'latency,pipe,spin,8,us,6,6,6,1,2,' "$dir/out" || complain "a single round, and a ratio of 2"
echo 'unable,nng,spin,,,,,,,,its I/O threads sleep' >>"$dir/out"
cp "$dir/out" "$dir/csv"
bash "$bench/tables" "$dir/csv" >"$dir/out"
grep -qE '^pipe +6.00 \(2.00\)$' "$dir/out" || complain "the table"
grep -qx 'nng (spin): unable, its I/O threads sleep' "$dir/out" || complain "what could not be measured is told"
bash "$bench/tables" --markdown "$dir/csv" >"$dir/out"
grep -qx '| pipe | 6.00 (2.00) |' "$dir/out" || complain "the table in markdown"

if command -v gnuplot >/dev/null; then
	: >"$dir/words"
	bash "$bench/plot" "$dir/csv" "$dir/figures" >"$dir/out" 2>"$dir/words" || complain "bench/plot"
	[[ $(cd "$dir/figures" && echo *) == "latency.svg run.csv" ]] || complain "there should be one figure, and the CSV"
	grep -q '</svg>' "$dir/figures/latency.svg" || complain "the figure is not whole"
	says 'the CSV has nothing for bandwidth'
fi

exit $bad
