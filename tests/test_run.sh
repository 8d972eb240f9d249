#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# haul run starts ranks, tells them who they are, keeps their lines whole, and leaves nothing of them behind.
# shellcheck disable=SC2016 # what is in single quotes is for the ranks to expand
set -euo pipefail

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
bad=0

complain() { # what is wrong
	echo "$1; out:"
	head -c 2000 "$tmp/out"
	echo "err:"
	head -c 2000 "$tmp/err"
	bad=1
}

run() { # exit status wanted, arguments of haul run
	local want=$1 status=0
	shift
	timeout 60 tools/haul run "$@" <"${input:-/dev/null}" >"$tmp/out" 2>"$tmp/err" || status=$?
	[[ $status -eq $want ]] || complain "haul run $*: exit status $status, not $want"
}

printed() { # the lines wanted, in any order
	diff <(sort "$tmp/out") <(printf '%s\n' "$@" | sort) >/dev/null || complain "it should print: $*"
}

says() { # what the last line of standard error should have
	tail -n 1 "$tmp/err" | grep -qF -- "$1" || complain "its last line should say '$1'"
}

script() { # a program for the ranks, from standard input
	{ echo '#!/bin/sh' && cat; } >"$tmp/$1"
	chmod +x "$tmp/$1"
}

# ---- who they are

run 0 -n 3 sh -c 'echo "$HAUL_RANK of $HAUL_SIZE"'
printed '0 of 3' '1 of 3' '2 of 3'
run 0 -n 5 sh -c 'echo "$HAUL_JOB"'
[[ $(sort -u "$tmp/out" | grep -cE '^[0-9a-f]{32}$') -eq 1 ]] || complain "a job has one name"
cp "$tmp/out" "$tmp/before"
run 0 sh -c 'echo "$HAUL_JOB"'
! grep -qf "$tmp/out" "$tmp/before" || complain "another job has another name"
run 0 sh -c 'echo "$HAUL_RANK of $HAUL_SIZE"'
printed '0 of 1'

# Also where each has but one of them for itself.
for bind in none core; do
	run 0 -n 2 --bind $bind sh -c 'echo "$HAUL_CPUS"'
	printed "$(nproc)" "$(nproc)"
done

# ---- where they are

run 0 --job a.B_c-$$ sh -c 'echo "$HAUL_JOB"'
printed a.B_c-$$
for name in '' a/b 'a b' "$(printf %065d 0)"; do
	run 64 --job "$name" true
done
job=test-$$
run 0 -n 3 --job $job tests/plain/rank sockets
printed "haul-$job-0" "haul-$job-1" "haul-$job-2"
mkfifo "$tmp/go"
script greets <<'E2'
if [ "$HAUL_RANK" = 0 ]; then tests/plain/rank connect 1 && echo >"$1"; else read -r line <"$1"; fi
E2
run 0 -n 2 --job $job "$tmp/greets" "$tmp/go"
printed connected
run 0 --job $job tests/plain/rank connect 1
[[ $(cat "$tmp/err") == *refused* ]] || complain "nobody is there who was not started"
run 0 --job $job tools/haul run --job "$job-0" tests/plain/rank sockets
printed "haul-$job-0-0"

# Others of the name find it taken until the last rank has ended.
true >"$tmp/up"
tools/haul run -n 2 --job $job sh -c 'echo up; [ "$HAUL_RANK" = 0 ] || read -r line <"$0"' "$tmp/go" >"$tmp/up" &
exec {go}<>"$tmp/go"
for ((i = 0; i < 200 && $(wc -l <"$tmp/up") < 2; i++)); do sleep 0.05; done
run 69 --job $job echo started
[[ ! -s $tmp/out ]] || complain "no rank starts of a job whose name is taken"
says "there is a job named '$job' already"
echo >&"$go"
wait $!
run 0 --job $job true

# ---- what they say and hear

seq 100 >"$tmp/in"
input=$tmp/in run 0 -n 3 cat
printed $(seq 100)
run 0 -n 2 --tag-output sh -c 'echo a; printf b; echo c >&2'
printed '[0] a' '[0] b' '[1] a' '[1] b'
[[ $(sort "$tmp/err") == $'[0] c\n[1] c' ]] || complain "standard error is tagged, too"
script lines <<'E2'
line=$(printf "%0500d" "$HAUL_RANK")
i=0
while [ $i -lt 500 ]; do printf "%s" "$line"; printf "%s\n" "$line"; i=$((i + 1)); done
E2
run 0 -n 4 "$tmp/lines"
[[ $(sort "$tmp/out" | uniq -c | awk '{ print $1, length($2) }' | sort -u) == '500 1000' ]] || complain "lines are torn"
head -c 3000000 /dev/zero | tr '\0' x >"$tmp/long"
input=$tmp/long run 0 -n 2 cat
cmp -s "$tmp/long" "$tmp/out" || complain "a line of any length comes"
run 0 printf 'no end'
[[ $(cat "$tmp/out") == 'no end' && $(wc -c <"$tmp/out") -eq 6 ]] || complain "nothing is added to what one rank says"

