/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Starting workers: what one gets and what it does not, and every way in which it may not come about. What becomes
 * of one later is test_spawn_life.c.
 */
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/asleep.h"
#include "lib/child.h"
#include "lib/fds.h"
#include "lib/hire.h"
#include "lib/must.h"
#include "lib/pairing.h"
#include "lib/pattern.h"
#include "lib/talk.h"

TestSuite(spawn, .timeout = 120);

enum { SOON_MS = 50, LEN = 4 << 20, TEXT = 8192, TAG = 1, TIMES = 16 };

/* ---- roles ---- */

static void send_text(struct haul_peer *p, const char *text)
{
	must_be(haul_send(p, TAG, text, strlen(text) + 1, PATIENCE_MS), 0);
}

static int echo(void)
{
	struct haul *h;
	struct haul_peer *parent = hire_inherit(&h);
	struct haul_peer_info i;
	unsigned char *buf = room_for(LEN);
	ssize_t n;
	must_be(haul_peer_info(parent, &i, sizeof(i)), 0);
	must_be(i.pid, getppid());
	must_be(i.worker, 0);
	while ((n = haul_recv(h, NULL, buf, LEN, PATIENCE_MS, NULL)) >= 0)
		must_be(haul_send(parent, TAG, buf, (size_t)n, PATIENCE_MS), 0);
	must_be(n, -EPIPE);
	haul_close(h, 0);
	free(buf);
	return 0;
}

/* "number=what it is" for each descriptor, rising, but for the one that a list of them takes. */
static void list_descriptors(char *text, size_t size)
{
	*text = '\0';
	for (int fd = 0; fd < 1024; fd++) {
		char path[32], what[256];
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		ssize_t n = readlink(path, what, sizeof(what) - 1);
		if (n < 0)
			continue;
		what[n] = '\0';
		size_t len = strlen(text);
		snprintf(text + len, size - len, "%d=%s\n", fd, what);
	}
}

static int list(void)
{
	char text[TEXT];
	struct haul *h;
	list_descriptors(text, sizeof(text));
	struct haul_peer *parent = hire_inherit(&h);
	send_text(parent, text);
	must_be(haul_close(h, PATIENCE_MS), 0);
	return 0;
}

/* What it finds of its environment, directory and signals. */
static int tell(void)
{
	char text[TEXT], cwd[PATH_MAX];
	const char *fd = getenv("HAUL_FD"), *extra = getenv("EXTRA");
	sigset_t mask;
	struct sigaction pipe, child, usr1, usr2;
	unsigned vars = 0, blocked = 0;
	struct haul *h;
	for (char **e = environ; *e != NULL; e++)
		vars += strncmp(*e, "HAUL_FD=", 8) == 0;
	sigprocmask(SIG_SETMASK, NULL, &mask);
	for (int s = 1; s < NSIG; s++)
		blocked += sigismember(&mask, s) == 1;
	sigaction(SIGPIPE, NULL, &pipe);
	sigaction(SIGCHLD, NULL, &child);
	sigaction(SIGUSR1, NULL, &usr1);
	sigaction(SIGUSR2, NULL, &usr2);
	must(fd != NULL && getcwd(cwd, sizeof(cwd)) != NULL);
	struct haul_peer *parent = hire_inherit(&h);
	must(getenv("HAUL_FD") == NULL);
	snprintf(text, sizeof(text), "HAUL_FD %u, EXTRA %s, cwd %s, blocked %u, default %d %d %d, ignored %d",
	    vars, extra != NULL ? extra : "none", cwd, blocked, pipe.sa_handler == SIG_DFL,
	    child.sa_handler == SIG_DFL, usr2.sa_handler == SIG_DFL, usr1.sa_handler == SIG_IGN);
	send_text(parent, text);
	must_be(haul_close(h, PATIENCE_MS), 0);
	return 0;
}

