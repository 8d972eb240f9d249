#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# haul cat copies every byte on every path, and neither side takes a part for the whole: not when the other dies, stops,
# lies, or has no room.
# shellcheck disable=SC2016 # what is in single quotes is for another shell to expand
set -euo pipefail

tmp=$(mktemp -d)
trap 'jobs -p | xargs -r kill -KILL 2>/dev/null; rm -rf "$tmp"' EXIT
cat=(tools/haul cat)
liar=tests/plain/catpeer
chunk=$((1024 * 1024)) # CAT_CHUNK
bad=0
turn=0

complain() { # what is wrong
	echo "$1; the receiver said:"
	head -c 1000 "$tmp/receiver"
	echo "the sender said:"
	head -c 1000 "$tmp/sender"
	bad=1
}

skip() { # why
	echo "skipped: $1"
}

# Each pair has an address of its own.
next() {
	turn=$((turn + 1))
	address=@cat-test-$$-$turn
	truncate -s 0 "$tmp/out" "$tmp/receiver" "$tmp/sender"
}

# A process that was started here, with a deadline.
ended() { # pid, exit status wanted, who
	local status=0
	timeout 60 tail -s 0.02 --pid="$1" -f /dev/null || kill -KILL "$1"
	wait "$1" 2>/dev/null || status=$?
	[[ $status -eq $2 ]] || complain "the $3: exit status $status, not $2"
}

until_true() { # a condition, within 60 s
	local i
	for ((i = 0; i < 3000; i++)); do
		! eval "$1" || return 0
		sleep 0.02
	done
	complain "it never became true that $1"
}

# Each side in the background: $receiver, $sender. Arguments are its options.
listen() {
	"${listener[@]:-env}" "${cat[@]}" --listen "$@" "$address" >"${output:-$tmp/out}" 2>"$tmp/receiver" &
	receiver=$!
}
connect() {
	"${connector[@]:-env}" "${cat[@]}" --wait "$@" "$address" <"${input:-/dev/null}" 2>"$tmp/sender" &
	sender=$!
}
both() { # exit status of the receiver, of the sender, what they were told
	local receives=$1 sends=$2
	shift 2
	ended "$receiver" "$receives" "receiver ($*)"
	ended "$sender" "$sends" "sender ($*)"
}
copies() {
	next
	listen
	connect
	both 0 0
	cmp "${input:-/dev/null}" "$tmp/out" || complain "$input: what has come is not what was sent"
	[[ ! -s $tmp/receiver && ! -s $tmp/sender ]] || complain "$input: there was nothing to say"
}
receiver_says() {
	grep -qF -- "$1" "$tmp/receiver" || complain "the receiver should say '$1'"
}
sender_says() {
	grep -qF -- "$1" "$tmp/sender" || complain "the sender should say '$1'"
}

# ---- every byte, on every path

head -c $((5 * chunk + 1)) /dev/urandom >"$tmp/random"
sizes=(0 1 2048 2049 16384 16385 $((chunk - 1)) "$chunk" $((chunk + 1)) $((4 * chunk)) $((5 * chunk + 1)))
for size in "${sizes[@]}"; do
	head -c "$size" "$tmp/random" >"$tmp/in.$size"
done
every_size() {
	local size
	for size in "${sizes[@]}"; do
		input=$tmp/in.$size copies
	done
}
every_size
HAUL_PATH=stream every_size
HAUL_TRANSPORT=outbox every_size
HAUL_TWO_HANDED=on every_size
HAUL_PULL_HELPER=on input=$tmp/random copies
HAUL_EAGER_MAX=65536 input=$tmp/in.16385 copies
HAUL_EAGER_MAX=-1 input=$tmp/in.1 copies
status=0
tests/plain/enter filter 1 true || status=$?
if [[ $status -eq 0 ]]; then # whoever can't read the other
	listener=(tests/plain/enter filter 1)
	every_size
	unset listener
else
	skip "no seccomp filter"
fi

truncate -s $((256 << 20)) "$tmp/sparse"
echo end >>"$tmp/sparse"
input=$tmp/sparse copies
rm "$tmp/sparse"