# ---- ends

run 3 -n 3 --grace-ms 100 sh -c 'if [ "$HAUL_RANK" = 1 ]; then exit 3; fi; sleep 50'
says 'rank 1 exited with status 3'
run 139 -n 3 --grace-ms 100 sh -c 'if [ "$HAUL_RANK" = 2 ]; then kill -SEGV $$; fi; sleep 50'
says 'rank 2 was killed by signal 11'
run 4 -n 2 --grace-ms 200 sh -c 'if [ "$HAUL_RANK" = 0 ]; then exit 4; fi; trap "" TERM; sleep 50; sleep 50'
says 'rank 0 exited with status 4'
run 0 -n 4 sh -c 'sleep "0.$HAUL_RANK"; echo "$HAUL_RANK"'
printed 0 1 2 3
run 124 -n 2 --timeout 1 sleep 50
says 'the time of 1 s was up'
run 127 -n 2 "$tmp/none"
says 'No such file or directory'
run 126 -n 2 "$tmp"
run 64 -n 0 true
run 64 -n 2
run 64 --bind=here true
[[ $(head -n 1 "$tmp/err") == *"'here' is neither core nor none"* ]] || complain "it should say what is wrong"

# One program after the other: where a rank listens is its own, not the program's. Each begins the second when all have
# ended the first.
script both <<'EOF'
examples/ring >/dev/null || exit 1
touch "$1/ended.$HAUL_RANK"
tries=1000
while [ "$(ls "$1" | grep -c '^ended')" -lt "$HAUL_SIZE" ]; do
	[ $((tries -= 1)) -gt 0 ] || exit 1
	sleep 0.02
done
examples/ring >/dev/null && echo both
EOF
run 0 -n 3 --keep-going "$tmp/both" "$tmp"
printed both both both

# ---- what they are told, and tell

run 0 -n 3 sh -c 'if [ "$HAUL_RANK" = 0 ]; then tests/plain/rank hear 2; else exit 0; fi'
printed 'left 1 0' 'left 2 0'
# A failure: a note at once, SIGTERM after a grace, SIGKILL after another.
script survives <<'E2'
trap 'echo asked' TERM
case $HAUL_RANK in
0) exec 2>/dev/null; tests/plain/rank hear 1; while :; do sleep 0.05; done ;;
1) tests/plain/rank hear 1 ;;
2) kill -SEGV $$ ;;
esac
E2
run 139 -n 3 --grace-ms 500 "$tmp/survives"
printed 'dead 2 139' 'dead 2 139' asked
says 'rank 2 was killed by signal 11 (Segmentation fault); the others were ended'
run 3 -n 2 sh -c 'if [ "$HAUL_RANK" = 1 ]; then exit 3; fi; tests/plain/rank hear 1'
printed 'dead 1 3'
# Others may live on.
run 3 -n 3 --keep-going --grace-ms 0 sh -c '[ "$HAUL_RANK" != 1 ] || exit 3; tests/plain/rank hear 1; sleep 0.3; echo alive'
printed 'dead 1 3' 'dead 1 3' alive alive
[[ $(tail -n 1 "$tmp/err") == *'rank 1 exited with status 3' ]] || complain "no other was ended"
# Who never reads is in nobody's way, and finds everything when it does.
mkfifo "$tmp/told"
script neglects <<'E2'
case $HAUL_RANK in
0) read -r line <"$1"; exec tests/plain/rank hear 65 ;;
65) tests/plain/rank hear 64 >/dev/null; echo >"$1" ;;
*) exit 5 ;;
esac
E2
run 5 -n 66 --keep-going --bind=none "$tmp/neglects" "$tmp/told"
mapfile -t ends < <(seq 64 | sed 's/.*/dead & 5/')
printed "${ends[@]}" 'left 65 0'
# One that closes its end, or says what it likes.
run 0 -n 3 sh -c 'if [ "$HAUL_RANK" = 0 ]; then tests/plain/rank nonsense; fi'
run 0 -n 2 bash -c 'if [ "$HAUL_RANK" = 0 ]; then exec {HAUL_CONTROL}>&-; sleep 0.3; fi'
# Aborts.
run 7 -n 3 --grace-ms 5000 sh -c 'if [ "$HAUL_RANK" = 1 ]; then tests/plain/rank say 16 7 "no more
of that"; fi; sleep 50'
says 'rank 1 aborted the job with status 7: no more?of that; the others were ended'
run 7 -n 2 --keep-going sh -c '[ "$HAUL_RANK" = 0 ] || exit 3; tests/plain/rank hear 1; tests/plain/rank say 16 7 ""; sleep 50'
says 'rank 0 aborted the job with status 7; the others were ended'
run 7 -n 2 sh -c 'if [ "$HAUL_RANK" = 0 ]; then tests/plain/rank say 16 7 first; exit 8; fi; exec tests/plain/rank hear 2'
says 'rank 0 aborted the job with status 7: first'
# The cause is who was killed, though haul run hears of it no sooner than of what another made of that: rank 2 has it
# find both at once.
script see <<'E2'
becomes() { until [ "$(sed 's/.*) //; s/ .*//' "/proc/$2/stat")" = "$1" ]; do :; done; }
echo $$ >"$1/$HAUL_RANK.new"
mv "$1/$HAUL_RANK.new" "$1/$HAUL_RANK"
case $HAUL_RANK in
0) until [ -e "$1/go" ]; do :; done
   if [ "$3" = aborts ]; then tests/plain/rank say 16 7 cause; touch "$1/said"; sleep 50; fi
   exit 3 ;;