/* Its own child must find no connection to take. */
static int beget(void)
{
	struct haul *h;
	struct haul_peer *parent = hire_inherit(&h);
	pid_t child = fork();
	int status;
	if (child == 0) {
		struct haul *mine;
		struct haul_peer *p;
		must_be(haul_open(&mine, NULL, 0), 0);
		must_be(haul_inherit(mine, PATIENCE_MS, &p), -ENOENT);
		_exit(5);
	}
	must_be(waitpid(child, &status, 0), child);
	must_be(WEXITSTATUS(status), 5);
	send_text(parent, "none");
	must_be(haul_close(h, PATIENCE_MS), 0);
	return 0;
}

static const struct role roles[] = { { "echo", echo }, { "list", list }, { "tell", tell },
	{ "beget", beget } };

static void __attribute__((constructor)) begin(void)
{
	hire_roles(roles, sizeof(roles) / sizeof(roles[0]));
}

/* ---- those that come about ---- */

static char *const anew[] = { (char *)"/proc/self/exe", NULL };

static struct haul *open_context(void)
{
	struct haul *h;
	must_be(haul_open(&h, NULL, 0), 0);
	return h;
}

/* Says goodbye to a worker, whose role then ends well. */
static void dismiss(struct haul_peer *p)
{
	struct haul_peer_info i;
	int status;
	must_be(haul_peer_info(p, &i, sizeof(i)), 0);
	must(i.worker > 0);
	haul_peer_close(p, PATIENCE_MS);
	must_be(waitpid(i.worker, &status, 0), i.worker);
	must(WIFEXITED(status));
	must_be(WEXITSTATUS(status), 0);
}

static struct haul_peer *start(struct haul *h, const char *role, const struct haul_spawn *s)
{
	struct haul_peer *p;
	hire_as(role);
	must_be(haul_spawn(h, s, sizeof(*s), PATIENCE_MS, &p), 0);
	hire_as(NULL);
	return p;
}

static void receive_text(struct haul *h, struct haul_peer *p, char text[TEXT])
{
	struct haul_match m = { .from = p, .tag = TAG };
	must(haul_recv(h, &m, text, TEXT, PATIENCE_MS, NULL) > 0);
}

Test(spawn, a_worker_answers_messages_of_all_sizes)
{
	static const size_t sizes[] = { 0, 1, 5000, LEN };
	int fds = fds_count();
	struct haul *h = open_context();
	struct haul_peer *p = hire(h, "echo");
	struct haul_peer_info i;
	must_be(haul_peer_info(p, &i, sizeof(i)), 0);
	must_be(i.pid, i.worker);
	for (size_t at = 0; at < sizeof(sizes) / sizeof(sizes[0]); at++) {
		unsigned char *out = filled(sizes[at], at + 1), *in = room_for(sizes[at]);
		must_be(haul_send(p, TAG, out, sizes[at], PATIENCE_MS), 0);
		must_be(haul_recv(h, NULL, in, sizes[at], PATIENCE_MS, NULL), sizes[at]);
		must_hold(in, sizes[at], at + 1, 0);
		free(out);
		free(in);
	}
	dismiss(p);
	must_be(haul_close(h, 0), 0);
	must(hire_has_none());
	fds_expect(fds);
}

/* "number=what", of ours, as another process would see it. */
static void expect_line(const char *text, int number, int ours)
{
	char path[32], what[256], line[300];
	snprintf(path, sizeof(path), "/proc/self/fd/%d", ours);
	ssize_t n = readlink(path, what, sizeof(what) - 1);
	must(n > 0);
	what[n] = '\0';
	snprintf(line, sizeof(line), "%d=%s\n", number, what);
	must_note(text);
	must(strstr(text, line) != NULL);
}

static unsigned count_lines(const char *text)
{
	unsigned n = 0;
	for (; (text = strchr(text, '\n')) != NULL; text++)
		n++;
	return n;
}