# From where the file is at.
next
listen
{ dd bs=1 count=5 status=none >/dev/null && exec "${cat[@]}" --wait "$address"; } <"$tmp/random" 2>"$tmp/sender" &
sender=$!
both 0 0
cmp <(tail -c +6 "$tmp/random") "$tmp/out" || complain "it begins where the file is at"

# ---- pipes, terminals, descriptors of any kind

dribble() { # a file in pieces, some at once, some late
	local size
	for size in 1 7 511 4095 4096 4097 65535 65537 100003 262144 1 524289; do
		head -c "$size"
		[[ $size -ge 4096 ]] || sleep 0.02
	done
	cat
}
for path in auto stream; do
	export HAUL_PATH=$path
	next
	listen --sha256
	dribble <"$tmp/random" | "${cat[@]}" --wait "$address" 2>"$tmp/sender" &
	sender=$!
	both 0 0
	cmp "$tmp/random" "$tmp/out" || complain "odd pieces"
	# The last piece is not held back until there is more.
	mkfifo "$tmp/fifo.$path"
	next
	listen
	input=$tmp/fifo.$path connect
	exec {fifo}>"$tmp/fifo.$path"
	for word in one two three; do
		echo $word >&"$fifo"
		until_true "[[ \$(tail -n 1 '$tmp/out') == $word ]]"
	done
	exec {fifo}>&-
	both 0 0
	next
	listener=("$liar" nonblock) connector=("$liar" nonblock)
	"${listener[@]}" "${cat[@]}" --listen "$address" 2>"$tmp/receiver" | { sleep 0.2 && cat; } >"$tmp/out" &
	receiver=$!
	dribble <"$tmp/random" | "${connector[@]}" "${cat[@]}" --wait "$address" 2>"$tmp/sender" &
	sender=$!
	unset listener connector
	both 0 0
	cmp "$tmp/random" "$tmp/out" || complain "non-blocking descriptors"
done
unset HAUL_PATH

# Stopped and continued.
next
mkfifo "$tmp/fifo"
listen
input=$tmp/fifo connect
for ((i = 0; i < 10; i++)); do
	head -c 100000 /dev/zero
	kill -STOP $receiver $sender
	kill -CONT $receiver $sender
done >"$tmp/fifo"
both 0 0
[[ $(tr -d '\0' <"$tmp/out" | wc -c) -eq 0 && $(wc -c <"$tmp/out") -eq 1000000 ]] || complain "stopped and continued"

# The address may be a file, of which nothing stays, or a socket that somebody else has opened.
next
address=$tmp/socket
listen
until_true "[[ -S $tmp/socket ]]"
input=$tmp/random connect
both 0 0
cmp "$tmp/random" "$tmp/out" || complain "by a socket file"
[[ ! -e $tmp/socket ]] || complain "a socket file is left behind"
next
$liar listening "${address#@}" "${cat[@]}" --listen fd:3 >"$tmp/out" 2>"$tmp/receiver" &
receiver=$!
input=$tmp/random connect
both 0 0
cmp "$tmp/random" "$tmp/out" || complain "by a socket of somebody else"

# ---- the checksum

digest=$(sha256sum <"$tmp/random")
has_sum=1
next
"${cat[@]}" --sha256 $address 2>"$tmp/sender" </dev/null || [[ $? -ne 69 ]] || ! grep -q libmd "$tmp/sender" || has_sum=0
if [[ $has_sum -eq 1 ]]; then
	for who in both receiver sender; do
		next
		if [[ $who == sender ]]; then listen; else listen --sha256; fi
		if [[ $who == receiver ]]; then input=$tmp/random connect; else input=$tmp/random connect --sha256; fi
		both 0 0
		for file in receiver sender; do
			[[ ($who != both && $who != "$file") || $(<"$tmp/$file") == "$digest" ]] ||
				complain "the $file should print the checksum"
		done
	done
	next
	listen --sha256
	connect
	both 0 0
	[[ $(<"$tmp/receiver") == "$(sha256sum </dev/null)" ]] || complain "the checksum of nothing"
else
	skip "no libmd"
fi

