#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# haul perf makes each kind of measurement, with few messages: it succeeds and prints the rows it should.
# What the figures are is nobody's business here. Pulling is left out: the kernel may refuse it.
set -euo pipefail

out=$(mktemp)
trap 'rm -f "$out"' EXIT
bad=0

complain() { # what is wrong
	echo "$1; it printed:"
	cat "$out"
	bad=1
}

perf() { # exit status wanted, arguments
	local want=$1 status=0
	shift
	tools/haul perf --rounds 1 --budget-ms 1 --csv "$@" >"$out" 2>&1 || status=$?
	[[ $status -eq $want ]] || complain "haul perf $*: exit status $status, not $want"
}

rows() { # the beginnings of the rows wanted, all of them
	local have
	have=$(grep -oE '^((latency|bandwidth|rate),[a-z]+,[0-9]+|match,[a-z]+,[0-9]+,[0-9]+|overlap,[a-z]+,[0-9]+),' "$out" | sort) || true
	[[ $have == "$(printf '%s,\n' "$@" | sort)" ]] || complain "the rows should begin with: $*"
}

says() { # what should be among the words
	grep -qF -- "$1" "$out" || complain "it should say '$1'"
}

like() { # a pattern that a whole line should match
	grep -qxE -- "$1" "$out" || complain "a line should be like '$1'"
}

# Waiting as is the default here; from then on by sleeping, which gets along with busy and single processors.
perf 0 --what rate --sizes 8 --contenders auto,unix,batch
rows rate,{auto,unix,batch},8

perf 0 --sleep --sizes 8,64K --contenders stream,batch
rows {latency,bandwidth,rate},{stream,batch},{8,65536}
perf 0 --sleep --what rate --sizes 100 --buffers 3 --window 5 --contenders auto,pipe,unix,memcpy,batch
rows rate,{auto,pipe,unix,memcpy,batch},100
perf 1 --sleep --what rate --sizes 64K,65537 --contenders batch
rows rate,batch,65536
says 'holds at most 65536 bytes'

perf 0 --sleep --what match,rate --sizes 8 --contenders unix,auto
rows rate,{unix,auto},8 match,auto,8,{1,10,100,1000,10000}
says what,contender,bytes,outstanding,posted_ns
perf 0 --sleep --what match --sizes 1K --contenders auto
rows match,auto,1024,{1,10,100,1000,10000}
perf 1 --what match --sizes 1025
says 'at most 1024 bytes'
perf 64 --what rate,match --contenders unix
says 'none of these contenders is measured by match'

perf 0 --sleep --what rate,overlap --sizes 1M --contenders stream,unix,pipe
rows {rate,overlap},{stream,unix},1048576 rate,pipe,1048576
says what,contender,bytes,comm_ms,comp_ms
perf 0 --sleep --what overlap --sizes 65537 --buffers 2 --contenders auto,stream,unix
rows overlap,{auto,stream,unix},65537
perf 1 --what overlap --sizes 64K --contenders stream
says 'at least 65537 bytes'
perf 64 --what overlap --contenders batch
says 'none of these contenders is measured by overlap'

# Counters and CPU time are asked for; what can't be said has an empty place.
perf 0 --sleep --what latency,rate --sizes 8 --contenders socket,unix,batch,memcpy --cpu --stats
rows {latency,rate},{socket,unix,batch,memcpy},8 {latency,rate},socket,8 # the latter twice: figures, counters
says mb_per_s,msg_per_s,cpu_sec_per_gib,idle_cpu_percent,vmpoll_ratio,unix_ratio,vmread_ratio,batch_ratio,pipe_ratio
says what,contender,bytes,polls_per_msg
# what, contender, bytes, 4 figures, CPU, idle CPU, ratios to vmpoll, unix, vmread, batch, pipe
number=-?[0-9.]+
like "latency,socket,8(,$number){4},$number,$number,,$number,,,"
like "latency,unix,8(,$number){4},$number,$number,,1.000,,,"
like "latency,memcpy,8(,$number){4},$number,,,$number,,,"
like "rate,batch,8(,$number){4},$number,,,$number,,1.000,"
like "latency,socket,8,0.000,0.000,,0.0000,0"

perf 0 --pin=same --what latency,bandwidth --sizes 8,1M --contenders socket,auto
rows {latency,bandwidth},{socket,auto},{8,1048576}
says 'waiting by sleeping, both processes pinned to CPU'
perf 0 --pin=same --spin --what latency --sizes 8 --contenders memcpy
says 'waiting by spinning, both processes pinned to CPU'
perf 64 --pin=other
says "'other' is not 'same'"