Test(spawn, a_worker_gets_what_is_passed_by_its_numbers_and_nothing_else)
{
	char text[TEXT];
	int pipes[3][2], stray;
	struct haul *h = open_context();
	for (int i = 0; i < 3; i++)
		must_be(pipe(pipes[i]), 0); /* none close-on-exec */
	must((stray = fcntl(pipes[0][0], F_DUPFD, 300)) >= 300);
	struct haul_spawn_fd fds[] = {
		{ pipes[0][0], pipes[1][0] }, { pipes[1][0], pipes[0][0] }, /* crossed */
		{ pipes[2][1], 0 }, { pipes[0][1], HAUL_SPAWN_FDS - 1 }, { pipes[0][1], 3 },
		{ pipes[1][1], pipes[1][1] } /* to itself */
	};
	struct haul_spawn s = { .argv = anew, .fds = fds, .fd_count = 6 };
	must(pipes[0][0] > 3 && stray < 1024);
	struct haul_peer *p = start(h, "list", &s);
	receive_text(h, p, text);
	for (int i = 0; i < 6; i++)
		expect_line(text, fds[i].as, fds[i].fd);
	expect_line(text, 1, 1);
	expect_line(text, 2, 2);
	must_be(count_lines(text), 6 + 2 + 1); /* and the connection */
	must(strstr(text, "\n4=socket:") != NULL);
	dismiss(p);
	for (int i = 0; i < 3; i++)
		must_be(close(pipes[i][0]) | close(pipes[i][1]), 0); /* still ours */
	close(stray);
	must_be(haul_close(h, 0), 0);
}

/* Each thread's workers get one pipe of it; none of the other's. */
static void *start_many(void *arg)
{
	struct haul *h = arg;
	for (int i = 0; i < TIMES; i++) {
		char text[TEXT];
		int ends[2];
		struct haul_peer *p;
		must_be(pipe2(ends, O_CLOEXEC), 0);
		struct haul_spawn_fd fd = { ends[1], 5 };
		struct haul_spawn s = { .argv = anew, .fds = &fd, .fd_count = 1 };
		must_be(haul_spawn(h, &s, sizeof(s), PATIENCE_MS, &p), 0);
		receive_text(h, p, text);
		expect_line(text, 5, ends[1]);
		must_be(count_lines(text), 3 + 2);
		dismiss(p);
		close(ends[1]);
		char c;
		must_be(read(ends[0], &c, 1), 0); /* nobody holds the other end */
		close(ends[0]);
	}
	return NULL;
}

Test(spawn, two_threads_that_spawn_at_once_leak_nothing_into_each_others_workers)
{
	int fds = fds_count();
	struct haul *h = open_context();
	pthread_t other;
	hire_as("list");
	must_be(pthread_create(&other, NULL, start_many, h), 0);
	start_many(h);
	must_be(pthread_join(other, NULL), 0);
	hire_as(NULL);
	must_be(haul_close(h, 0), 0);
	fds_expect(fds);
}

static void handler(int number)
{
	(void)number;
}

Test(spawn, a_worker_starts_with_no_signal_blocked_and_the_usual_dispositions)
{
	char text[TEXT], cwd[PATH_MAX], want[TEXT];
	sigset_t all, before;
	struct haul *h = open_context();
	struct haul_spawn s = { .argv = anew };
	must(getcwd(cwd, sizeof(cwd)) != NULL);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGUSR1, SIG_IGN);
	signal(SIGUSR2, handler);
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	struct haul_peer *p = start(h, "tell", &s);
	sigprocmask(SIG_SETMASK, &before, NULL);
	receive_text(h, p, text);
	snprintf(want, sizeof(want), "HAUL_FD 1, EXTRA none, cwd %s, blocked 0, default 1 1 1, ignored 1",
	    cwd);
	cr_assert_str_eq(text, want);
	dismiss(p);
	must_be(haul_close(h, 0), 0);
}

Test(spawn, a_worker_has_the_environment_and_the_directory_that_were_given)
{
	char text[TEXT], role[] = "HAUL_TEST_ROLE=tell", extra[] = "EXTRA=more", stale[] = "HAUL_FD=1:2";
	char *envp[] = { stale, role, extra, NULL };
	struct haul *h = open_context();
	struct haul_spawn s = { .argv = anew, .envp = envp, .cwd = "/usr" };
	struct haul_peer *p;
	must_be(haul_spawn(h, &s, sizeof(s), PATIENCE_MS, &p), 0);
	receive_text(h, p, text);
	must_note(text);
	must(strstr(text, "HAUL_FD 1, EXTRA more, cwd /usr,") != NULL);
	must(envp[0] == stale && envp[3] == NULL);
	dismiss(p);
	must_be(haul_close(h, 0), 0);
}

