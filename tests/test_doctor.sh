#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# haul doctor says what is true, in environments that this script enters: its verdict, the transport, the layers it
# blames, its exit status. What takes root, or a machine that itself permits everything, is skipped without.
set -euo pipefail

if [[ -n ${HAUL_TEST_COVERAGE:-} ]]; then
	echo "a process that may not leave its counts says so in the middle of its output"
	exit 77
fi

out=$(mktemp)
dir=$(mktemp -d)
pauses=()
bad=0

clean() {
	local fd
	for fd in "${pauses[@]}"; do
		exec {fd}>&- # the end of its input
	done
	wait
	rm -rf "$out" "$dir"
}
trap clean EXIT

complain() { # what is wrong
	echo "$1; it printed:"
	cat "$out"
	bad=1
}

skip() { # why
	echo "skipped: $1"
}

says() { # what should be among the words
	grep -qF -- "$1" "$out" || complain "it should say '$1'"
}

silent() { # what should not
	! grep -qF -- "$1" "$out" || complain "it should not say '$1'"
}

# Programs rely on keys that are documented.
check_keys() {
	local key
	for key in $(sed -n 's/^ *"\([a-z_]*\)": .*/\1/p' "$out" | sort -u); do
		grep -qw -- "$key" "${srcdir:-.}/man/haul-doctor.1" ||
			complain "man/haul-doctor.1 does not have the key '$key'"
	done
}

# The keys of the whole are indented by 2, those of its blocked_by by 6.
verdict() { # exit status, verdict, layers in order (a pattern), command...
	local want=$1 word=$2 layers=$3 status=0 have
	shift 3
	timeout 120 "$@" >"$out" 2>&1 || status=$?
	if [[ $status -eq 77 || ($status -eq 1 && $(<"$out") == unshare:*) ]]; then
		skip "$* ($(head -n 1 "$out"))"
		return
	fi
	have=$(sed -n 's/^      "layer": "\(.*\)",$/\1/p' "$out" | paste -sd' ')
	[[ $status -eq $want ]] || complain "$*: exit status $status, not $want"
	grep -qxF "  \"verdict\": \"$word\"," "$out" || complain "$*: the verdict should be $word"
	[[ $have == $layers ]] || complain "$*: it blames '$have', not '$layers'"
	if command -v jq >/dev/null; then
		jq -e '.tries | length >= 0' "$out" >/dev/null || complain "$*: that is no JSON"
	fi
}

# What the last verdict says of it, "" for null. That is as good as said if the environment could not be entered.
transport() { # outbox, partly, socket or ""
	grep -q '^  "verdict"' "$out" || return 0
	local have
	have=$(sed -n 's/^  "transport": "\{0,1\}\([a-z]*\)"\{0,1\},$/\1/p' "$out")
	[[ ${have/null/} == "$1" ]] || complain "the transport should be '$1', not '$have'"
}

# ---- for everybody ----

status=0
tools/haul doctor -v >"$out" 2>&1 || status=$?
case $(sed -n 's/^verdict: \([a-z]*\).*/\1/p' "$out") in
pull) [[ $status -eq 0 ]] || complain "exit status $status" ;;
partly | stream) [[ $status -eq 1 ]] || complain "exit status $status" ;;
none) [[ $status -eq 2 ]] || complain "exit status $status" ;;
*) complain "there is no verdict" ;;
esac
says 'siblings of user'
says 'child reads parent'
says '  seccomp'
[[ $status -eq 2 ]] || grep -q '^transport: [a-z]*' "$out" || complain "there is no transport"
for wrong in '--pid=0' '--pid=-1' '--pid=none' '--nonsense' 'word'; do
	status=0
	tools/haul doctor "$wrong" >"$out" 2>&1 || status=$?
	[[ $status -eq 64 ]] || complain "haul doctor $wrong: exit status $status, not 64"
done

status=0
tools/haul doctor --json >"$out" 2>&1 || status=$?
if [[ $status -eq 69 ]]; then
	says 'built without jansson'
	echo 'skipped: the rest looks at JSON'
	exit $((bad ? 1 : 77))