# ---- half of it

# The sender dies; the receiver has written what had come, and says that it is not all.
for path in auto stream; do
	next
	HAUL_PATH=$path listen
	HAUL_PATH=$path input=$tmp/fifo connect
	exec {fifo}>"$tmp/fifo"
	cat "$tmp/random" >&"$fifo"
	until_true "[[ \$(wc -c <'$tmp/out') -eq $((5 * chunk + 1)) ]]"
	kill -KILL $sender
	both 1 137
	exec {fifo}>&-
	cmp "$tmp/random" "$tmp/out" || complain "what had come was written"
	receiver_says "the sender died, after $((5 * chunk + 1)) bytes"
	# In the middle of many.
	next
	mkfifo "$tmp/slow.$path"
	HAUL_PATH=$path output=$tmp/slow.$path listen
	HAUL_PATH=$path input=/dev/zero connect
	exec {slow}<"$tmp/slow.$path"
	head -c 100000 <&"$slow" >/dev/null
	kill -KILL $sender
	cat <&"$slow" >/dev/null
	both 1 137
	exec {slow}<&-
	receiver_says "the sender died, after"
done

# The receiver dies: while the sender has nothing to send, and while it has too much.
for path in auto stream; do
	next
	HAUL_PATH=$path listen
	HAUL_PATH=$path input=$tmp/fifo connect
	exec {fifo}>"$tmp/fifo"
	echo hello >&"$fifo"
	until_true "[[ -s $tmp/out ]]"
	kill -KILL $receiver
	both 137 1
	exec {fifo}>&-
	sender_says "the receiver died"
	next
	HAUL_PATH=$path output=$tmp/slow.$path listen
	HAUL_PATH=$path input=/dev/zero connect
	exec {slow}<"$tmp/slow.$path"
	head -c 100000 <&"$slow" >/dev/null
	kill -KILL $receiver
	both 137 1
	exec {slow}<&-
	sender_says "the receiver died"
done

# Before they have met, and by signals that ask.
next
address=$tmp/socket
for signal in INT TERM HUP; do
	bash -c 'trap - INT; exec "$@"' - env --default-signal=INT,TERM,HUP "${cat[@]}" --listen "$address" >"$tmp/out" 2>"$tmp/receiver" &
	receiver=$!
	until_true "[[ -S $tmp/socket ]]"
	kill -$signal $receiver
	ended $receiver $((128 + $(kill -l $signal))) "receiver, SIG$signal"
	[[ ! -e $tmp/socket ]] || complain "a socket file is left behind by SIG$signal"
done
next
listen
input=$tmp/fifo connect
exec {fifo}>"$tmp/fifo"
echo hello >&"$fifo"
until_true "[[ -s $tmp/out ]]"
kill -TERM $receiver
both 143 1
exec {fifo}>&-

# Stopped.
next
listen
until_true "grep -q '$address' /proc/net/unix"
input=/dev/zero connect --timeout 1
until_true "[[ -s $tmp/out ]]"
kill -STOP $receiver
ended $sender 124 sender
kill -KILL $receiver
ended $receiver 137 receiver
sender_says "the receiver has done nothing for 1 s"
next
listen --timeout 1
input=$tmp/fifo connect
exec {fifo}>"$tmp/fifo"
echo hello >&"$fifo"
until_true "[[ -s $tmp/out ]]"
kill -STOP $sender
ended $receiver 124 receiver
kill -CONT $sender
ended $sender 124 sender # which was told
exec {fifo}>&-
receiver_says "the sender has done nothing for 1 s"
sender_says "the receiver: the sender has done nothing for 1 s, after 6 bytes"

# ---- no room, nobody who reads, nothing to be read

next
output=/dev/full listen
input=$tmp/random connect
both 74 74
receiver_says "standard output: No space left on device"
sender_says "the receiver: standard output: No space left on device"
next
output=/dev/full listen
connect
both 0 0 # of nothing there is no end
if unshare -m true 2>/dev/null; then
	next
	mkdir "$tmp/small"
	unshare -m bash -c 'mount -t tmpfs -o size=1m none "$0" && exec "$@" >"$0/out"' "$tmp/small" \
		"${cat[@]}" --listen "$address" 2>"$tmp/receiver" &
	receiver=$!
	input=$tmp/random connect
	both 74 74
	sender_says "the receiver: standard output: No space left on device"