Test(spawn, a_relative_program_is_looked_for_in_the_new_directory)
{
	char dir[PATH_MAX], base[PATH_MAX];
	snprintf(dir, sizeof(dir), "%s", hire_program());
	char *slash = strrchr(dir, '/');
	*slash = '\0';
	snprintf(base, sizeof(base), "./%s", slash + 1);
	char *argv[] = { base, NULL };
	struct haul *h = open_context();
	struct haul_spawn s = { .argv = argv, .cwd = dir };
	dismiss(start(h, "echo", &s));
	must_be(haul_close(h, 0), 0);
}

Test(spawn, no_child_of_a_worker_takes_its_connection)
{
	char text[TEXT];
	struct haul *h = open_context();
	struct haul_peer *p = hire(h, "beget");
	receive_text(h, p, text);
	dismiss(p);
	must_be(haul_close(h, 0), 0);
}

Test(spawn, a_shell_may_start_the_worker_and_is_what_is_reaped)
{
	char *argv[] = { (char *)"sh", (char *)"-c", (char *)"\"$0\"; exit 42", (char *)hire_program(),
		NULL };
	struct haul *h = open_context();
	struct haul_spawn s = { .argv = argv };
	struct haul_peer *p = start(h, "list", &s);
	struct haul_peer_info i;
	int status;
	char text[TEXT];
	must_be(haul_peer_info(p, &i, sizeof(i)), 0);
	must(i.pid != i.worker && i.worker > 0);
	receive_text(h, p, text);
	must_be(count_lines(text), 4);
	must_be(haul_peer_reap(p, PATIENCE_MS, &status), 0);
	must_be(WEXITSTATUS(status), 42);
	haul_peer_close(p, 0);
	must_be(haul_close(h, 0), 0);
}

/* ---- those that don't ---- */

static void expect_words(const char *part)
{
	must_note(haul_reason());
	must(strstr(haul_reason(), part) != NULL);
}

static int try_program(struct haul *h, const char *program, const char *cwd)
{
	char *argv[] = { (char *)program, NULL };
	struct haul_spawn s = { .argv = argv, .cwd = cwd };
	return hire_in_vain(h, &s, PATIENCE_MS);
}

Test(spawn, a_program_that_is_missing_or_none_is_an_error_that_names_it)
{
	struct haul *h = open_context();
	must_be(try_program(h, "/no/such/program", NULL), -ENOENT);
	expect_words("/no/such/program");
	must_be(try_program(h, "no-such-program-on-path", NULL), -ENOENT);
	expect_words("no-such-program-on-path");
	must_be(try_program(h, "/etc/passwd", NULL), -EACCES);
	expect_words("/etc/passwd");
	must_be(haul_close(h, 0), 0);
}

Test(spawn, a_directory_that_is_missing_or_none_is_an_error_that_names_it)
{
	struct haul *h = open_context();
	must_be(try_program(h, "/bin/true", "/no/such/directory"), -ENOENT);
	expect_words("directory /no/such/directory");
	must_be(try_program(h, "/bin/true", "/etc/passwd"), -ENOTDIR);
	expect_words("directory /etc/passwd");
	must_be(haul_close(h, 0), 0);
}

static int run_shell(struct haul *h, const char *script, int timeout_ms)
{
	char *argv[] = { (char *)"sh", (char *)"-c", (char *)script, NULL };
	struct haul_spawn s = { .argv = argv };
	return hire_in_vain(h, &s, timeout_ms);
}

Test(spawn, a_worker_that_ends_before_it_inherits_is_an_error_at_once_that_tells_how)
{
	struct haul *h = open_context();
	must_be(run_shell(h, "exit 3", -1), -ECONNRESET);
	expect_words("exited with status 3");
	must_be(run_shell(h, "kill -KILL $$", -1), -ECONNRESET);
	expect_words("killed by signal 9");
	/* Also if a child of it holds the connection open. */
	must_be(run_shell(h, "sleep 1 </dev/null >/dev/null 2>&1 & exit 4", -1), -ECONNRESET);
	expect_words("exited with status 4");
	must_be(haul_close(h, 0), 0);
}

