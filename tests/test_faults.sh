#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The fault trigger reaches everything: each libc function that the library calls is either wrapped by
# tests/lib/fault.c and named in fault.wrap, or it is listed here because it cannot fail in a way that matters.
set -euo pipefail
export LC_ALL=C

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

objects=(src/*/*.o)
if [[ ! -e ${objects[0]} ]]; then
	echo "there are no objects in $PWD/src"
	exit 1
fi

# Bytes, words and numbers, and what libc itself is told by.
harmless=" __assert_fail __errno_location __isoc99_sscanf __isoc23_sscanf __libc_current_sigrtmax
	__libc_single_threaded __sched_cpucount __stack_chk_fail memchr memcmp setvbuf memcpy memmove memset snprintf strchr
	expand_number qsort strcmp strncmp strerror strlcat strlcpy strlen strnlen strrchr strspn strtonum vsnprintf secure_getenv sigfillset
	environ sigaddset sigemptyset strsep unsetenv __snprintf_chk __vsnprintf_chk __memcpy_chk __memmove_chk __memset_chk __strlcpy_chk "
# The kernel has no way to refuse them, or the C library none to tell.
harmless+="arc4random_buf _exit clock_gettime fflush fflush_unlocked ftrylockfile funlockfile getegid geteuid getpid gettid pthread_self pthread_sigmask
	sched_getcpu sched_yield sysconf "
# They fail only where the caller is wrong: a mutex that is not its, a thread that was joined, a child that was reaped.
harmless+="kill posix_spawn_file_actions_destroy posix_spawn_file_actions_init posix_spawnattr_destroy
	posix_spawnattr_init posix_spawnattr_setflags posix_spawnattr_setsigdefault posix_spawnattr_setsigmask pthread_cond_clockwait pthread_cond_init pthread_cond_signal pthread_cond_wait pthread_join
	pthread_mutex_init pthread_mutex_lock pthread_mutex_trylock pthread_mutex_unlock "

# A sanitizer's and the linker's own names aside. Not by nm, which would look at what the objects hold for the linker to
# optimise, where malloc() is nobody's.
readelf -sW src/*/*.o >"$dir/symbols"
awk '$5 == "GLOBAL" && $7 == "UND" { print $8 }' "$dir/symbols" | sed 's/@.*//' |
	grep -vE '^(_GLOBAL_OFFSET_TABLE_|__(asan|ubsan|tsan|msan|sanitizer|gcov|llvm|sancov)_.*)$' |
	sort -u >"$dir/called"
awk '$5 == "GLOBAL" && $7 != "UND" { print $8 }' "$dir/symbols" | sort -u >"$dir/own"
sed 's/^--wrap=//' "${srcdir:-.}/tests/lib/fault.wrap" | sort -u >"$dir/named"
tr -s ' \t\n' '\n' <<<"$harmless" | sed '/^$/d' | sort -u >"$dir/harmless"

if grep -qE '^(fcntl|lstat|mmap|open)64' "$dir/called"; then
	echo "built with _FILE_OFFSET_BITS=64, whose names the fault trigger does not know"
	exit 77
fi

bad=0
complain() { # what, why
	echo "$1: $2"
	bad=1
}
for name in $(comm -23 "$dir/called" "$dir/own" | comm -23 - "$dir/harmless" | comm -23 - "$dir/named"); do
	complain "$name" "the library calls it, and the fault trigger neither wraps nor excuses it"
done
for name in $(comm -12 "$dir/named" "$dir/harmless"); do
	complain "$name" "both wrapped and excused"
done

# Wrapped and named are the same. Without Criterion the trigger was not built.
trigger=tests/lib/fault.o
if [[ -e $trigger ]]; then
	${NM:-nm} --defined-only -P $trigger | sed -n 's/^__wrap_\([^ ]*\) .*/\1/p' | sort -u >"$dir/wrapped"
	diff -u --label fault.wrap --label fault.c "$dir/named" "$dir/wrapped" || bad=1
fi
exit $bad