else
	skip "no mount namespace"
fi

unread() { # exit status of a receiver whose output nobody reads any more, what its shell does first
	local want=$1 status
	shift
	next
	(
		"$@"
		set +o pipefail
		"${cat[@]}" --listen "$address" 2>"$tmp/receiver" | head -c 1 >"$tmp/out"
		echo "${PIPESTATUS[0]}" >"$tmp/status"
	) &
	receiver=$!
	input=/dev/zero connect
	both 0 74
	status=$(<"$tmp/status")
	[[ $status -eq $want ]] || complain "nobody reads, after '$*': exit status $status, not $want"
}
unread 141 : # SIGPIPE, as of cat
[[ ! -s $tmp/receiver ]] || complain "who is ended by SIGPIPE says nothing"
sender_says "the receiver: standard output: Broken pipe"
unread 74 trap '' PIPE
receiver_says "standard output: Broken pipe"
next
listen
input=$tmp connect
both 74 74
sender_says "standard input: Is a directory"
receiver_says "the sender: standard input: Is a directory"
status=0
"${cat[@]}" $address <&- 2>"$tmp/sender" || status=$?
[[ $status -eq 74 ]] || complain "without a standard input: $status"
status=0
"${cat[@]}" --listen "$address" >&- 2>"$tmp/receiver" || status=$?
[[ $status -eq 74 ]] || complain "without a standard output: $status"

# ---- nobody there, or somebody else

fails() { # exit status wanted, words, arguments
	local want=$1 words=$2 status=0
	shift 2
	: >"$tmp/receiver"
	timeout 60 "${cat[@]}" "$@" </dev/null >"$tmp/out" 2>"$tmp/sender" || status=$?
	[[ $status -eq $want ]] || complain "haul cat $*: exit status $status, not $want"
	sender_says "$words"
}
next
fails 69 "$address" "$address"
fails 69 "$tmp/none" "$tmp/none"
fails 69 "$tmp/random" --listen "$tmp/random"
fails 124 "nobody came within 1 s" --listen --timeout 1 "$address"
fails 69 "$address" --timeout 5 "$address"
fails 124 "nobody answered within 1 s" --wait --timeout 1 "$address"
fails 64 'which address?'
fails 64 'one address' @a @b
fails 64 "'0' is too small" --timeout 0 @a
fails 64 '--wait' --listen --wait @a
fails 64 '' ''
fails 64 "$(printf '%0200d' 0)" "/$(printf '%0200d' 0)"
fails 64 fd:x fd:x
HAUL_PATH=nowhere fails 64 HAUL_PATH @a
# Another one, while the first is served.
listen
input=$tmp/fifo connect
exec {fifo}>"$tmp/fifo"
echo hello >&"$fifo"
until_true "[[ -s $tmp/out ]]"
status=0
"${cat[@]}" $address </dev/null 2>"$tmp/third" || status=$?
[[ $status -eq 69 ]] || complain "nobody listens for a third: $status"
exec {fifo}>&-
both 0 0
# Both at once: one is served, the other one not.
next
listen
input=$tmp/random connect --timeout 2
first=$sender
input=$tmp/random connect --timeout 2
status=0
wait $first || status=$?
other=0
wait $sender || other=$?
((status == 0 ? other != 0 : other == 0)) || complain "of two senders one is served: $status, $other"
ended $receiver 0 receiver
cmp "$tmp/random" "$tmp/out" || complain "of two senders one"
# A second listener.
next
listen
until_true "grep -q '$address' /proc/net/unix"
fails 69 "in use" --listen "$address"
kill $receiver
ended $receiver 143 receiver
# Another user.
if setpriv --reuid 65534 --clear-groups tools/haul --version >/dev/null 2>&1; then
	next
	listen
	until_true "grep -q '$address' /proc/net/unix"
	status=0
	setpriv --reuid 65534 --clear-groups "${cat[@]}" $address <"$tmp/random" 2>"$tmp/sender" || status=$?
	[[ $status -eq 77 ]] || complain "another user: exit status $status, not 77"
	sender_says "user"
	[[ ! -s $tmp/out ]] || complain "another user is not read from"
	input=$tmp/random connect
	both 0 0
	cmp "$tmp/random" "$tmp/out" || complain "the next one is served"
