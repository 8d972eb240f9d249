/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Has the kernel refuse this process a system call from now on, as a sandbox does. By a filter of its own, for programs
 * with and without a test framework, which need no libseccomp for it.
 */
#ifndef HAUL_TESTS_LIB_REFUSE_H
#define HAUL_TESTS_LIB_REFUSE_H

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The call (SYS_*) ends in the action (SECCOMP_RET_*), if its first argument is this one, or with 0 for any. flags are
 * those of seccomp(2). What that returns, or -errno. */
static inline int refuse_how(long call, uint32_t first, uint32_t action, unsigned flags)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)call, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, first, 0, first == 0 ? 0 : 1),
		BPF_STMT(BPF_RET | BPF_K, action),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog filter = { .len = sizeof(code) / sizeof(code[0]), .filter = code };
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		return -errno;
	long rc = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &filter);
	return rc < 0 ? -errno : (int)rc;
}

/* The call fails with error, positive, in all threads. 0, or else it could not be done. Of several errors for one call
 * the last one counts. */
static inline int refuse_call(long call, int error)
{
	uint32_t action = SECCOMP_RET_ERRNO | ((uint32_t)error & SECCOMP_RET_DATA);
	return refuse_how(call, 0, action, SECCOMP_FILTER_FLAG_TSYNC);
}

#endif