Test(spawn, a_worker_that_says_nothing_is_killed_at_the_timeout)
{
	struct haul *h = open_context();
	must_be(run_shell(h, "exec sleep 100", SOON_MS), -ETIMEDOUT);
	must_be(run_shell(h, "kill -STOP $$", SOON_MS), -ETIMEDOUT);
	must_be(run_shell(h, "trap '' TERM HUP INT; exec sleep 100", SOON_MS), -ETIMEDOUT);
	must_be(haul_close(h, 0), 0);
}

Test(spawn, a_worker_that_hangs_up_is_killed)
{
	struct haul *h = open_context();
	must_be(run_shell(h, "exec 3<&-; exec sleep 100", -1), -ECONNRESET);
	int rc = run_shell(h, "echo nonsense >&3; exec sleep 100", -1);
	must(rc == -EPROTO || rc == -EACCES); /* the latter: it was said before anybody asked the kernel by whom */
	must_be(haul_close(h, 0), 0);
}

Test(spawn, an_interrupt_ends_the_wait_and_the_worker)
{
	struct haul *h = open_context();
	haul_interrupt(h);
	must_be(run_shell(h, "exec sleep 100", -1), -EINTR);
	must_be(haul_close(h, 0), 0);
}

static void *close_later(void *arg)
{
	until_asleep(&(_Atomic pid_t){ getpid() }); /* the main thread */
	haul_close(arg, 0);
	return NULL;
}

Test(spawn, a_close_by_another_thread_ends_the_wait_and_the_worker)
{
	char *argv[] = { (char *)"sleep", (char *)"100", NULL };
	struct haul_spawn s = { .argv = argv };
	struct haul_peer *p;
	int fds = fds_count();
	struct haul *h = open_context();
	pthread_t other;
	must_be(pthread_create(&other, NULL, close_later, h), 0);
	must_be(haul_spawn(h, &s, sizeof(s), -1, &p), -ECANCELED);
	must_be(pthread_join(other, NULL), 0);
	/* Killed, and perhaps no more time to reap it. */
	must(hire_has_none() || waitpid(-1, NULL, 0) > 0);
	fds_expect(fds);
}

static void from_a_callback(struct haul_req *r, void *arg)
{
	struct haul_spawn s = { .argv = anew };
	struct haul_peer *p;
	(void)r;
	must_be(haul_spawn(arg, &s, sizeof(s), PATIENCE_MS, &p), -EDEADLK);
}

Test(spawn, what_makes_no_sense_starts_nothing)
{
	char *none[] = { NULL };
	struct haul *h = open_context();
	struct haul_peer *p;
	struct haul_spawn s = { .argv = anew };
	struct haul_spawn_fd fds[] = { { 1, 7 }, { 2, 7 } };
	struct {
		struct haul_spawn known;
		char newer[8];
	} more = { .known = s };
	hire_as("echo");
	must_be(haul_spawn(NULL, &s, sizeof(s), PATIENCE_MS, &p), -EINVAL);
	must_be(haul_spawn(h, NULL, sizeof(s), PATIENCE_MS, &p), -EINVAL);
	must_be(haul_spawn(h, &s, sizeof(s), PATIENCE_MS, NULL), -EINVAL);
	must_be(haul_spawn(h, &s, sizeof(s), -2, &p), -EINVAL);
	must_be(haul_spawn(h, &s, sizeof(s), 0, &p), -EAGAIN);
	must_be(haul_spawn(h, &s, 0, PATIENCE_MS, &p), -EINVAL); /* no argv then */
	must_be(haul_inherit(NULL, PATIENCE_MS, &p), -EINVAL);
	must_be(haul_inherit(h, PATIENCE_MS, NULL), -EINVAL);
	must_be(haul_inherit(h, 0, &p), -EAGAIN);
	more.newer[7] = 1;
	must_be(haul_spawn(h, &more.known, sizeof(more), PATIENCE_MS, &p), -E2BIG);
	s.argv = none;
	must_be(hire_in_vain(h, &s, PATIENCE_MS), -EINVAL);
	s.argv = anew;
	s.fd_count = 1;
	must_be(hire_in_vain(h, &s, PATIENCE_MS), -EINVAL);
	s.fds = fds;
	s.fd_count = 2;
	must_be(hire_in_vain(h, &s, PATIENCE_MS), -EINVAL); /* twice */
	fds[1].as = HAUL_SPAWN_FDS;
	must_be(hire_in_vain(h, &s, PATIENCE_MS), -EINVAL);
	fds[1].as = -1;
	must_be(hire_in_vain(h, &s, PATIENCE_MS), -EINVAL);
	fds[1] = (struct haul_spawn_fd){ -1, 8 };
	must_be(hire_in_vain(h, &s, PATIENCE_MS), -EBADF);
	fds[1].fd = 1000;
	must_be(hire_in_vain(h, &s, PATIENCE_MS), -EBADF);
	expect_words("1000");

	struct haul_peer *me = haul_self(h);
	struct haul_req *r;
	must_be(haul_isend(me, 1, NULL, 0, 0, &r), 0);
	must_be(haul_req_notify(r, &(struct haul_notify){ .call = from_a_callback, .arg = h }), 0);
	must_be(haul_req_wait(r, PATIENCE_MS), 0);
	must(haul_progress(h) >= 0);
	must_be(haul_req_finish(r, NULL), 0);
	must_be(haul_close(h, 0), 0);
}