else
	skip "no other user"
fi

# ---- liars

lies_to_receiver() { # lie, exit status wanted, words
	next
	listen
	until_true "grep -q '$address' /proc/net/unix"
	timeout 60 $liar sender "$1" $address </dev/null 2>"$tmp/sender" || true
	ended $receiver "$2" "receiver that was told $1"
	[[ -z $3 ]] || receiver_says "$3"
}
lies_to_sender() { # the same
	next
	timeout 60 $liar receiver "$1" $address </dev/null 2>"$tmp/receiver" &
	receiver=$!
	printf 'hello\n' >"$tmp/hello"
	input=$tmp/hello connect
	ended $sender "$2" "sender that was told $1"
	sender_says "$3"
	wait $receiver || true
}
if [[ $has_sum -eq 1 ]]; then
	lies_to_receiver none 0 ''
	for both in receiver sender; do
		lies_to_$both magic 76 'no haul cat'
		lies_to_$both version 76 'another version'
		lies_to_$both brief 76 'no haul cat'
		lies_to_$both longer 76 'no haul cat'
		lies_to_$both rude 76 'no haul cat'
		lies_to_$both silent 1 'left'
		lies_to_$both greets 1 'left'
		lies_to_$both tag 76 'no haul cat of this version'
		lies_to_$both again 76 'no haul cat of this version'
		lies_to_$both empty 76 'no haul cat of this version'
		lies_to_$both huge 76 'no haul cat of this version'
	done
	lies_to_receiver count 65 '6 bytes have come, but 7 were sent'
	lies_to_receiver sum 65 'checksums differ'
	lies_to_receiver cut 76 'no haul cat of this version'
	lies_to_receiver escape 33 'the sender: ???'
	lies_to_receiver status 76 'the sender: nonsense'
	lies_to_sender miscount 65 '6 bytes were sent, but 5 have come'
	lies_to_sender missum 65 'checksums differ'
	lies_to_sender moan 33 'the receiver: it?hurts'
	# All is written, says the receiver, when it is not even sent.
	next
	timeout 60 $liar receiver early $address </dev/null 2>"$tmp/receiver" &
	receiver=$!
	input=/dev/zero connect
	ended $sender 76 'sender that was told early'
	wait $receiver || true
fi

# ---- how far it is

next
listen --progress
input=$tmp/random connect --progress
both 0 0
for file in receiver sender; do
	grep -q $'\r5.0 MiB in [0-9.]* s, .*B/s' "$tmp/$file" || complain "the $file should show how far it is"
done
next
listen
input=$tmp/random connect
both 0 0
[[ ! -s $tmp/sender ]] || complain "it shows nothing to a file"
# Also while nothing comes.
next
listen --progress
input=$tmp/fifo connect --progress
exec {fifo}>"$tmp/fifo"
echo hello >&"$fifo"
until_true "grep -q '6 B, ' '$tmp/receiver' && grep -q '6 B, ' '$tmp/sender'"
exec {fifo}>&-
both 0 0
if command -v script >/dev/null; then
	next
	listen
	script -qec "tools/haul cat --wait $address <$tmp/random" /dev/null </dev/null >"$tmp/sender" 2>&1 || complain "on a terminal"
	ended $receiver 0 receiver
	grep -q '5.0 MiB in ' "$tmp/sender" || complain "it shows how far it is on a terminal"
	next
	listen
	script -qec "tools/haul cat --no-progress --wait $address <$tmp/random" /dev/null </dev/null >"$tmp/sender" 2>&1 || complain "on a terminal"
	ended $receiver 0 receiver
	[[ ! -s $tmp/sender ]] || complain "it shows nothing if it is not to"
else
	skip "no script(1)"
fi

exit $bad
