/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * For tests/test_doctor.sh: puts itself into an environment, or makes a process of a certain kind, and then
 * becomes the command it was given; the pid of that process is added to it. What was made dies with it.
 *
 *     enter filter ERRNO COMMAND...   process_vm_readv fails so, by a seccomp filter
 *     enter filter kill COMMAND...    it kills
 *     enter filter hang COMMAND...    it never returns
 *     enter write-filter ERRNO|kill|hang COMMAND...   the same of process_vm_writev
 *     enter landlock COMMAND...       a Landlock domain
 *     enter child COMMAND...          a child
 *     enter silent COMMAND...         a child, to read which never returns
 *     enter zombie COMMAND...         a child that is dead and not collected
 *     enter leaderless COMMAND...     a child whose main thread has left
 *     enter pause                     prints its pid and waits for the end of its standard input
 *
 * Exits with 77 where the machine cannot do it.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <err.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/refuse.h"

enum { CANNOT = 77 };

static pid_t fork_dying(void)
{
	pid_t parent = getpid(), pid = fork();
	if (pid < 0)
		err(1, "fork");
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(1);
	}
	return pid;
}

/* Never answers, and keeps the filter's descriptor open, which the command loses. */
static void hold(void)
{
	if (fork_dying() == 0)
		for (;;)
			pause();
}

/* Of calls that reach this process; 0: of all. */
static void filter(long call, const char *how, pid_t of)
{
	bool hang = strcmp(how, "hang") == 0;
	uint32_t action = hang         ? SECCOMP_RET_USER_NOTIF
	    : strcmp(how, "kill") == 0 ? SECCOMP_RET_KILL_PROCESS
	                               : SECCOMP_RET_ERRNO | (uint32_t)atoi(how);
	int fd = refuse_how(call, (uint32_t)of, action, hang ? SECCOMP_FILTER_FLAG_NEW_LISTENER : 0);
	if (fd < 0)
		errx(CANNOT, "no seccomp filter");
	if (hang) {
		hold();
		close(fd);
	}
}

static void landlock(void)
{
	uint64_t execute = 1; /* all of struct landlock_ruleset_attr that the first ABI had */
	long fd = syscall(444, &execute, sizeof(execute), 0);
	if (fd < 0)
		err(CANNOT, "landlock_create_ruleset");
	/* Execution is what it restricts, and then permits everywhere: it is there for the domain alone. */
	struct {
		uint64_t allowed;
		int32_t parent;
	} __attribute__((packed)) rule = { .allowed = execute };
	FILE *root = fopen("/", "r");
	if (root == NULL)
		err(1, "/");
	rule.parent = fileno(root);
	if (syscall(445, fd, 1, &rule, 0) != 0)
		err(1, "landlock_add_rule");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || syscall(446, fd, 0) != 0)
		err(CANNOT, "landlock_restrict_self");
	fclose(root);
	close((int)fd);
}

static void *stay(void *arg)
{
	pthread_t main_thread = *(pthread_t *)arg;
	pthread_join(main_thread, NULL);
	for (;;)
		pause();
	return NULL;
}

/* That a main thread has left can only be seen: nothing can be waited for as long as the process lives. */
static pid_t leaderless(void)
{
	static pthread_t main_thread;
	char path[64], text[512];
	pid_t pid = fork_dying();
	if (pid == 0) {
		pthread_t other;
		main_thread = pthread_self();
		if (pthread_create(&other, NULL, stay, &main_thread) != 0)
			_exit(1);
		pthread_exit(NULL);
	}
	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	do {
		FILE *f = fopen(path, "re");
		if (f == NULL)
			err(1, "%s", path);
		size_t n = fread(text, 1, sizeof(text) - 1, f);
		fclose(f);
		text[n] = '\0';
	} while (strstr(text, "State:\tZ") == NULL);
	return pid;
}

static pid_t zombie(void)
{
	pid_t pid = fork_dying();
	if (pid == 0)
		_exit(0);
	siginfo_t end;
	while (waitid(P_PID, (id_t)pid, &end, WEXITED | WNOWAIT) < 0)
		if (errno != EINTR)
			err(1, "waitid");
	return pid;
}

static pid_t child(void)
{
	pid_t pid = fork_dying();
	if (pid == 0)
		for (;;)
			pause();
	return pid;
}

static void wait_for_end_of_input(void) __attribute__((noreturn));
static void wait_for_end_of_input(void)
{
	char byte;
	printf("%d\n", (int)getpid());
	fflush(stdout);
	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
	exit(0);
}

static void become(char **command, pid_t pid) __attribute__((noreturn));
static void become(char **command, pid_t pid)
{
	char number[16], *argv[32];
	size_t n = 0;
	for (; command[n] != NULL; n++) {
		if (n == 30)
			errx(1, "too many words");
		argv[n] = command[n];
	}
	if (pid > 0) {
		snprintf(number, sizeof(number), "%d", (int)pid);
		argv[n++] = number;
	}
	argv[n] = NULL;
	execvp(argv[0], argv);
	err(1, "%s", argv[0]);
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	if (strcmp(what, "pause") == 0)
		wait_for_end_of_input();
	bool writes = strcmp(what, "write-filter") == 0, filters = writes || strcmp(what, "filter") == 0;
	if (argc < 3 || (filters && argc < 4))
		errx(64, "see its first comment");
	if (filters) {
		filter(writes ? SYS_process_vm_writev : SYS_process_vm_readv, argv[2], 0);
		become(argv + 3, 0);
	}
	if (strcmp(what, "landlock") == 0) {
		landlock();
		become(argv + 2, 0);
	}
	if (strcmp(what, "child") == 0)
		become(argv + 2, child());
	if (strcmp(what, "silent") == 0) {
		pid_t pid = child();
		filter(SYS_process_vm_readv, "hang", pid);
		become(argv + 2, pid);
	}
	if (strcmp(what, "zombie") == 0)
		become(argv + 2, zombie());
	if (strcmp(what, "leaderless") == 0)
		become(argv + 2, leaderless());
	errx(64, "'%s'? See its first comment", what);
}