Test(spawn, a_struct_of_zeros_beyond_what_is_known_is_fine)
{
	struct {
		struct haul_spawn known;
		char newer[8];
	} more = { .known = { .argv = anew } };
	struct haul *h = open_context();
	struct haul_peer *p;
	hire_as("echo");
	must_be(haul_spawn(h, &more.known, sizeof(more), PATIENCE_MS, &p), 0);
	dismiss(p);
	must_be(haul_spawn(h, &more.known, sizeof(more.known.argv), PATIENCE_MS, &p), 0);
	dismiss(p);
	must_be(haul_close(h, 0), 0);
}

/* ---- HAUL_FD ---- */

static int inherit_by(struct haul *h, const char *value)
{
	struct haul_peer *p;
	must_be(setenv("HAUL_FD", value, 1), 0);
	int rc = haul_inherit(h, PATIENCE_MS, &p);
	must(getenv("HAUL_FD") == NULL);
	return rc;
}

static int inherit_fd(struct haul *h, int fd, uintmax_t more)
{
	char text[64];
	struct stat st;
	must_be(fstat(fd, &st), 0);
	snprintf(text, sizeof(text), "%d:%ju", fd, (uintmax_t)st.st_ino + more);
	return inherit_by(h, text);
}

Test(spawn, a_haul_fd_that_names_something_else_is_an_error_and_harms_nothing)
{
	static const char *const nonsense[] = { "", "x", "3", "3:", ":3", "-3:1", "3:1x", "3:1:2", " 3:1",
		"3: 1", "+3:1", "99999999999:1", "3:99999999999999999999999999999999",
		"33333333333333333333333333333333333333333333333333333333333333333333333333:1" };
	struct haul *h = open_context();
	struct haul_peer *p;
	int ends[2], pair[2];
	must_be(pipe(ends), 0);
	must_be(haul_pair(pair), 0);
	int fds = fds_count();
	must_be(haul_inherit(h, PATIENCE_MS, &p), -ENOENT);
	for (size_t i = 0; i < sizeof(nonsense) / sizeof(nonsense[0]); i++) {
		must_note(nonsense[i]);
		must_be(inherit_by(h, nonsense[i]), -EINVAL);
	}
	must_be(inherit_by(h, "1000:1"), -EBADF);
	must_be(inherit_fd(h, ends[0], 0), -ENOTSOCK);
	must_be(inherit_fd(h, pair[0], 1), -ESTALE);
	fds_expect(fds);
	close(pair[1]);
	must_be(inherit_fd(h, pair[0], 0), -ECONNRESET); /* that was the one: closed */
	fds_expect(fds - 2);
	must_be(haul_close(h, 0), 0);
}