1) exec sleep 50 ;;
2) until [ -e "$1/0" ] && [ -e "$1/1" ]; do :; done
   kill -STOP $PPID
   becomes T $PPID # until then it may still look around
   kill "-$2" "$(cat "$1/1")"
   becomes Z "$(cat "$1/1")"
   touch "$1/go"
   if [ "$3" = aborts ]; then until [ -e "$1/said" ]; do :; done; else becomes Z "$(cat "$1/0")"; fi
   kill -CONT $PPID ;;
esac
E2
see() { # exit status wanted, the signal that ends rank 1, what rank 0 does
	rm -rf "$tmp/seen"
	mkdir "$tmp/seen"
	run "$1" -n 3 --grace-ms 100 "$tmp/see" "$tmp/seen" "$2" "$3"
}
see 137 KILL exits
says 'rank 1 was killed by signal 9'
see 137 KILL aborts
says 'rank 1 was killed by signal 9'
see 3 ABRT exits # by which it may have made something of the other's end
says 'rank 0 exited with status 3'
see 7 ABRT aborts
says 'rank 0 aborted the job with status 7: cause'
# A table of what they did: the kernel's word of each, and that of those that have said something.
script works <<'E2'
case $HAUL_RANK in
0) exec tests/plain/rank say 17 0 'sent_eager 10
sent_pull 2
sent_pull_bytes 4294967296
received_pull 3
received_pull_bytes 100
received_push_bytes 11
polled_frames 77
sleeps 5
unknown 1
sent_push
sent_push x
sent_push -1
sent_push 99999999999999999999
sent_push 1 1' ;;
1) tests/plain/rank say 17 0 'sent_stream 1' && exec tests/plain/rank say 17 0 'sent_stream 1' ;;
2) i=0; while [ $i -lt 200000 ]; do i=$((i + 1)); done; printf "wanted: %s" "$HAUL_STATS" >&2 ;;
esac
E2
run 0 -n 3 --stats "$tmp/works"
[[ $(head -n 1 "$tmp/err") == 'wanted: 1' ]] || complain "ranks know that their counts are wanted"
table() { # row, its first columns
	[[ $(awk -v row="$1" '$1 == row { $9 = $10 = $11 = ""; print }' "$tmp/err" | sed 's/ *$//') == "$2" ]] ||
		complain "the row '$1' should be: $2"
}
table rank 'rank sent received bytes-sent bytes-received bytes-pulled frames-polled sleeps'
table 0 '0 12 3 4294967296 111 100 77 5'
table 1 '1 2 0 0 0 0 0 0'
table 2 '2 - - - - - - -'
table all 'all 14 3 4294967296 111 100 77 5'
awk '$1 == 2 && $9 + $10 > 0 && $11 > 100 { fine = 1 } END { exit !fine }' "$tmp/err" || complain "rank 2 has worked"
run 3 -n 2 --stats --grace-ms 100 sh -c '[ "$HAUL_RANK" = 0 ] || exit 3; sleep 50'
says 'rank 1 exited with status 3; the others were ended'
table all 'all - - - - - - -'
HAUL_STATS=1 run 0 sh -c 'echo "${HAUL_STATS-none}"'
printed none
# haul run has one socket for each rank, and no rank has one of another's.
script counts <<'E2'
sockets() { ls -l "/proc/$1/fd" | grep -c 'socket:'; }
[ "$HAUL_RANK" = 0 ] && exit
tests/plain/rank hear 1 >&2 # so all have started
[ "$HAUL_RANK" != $((HAUL_SIZE - 1)) ] && exec tests/plain/rank hear 1 >&2
echo $(($(sockets $PPID) - $(sockets $$)))
E2
run 0 -n 2 "$tmp/counts"
two=$(cat "$tmp/out")
run 0 -n 5 "$tmp/counts"
[[ $(cat "$tmp/out") -eq $((two + 3)) ]] || complain "it was $two with 2 ranks"