fi
if [[ $(id -u) -ne 0 ]] || ! command -v setpriv unshare >/dev/null; then
	echo 'skipped: the rest takes root, setpriv and unshare'
	exit $((bad ? 1 : 77))
fi
if ! grep -qxF '  "verdict": "pull",' "$out" || ! grep -qxF '    "verdict": "pull",' "$out"; then
	echo 'skipped: the rest takes a machine that permits everything'
	exit $((bad ? 1 : 77))
fi

# ---- where others can run it, and their file can lack permissions ----

# tools/haul is libtool's wrapper, unless all is static.
program=tools/.libs/haul
[[ -x $program ]] || program=tools/haul
chmod 755 "$dir"
cp "$program" "$dir/haul"
cp -P .libs/libhaul.so* "$dir" 2>/dev/null || true
cp tests/plain/enter "$dir/enter"
for one in haul enter; do
	install -m 111 "$dir/$one" "$dir/$one-unreadable"
done
export LD_LIBRARY_PATH=$dir${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
haul="$dir/haul doctor --json"
unreadable="$dir/haul-unreadable doctor --json"
enter=$dir/enter
# env, because what setpriv itself starts counts as readable: it still has root's capabilities then.
nobody='setpriv --reuid 65534 --regid 65534 --clear-groups env'
if ! $nobody test -x "$dir/haul"; then
	echo "skipped: the rest takes a directory that user 65534 may enter"
	exit $((bad ? 1 : 77))
fi

# A process that waits. Its pid is in $pid.
start() { # a prefix, its words
	local in ready fd
	mkfifo "$dir/in" "$dir/ready"
	"$@" <"$dir/in" >"$dir/ready" 2>"$out" &
	pid=$!
	exec {fd}>"$dir/in"
	read -r ready <"$dir/ready" || ready=
	rm "$dir/in" "$dir/ready"
	pauses+=("$fd")
	[[ -n $ready ]]
}

# ---- what two processes can do here ----

verdict 0 pull '' $haul
transport outbox
[[ $(grep -c '"transport": "outbox"' "$out") -eq 10 ]] || complain "8 tries and 2 verdicts should have outboxes"
verdict 0 pull '' $nobody $haul
transport outbox
verdict 1 stream seccomp $enter filter 1 $haul
transport socket
silent '"transport": "outbox"'
says '(EPERM)'
check_keys
verdict 1 stream seccomp $nobody $enter filter 1 $haul
verdict 1 stream seccomp $enter filter 38 $haul
says '(ENOSYS)'
says '"certain": true'
verdict 2 none seccomp $enter filter kill $haul
transport ''
says 'kills whoever calls'
verdict 2 none seccomp $enter filter hang $haul
says 'does not answer'
for how in 1 kill hang; do
	verdict 0 pull '' $enter write-filter $how $haul
	transport socket
	silent '"transport": "outbox"'
	says 'process_vm_writev fails'
done
verdict 0 pull '' $enter landlock $haul
transport outbox
verdict 0 pull '' unshare -Ur $haul
verdict 2 none user-namespace unshare -U $haul
verdict 0 pull '' unshare -pf --mount-proc $haul
verdict 0 pull '' unshare -pf $haul
says '"proc": false'
verdict 0 pull '' unshare -Urpf --mount-proc $haul
verdict 1 stream dumpable $nobody $unreadable
transport socket
verdict 0 pull '' $unreadable

# As in a container without root: of the machine's users it knows some.
if start unshare -U "$enter" pause && command -v nsenter >/dev/null; then
	echo 0 0 65535 >"/proc/$pid/uid_map"
	echo 0 0 65535 >"/proc/$pid/gid_map"
	verdict 0 pull '' nsenter -U -t "$pid" -S 0 -G 0 $haul
	says '"uid_map": "0 0 65535"'
	says '"user": 65533'
else
	skip "a namespace with some users ($(head -n 1 "$out"))"
fi

# For people: what is wrong, in a line each.
$enter filter 1 "$dir/haul" doctor >"$out" 2>&1 || true
[[ $(sed 's/: .*//' "$out") == $'verdict\ntransport\nblocked by\nremedy' ]] || complain "four lines are enough"
unshare -Ur "$dir/haul" doctor >"$out" 2>&1 || true
grep -q '^unshare:' "$out" || says "note: root's rights may hide a refusal"

# What the environment tells programs it does not tell the doctor.
verdict 0 pull '' env HAUL_PATH=stream HAUL_TRANSPORT=socket HAUL_TWO_HANDED=nonsense HAUL_SPIN_US=nonsense \
	HAUL_EAGER_MAX=65536 HAUL_PTRACER=any HAUL_LOG=debug $haul
transport outbox
says '"haul_path": "stream"'
says '"haul_transport": "socket"'
HAUL_TRANSPORT=socket "$dir/haul" doctor >"$out" 2>&1 || true
says 'note: HAUL_TRANSPORT=socket is set here'
HAUL_TRANSPORT=outbox "$dir/haul" doctor >"$out" 2>&1 || true
silent 'note:'

# ---- what this process can do with another ----

verdict 0 pull '' $enter child $haul --pid
transport ''
says 'may read this one too'
verdict 0 pull '' $enter write-filter 1 $enter child $haul --pid
transport socket
verdict 0 pull '' $nobody $enter child $haul --pid
says '"descendant": true'
check_keys
verdict 2 none gone $enter zombie $haul --pid
transport ''
says 'is dead'
verdict 2 none gone $haul --pid 2147483647
says 'there is no process'
true &
gone=$!
wait $gone
verdict 2 none gone $haul --pid $gone
verdict 1 stream seccomp $enter silent $haul --pid
says 'does not come to an end'
transport socket
verdict 1 stream main-thread $enter leaderless $haul --pid
if [[ $(stat -c %u /proc/1) -eq 0 ]]; then
	verdict 1 stream 'user*' $nobody $haul --pid 1
fi

start "$enter" pause
verdict 0 pull '' $haul --pid "$pid"
verdict 1 stream 'user capabilities' $nobody $haul --pid "$pid"
verdict 1 stream user-namespace unshare -U $haul --pid "$pid"
verdict 1 stream user-namespace unshare -Ur $haul --pid "$pid"
verdict 1 stream 'landlock*' $enter landlock $haul --pid "$pid"
silent '"certain": true'
verdict 1 stream seccomp $enter filter 1 $haul --pid "$pid"
verdict 1 stream seccomp $enter filter hang $haul --pid "$pid"

start $nobody "$enter" pause
verdict 0 pull '' $nobody $haul --pid "$pid"
verdict 0 pull '' $haul --pid "$pid"
says 'takes the option admit'
verdict 1 stream user ${nobody//65534/65533} $haul --pid "$pid"
says 'uids 65534/65534/65534'
verdict 1 stream 'landlock*' $nobody $enter landlock $haul --pid "$pid"

start ${nobody/--regid 65534/--regid 65533} "$enter" pause
verdict 1 stream user $nobody $haul --pid "$pid"
says 'gids 65533/65533/65533'

start $nobody "$enter-unreadable" pause
verdict 1 stream dumpable $nobody $haul --pid "$pid"
verdict 0 pull '' $haul --pid "$pid"

start ${nobody% env} --inh-caps +net_raw --ambient-caps +net_raw "$enter" pause
verdict 1 stream capabilities $nobody $haul --pid "$pid"
says CAP_NET_RAW
verdict 0 pull '' $haul --pid "$pid"

# Whoever made a namespace has every right in it, but not the other way round, nor between two of them.
if start $nobody unshare -Ur "$enter" pause; then
	verdict 0 pull '' $haul --pid "$pid"
	verdict 0 pull '' $nobody $haul --pid "$pid"
	verdict 1 stream user-namespace $nobody unshare -Ur $haul --pid "$pid"
else
	skip "user namespaces of a user's own ($(head -n 1 "$out"))"
fi

if start unshare -pf "$enter" pause && read -r -d ' ' pid <"/proc/$pid/task/$pid/children"; then
	verdict 0 pull '' $haul --pid "$pid"
	says '"same_pid_ns": false'
else
	skip "pid namespaces ($(head -n 1 "$out"))"
fi

exit $bad
