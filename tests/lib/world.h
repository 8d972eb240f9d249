/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What may stand between two processes, by its real causes: one function each, that puts this process into it
 * for the rest of its life. For a child of the test (child.h), which goes on dying with the test whatever it
 * becomes. Knows nothing of haul.
 *
 * They return NULL, or the words why it can't be done on this machine, for cr_skip_test(). Anything else that
 * goes wrong fails the test.
 */
#ifndef HAUL_TESTS_LIB_WORLD_H
#define HAUL_TESTS_LIB_WORLD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* As a user without any rights: WORLD_USER, if this is root, whom the kernel refuses hardly anything; else as
 * who it is. Keeps these capabilities, a bit each, where it has them. Comes before what is below, unless that
 * takes root. */
enum { WORLD_USER = 12345, WORLD_OTHER = 12346 };
void world_become_plain(uint64_t capabilities);

/* From here on process_vm_readv(2) gives this error: a seccomp filter. */
const char *world_refuse_reads(int error);

/* Into a Landlock domain that forbids next to nothing. */
const char *world_enter_landlock(void);

/* Another user or group, real, effective and saved; takes CAP_SETUID or CAP_SETGID. What the kernel does
 * besides, which is to make the process undumpable, is undone. */
const char *world_become_user(uid_t uid);
const char *world_become_group(gid_t gid);

/* PR_SET_DUMPABLE. */
const char *world_forbid_dumps(void);

/* Gives up a capability that it has. */
const char *world_drop_capability(int capability);

/* Into a user namespace of its own, where it has the same ids as before, or none at all. */
const char *world_enter_user_namespace(bool mapped);

/* Into a pid namespace of its own, of which it is the first process; takes CAP_SYS_ADMIN, which a user namespace of
 * its own gives. It is a child of the calling process that goes on, and that one waits and exits as it does. */
const char *world_enter_pid_namespace(void);

/* Runs this program anew, with these arguments and an empty environment, from a copy of its file that may be
 * executed but not read; descriptors without close-on-exec stay open. The program should do something about it in
 * main(). Returns only if it can't be done. */
const char *world_run_unreadable(char *const argv[]);

/* Calls one of them in a process of its own, with no more capabilities than these or as root, to learn whether it
 * can be done: NULL, or words that last until the next call. A program run anew is to exit with 0. */
const char *world_try(const char *(*enter)(void), uint64_t capabilities, bool as_root);

#endif