# ---- odd surroundings

fails() { # exit status wanted, a command
	local want=$1 status=0
	shift
	timeout 60 "$@" >"$tmp/out" 2>"$tmp/err" || status=$?
	[[ $status -eq $want ]] || complain "$*: exit status $status, not $want"
}
fails 0 bash -c 'tools/haul run -n 2 sh -c "echo said; sleep 0.2" <&- >&-'
fails 3 bash -c 'trap "" CHLD; exec tools/haul run -n 2 sh -c "exit 3"'
fails 74 bash -c 'tools/haul run sh -c "echo said >&2; sleep 50" 2>/dev/full'
fails 74 bash -c 'tools/haul run sh -c "echo said; sleep 50" >/dev/full'
fails 0 bash -c 'ulimit -Sn 64; tools/haul run -n 40 true'
fails 0 bash -c 'tools/haul run -n 2 sh -c "if [ \$HAUL_RANK = 0 ]; then printf foo; else sleep 1; echo bar >&2; fi" 2>&1'
printed foo bar
fails 124 tools/haul run --timeout 1 --grace-ms 100 sh -c 'yes & sleep 50'
fails 0 tools/haul run sh -c 'setsid sh -c "while echo on; do :; done" & sleep 0.2; exit 0'
mkfifo "$tmp/slow"
(sleep 2 && cat) <"$tmp/slow" >"$tmp/read" &
fails 0 bash -c 'tools/haul run --timeout 1 seq 30000 >"$0"' "$tmp/slow"
wait $!
[[ $(wc -l <"$tmp/read") -eq 30000 ]] || complain "what a slow reader has not read yet is kept for it"

# ---- nothing is left behind

# Each rank has a process of its own, and both hold the lock.
script holds <<'E2'
exec 9<"$1"
flock -s 9
sleep 50 &
echo held
sleep 50
E2
is_free() { # within 10 s
	timeout 10 flock -x "$tmp/lock" true || complain "$1"
}
touch "$tmp/lock"
true >"$tmp/out"
tools/haul run -n 3 "$tmp/holds" "$tmp/lock" >"$tmp/out" 2>"$tmp/err" &
launcher=$!
for ((i = 0; i < 200 && $(wc -l <"$tmp/out") < 3; i++)); do sleep 0.05; done
kill -KILL $launcher
wait $launcher 2>/dev/null || true
is_free "something outlives a haul run that was killed"
run 124 -n 3 --timeout 1 "$tmp/holds" "$tmp/lock"
is_free "something outlives its time"
run 1 -n 2 --grace-ms 100 sh -c '"$0" "$1" & [ "$HAUL_RANK" = 0 ] || sleep 1; exit "$HAUL_RANK"' "$tmp/holds" "$tmp/lock"
is_free "what a rank has started outlives it"

# Signals reach the ranks.
script asks <<'E2'
trap 'echo told; exit 0' USR1
echo ready
i=0
while [ $i -lt 1000 ]; do sleep 0.05; i=$((i + 1)); done
E2
true >"$tmp/out" # nothing of an earlier test's is waited for
tools/haul run -n 2 "$tmp/asks" >"$tmp/out" 2>"$tmp/err" &
launcher=$!
for ((i = 0; i < 200 && $(wc -l <"$tmp/out") < 2; i++)); do sleep 0.05; done
kill -USR1 $launcher
wait $launcher || complain "who ends well when told has not failed"
printed ready ready told told

exit $bad