# What a kernel may refuse is measured, or the refusal is told.
perhaps() { # contender, the beginning of the refusal, arguments
	local name=$1 words=$2 status=0
	shift 2
	tools/haul perf --rounds 1 --budget-ms 1 --csv --contenders "$name" "$@" >"$out" 2>&1 || status=$?
	[[ $status -ne 0 ]] || return 0
	[[ $status -eq 1 ]] || complain "haul perf --contenders $name $*: exit status $status"
	says "$words"
}
perhaps vmpoll process_vm_readv --sleep --what latency --sizes 8,4096,4097,1M --buffers 3
perhaps outbox 'there is no outbox to be had' --sleep --what latency,rate --sizes 8
perhaps twohand 'messages are not copied by both sides' --sleep --what bandwidth --sizes 1M
perhaps get 'incoming messages do not go that way' --what latency --sizes 8,64K,1M --buffers 3
perhaps vmget process_vm_readv --what latency --sizes 8,1M --buffers 3
perf 0 --sleep --what latency --sizes 8,64K --buffers 3 --contenders call,unix
rows latency,{call,unix},{8,65536}
perf 64 --what rate --contenders vmpoll
says 'none of these contenders is measured by rate'

# The first line tells the truth about pages; huge ones are advice, which the kernel need not follow.
perf 0 --sleep --what rate --sizes 8 --contenders memcpy
says ' small pages, '
perhaps memcpy 'transparent huge pages' --huge --what bandwidth --sizes 8,3M --buffers 2
grep -qE ' (huge|small|[0-9]+ % huge) pages, |no transparent huge pages' "$out" || complain "it should tell the pages"

perf 64 --what everything
says "there is no measurement 'everything'"
perf 64 --what bcast
says "of pairs; haul run -n N haul perf has it"

# ---- as ranks of a group

group() { # how many, exit status wanted, arguments
	local ranks=$1 want=$2 status=0
	shift 2
	timeout 100 tools/haul run -n "$ranks" tools/haul perf --rounds 1 --budget-ms 1 "$@" >"$out" 2>&1 || status=$?
	[[ $status -eq $want ]] || complain "haul run -n $ranks haul perf $*: exit status $status, not $want"
}

group_rows() { # how many ranks, sizes, collectives: all of them have rows, each with a number in each column
	local ranks=$1 sizes=$2 want=() have what size
	shift 2
	for what in "$@"; do
		for size in $sizes; do want+=("$what,haul,$ranks,$size"); done
	done
	have=$(sed -nE 's/^([a-z_]+,haul,[0-9]+,[0-9]+)(,[0-9]+\.[0-9]{3}){3},[0-9]+$/\1/p' "$out")
	[[ $have == "$(printf '%s\n' "${want[@]}")" ]] || complain "there should be rows of: ${want[*]}"
}

once() { # words that should be in one line, from one rank
	[[ $(grep -cF -- "$1" "$out") -eq 1 ]] || complain "it should say '$1', once"
}

moves="bcast gather scatter allgather alltoall"
sums="reduce allreduce reduce_scatter scan exscan"
for ranks in 2 3; do
	group $ranks 0 --csv --what barrier
	group_rows $ranks 0 barrier
	once 'what,contender,ranks,bytes,usec_avg,usec_min,usec_max,operations'
	once "$ranks ranks, 1 round of 1 ms"
	# shellcheck disable=SC2086 # these are words
	for what in $moves $sums; do
		group $ranks 0 --csv --what "$what" --sizes 8,5000,100K --buffers 3
		group_rows $ranks '8 5000 102400' "$what"
	done
done
group 2 0 --csv --sleep --what bcast,scan --sizes 4 --stats
group_rows 2 4 bcast scan
once 'what,contender,ranks,bytes,messages_per_op,copied_bytes_per_op,polls_per_op,'
like "bcast,haul,2,4,1.00,[0-9]+,[0-9.]+,[0-9.]+,[0-9.]*,[0-9.]+,[0-9.]+,0"
group 3 0 --csv --tune --what bcast,barrier --sizes 4K,8
like 'bcast,3,8,[0-9.]+,[0-9.]+,[0-9.]+'
like 'bcast,3,4096,[0-9.]+,[0-9.]+,[0-9.]+'
like '# HAUL_TUNING=bcast=(never|8|4096)'
group 3 0 --what bcast,gather --sizes 1,3
once 'avg usec'
group 1 0 --csv --what alltoall,exscan --sizes 64
group_rows 1 64 alltoall exscan

# What is wrong is told by rank 0 alone.
group 3 64 --what bcast,sum
once "there is no collective 'sum'"
group 3 64 --what latency
once "there is no collective 'latency'; it is measured without haul run"
group 3 64 --sizes 8,10
once '10 is no multiple'
group 3 64 --sizes 0
once "'0' is not a size"
group 3 64 --rounds 0
once "--rounds: '0' is"
for option in contenders=unix window=2 pin cpu; do
	group 3 64 --$option
	once "--${option%=*}: "
done
group 3 64 --unknown
once 'unrecognized option'
group 3 0 --help
once 'measures collectives'

exit $bad
