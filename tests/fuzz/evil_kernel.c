/* SPDX-License-Identifier: BSD-3-Clause */
/* The kernel's part in what the context does to the evil peer's memory, in place of libc's: it may refuse. See evil.h. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* process_vm_writev */
#endif
#include <errno.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "fuzz/evil.h"

static struct evil *evil;
static int refusal;
static unsigned refusals_left;

void evil_refuse(int error, unsigned calls)
{
	refusal = error;
	refusals_left = calls;
}

void evil_is(struct evil *e)
{
	evil = e;
}

static bool is_within(uint64_t addr, const void *start, size_t len)
{
	return addr - (uintptr_t)start < len;
}

/* Whether it is the evil peer's memory that the context reaches for. */
static bool is_evils(const struct iovec *remote, unsigned long count, bool writing)
{
	bool is = false;
	for (unsigned long i = 0; evil != NULL && i < count; i++) {
		uint64_t addr = (uintptr_t)remote[i].iov_base;
		is = is || evil_outbox_is(evil, addr, writing, remote[i].iov_len) ||
		    is_within(addr, evil->arena, 2 * EVIL_ARENA) ||
		    is_within(addr, evil->cells, EVIL_CELLS * sizeof(*evil->cells)) ||
		    is_within(addr, evil->list, EVIL_LIST * sizeof(*evil->list)) ||
		    is_within(addr, &evil->answer, sizeof(evil->answer)) || addr < 4096 ||
		    addr >= (uint64_t)1 << 47;
	}
	return is;
}

static bool refused(const struct iovec *remote, unsigned long count, bool writing)
{
	if (!is_evils(remote, count, writing) || refusals_left == 0)
		return false;
	refusals_left--;
	errno = refusal;
	return true;
}

void *__asan_region_is_poisoned(void *at, size_t len) __attribute__((weak));

/* What the address sanitizer would see to. */
static void check(const struct iovec *iov, unsigned long count)
{
	for (unsigned long i = 0; __asan_region_is_poisoned != NULL && i < count; i++)
		claim(__asan_region_is_poisoned(iov[i].iov_base, iov[i].iov_len) == NULL);
}

ssize_t process_vm_readv(pid_t pid, const struct iovec *local, unsigned long local_count,
    const struct iovec *remote, unsigned long remote_count, unsigned long flags)
{
	check(local, local_count);
	if (refused(remote, remote_count, false))
		return -1;
	return syscall(SYS_process_vm_readv, pid, local, local_count, remote, remote_count, flags);
}

ssize_t process_vm_writev(pid_t pid, const struct iovec *local, unsigned long local_count,
    const struct iovec *remote, unsigned long remote_count, unsigned long flags)
{
	check(local, local_count);
	if (refused(remote, remote_count, true))
		return -1;
	return syscall(SYS_process_vm_writev, pid, local, local_count, remote, remote_count, flags);
}
