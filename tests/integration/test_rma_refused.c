/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Regions whose owner can't be read, for each of the real causes, from the start or from some moment on; and memory that
 * can't be pulled, or not be accessed at all. Every byte comes all the same, or both sides hear why not.
 */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/causes.h"
#include "lib/child.h"
#include "lib/fds.h"
#include "lib/memory.h"
#include "lib/pairing.h"
#include "lib/paths.h"
#include "lib/pattern.h"
#include "lib/regions.h"
#include "lib/talk.h"
#include "lib/world.h"

TestSuite(rma_refused, .timeout = 60);

enum { LEN = 1000003, LONG_LEN = 64 << 20, PAGE = 4096 };

/* ---- the causes ---- */

/* Who is in it, from when on. By value: Criterion copies it to another process. */
struct scene {
	int cause;
	bool owner; /* or else the one who gets */
	bool early;
};

struct end {
	struct scene scene;
	bool owner;
	int fd, other_fd;
	struct haul *haul;
	struct haul_peer *peer;
};

static void enter(const struct end *e)
{
	must(causes_all[e->scene.cause].enter() == NULL);
}

static void own(struct end *e)
{
	unsigned char *buf = filled(LONG_LEN, 1);
	struct haul_handle hd;
	struct haul_region *r = region_of(e->haul, buf, LONG_LEN, &hd);
	send_handle(e->peer, &hd);
	if (!e->scene.early && e->scene.owner) {
		await_token(e->haul, e->peer);
		enter(e);
		send_token(e->peer);
	}
	await_token(e->haul, e->peer);
	must_be(haul_region_withdraw(r, PATIENCE_MS), 0);
	must_hold(buf, LEN, 2, 0);
	must_hold(buf + LEN, LONG_LEN - LEN, 1, LEN);
	free(buf);
}

/* Of what is got at once, some is pulled before it is refused. */
static void change_in_the_middle(struct end *e, const struct haul_handle *hd)
{
	unsigned char *buf = room_for(LONG_LEN);
	struct haul_req *r;
	must_be(haul_iget(e->peer, hd, 0, &(struct iovec){ buf, LONG_LEN }, 1, &r), 0);
	while (stats_of(e->haul).pull_calls == 0)
		must(haul_progress(e->haul) >= 0);
	must_be(haul_req_finish(r, NULL), -EINPROGRESS);
	if (e->scene.owner) {
		send_token(e->peer);
		await_token(e->haul, e->peer);
	} else {
		enter(e);
	}
	must_be(end_of(r, NULL), 0);
	must_hold(buf, LONG_LEN, 1, 0);
	must(stats_of(e->haul).copied_bytes > 0);
	free(buf);
}

static void get(struct end *e)
{
	unsigned char *buf = filled(LEN, 2), some[8];
	const struct cause *c = &causes_all[e->scene.cause];
	struct haul_handle hd = receive_handle(e->haul, e->peer);
	struct haul_peer_info info;
	if (!e->scene.early)
		change_in_the_middle(e, &hd);
	must_get(e->peer, &hd, LEN + 1, LEN, 1);
	must_be(put_bytes_of(e->peer, &hd, 0, buf, LEN), LEN);
	must_get(e->peer, &hd, 0, LEN, 2);
	must_be(get_bytes_of(e->peer, &hd, LONG_LEN - 7, some, 8), -ERANGE);
	must_be(haul_get(e->peer, &hd, 0, &(struct iovec){ some, 8 }, 1, 0),
	    -EAGAIN); /* it takes the owner */
	must_be(haul_peer_info(e->peer, &info, sizeof(info)), 0);
	must_be(info.in_path, HAUL_PATH_STREAM);
	must_be(info.in_error, c->error);
	must_be(haul_peer_read(e->peer, &(struct iovec){ some, 8 }, 1, &(struct iovec){ buf, 8 }, 1),
	    -c->error);
	must_be(haul_peer_read_string(e->peer, (uintptr_t)buf, (char *)some, 8), -c->error);
	send_token(e->peer);
	free(buf);
}

static int admit(void *arg, pid_t pid, uid_t uid, gid_t gid)
{
	(void)arg, (void)pid, (void)uid, (void)gid;
	return 1;
}

static int run_end(void *arg)
{
	struct end *e = arg;
	const struct cause *c = &causes_all[e->scene.cause];
	struct haul_options o = { .admit = c->strangers ? admit : NULL };
	bool affected = e->scene.early && e->scene.owner == e->owner;
	must_in_child();
	close(e->other_fd); /* or this process would hide the other's end */
	if (affected && c->as_root)
		enter(e);
	world_become_plain(c->capabilities);
	if (affected && !c->as_root)
		enter(e);
	must_be(haul_open(&e->haul, &o, sizeof(o)), 0);
	must_be(haul_adopt(e->haul, e->fd, PATIENCE_MS, &e->peer), 0);
	if (e->owner)
		own(e);
	else
		get(e);
	must_be(haul_close(e->haul, PATIENCE_MS), 0);
	return 0;
}

static void play(const struct scene *s)
{
	const struct cause *c = &causes_all[s->cause];
	struct child children[2];
	int fds[2], before = fds_count();
	must_note(c->name);
	const char *cannot = world_try(c->enter, c->capabilities, c->as_root);
	if (cannot != NULL)
		cr_skip_test("%s: %s", c->name, cannot);
	must_be(haul_pair(fds), 0);
	for (int i = 0; i < 2; i++) {
		struct end e = { .scene = *s, .owner = i == 0, .fd = fds[i], .other_fd = fds[1 - i] };
		child_start(&children[i], PATIENCE_MS, run_end, &e);
	}
	close(fds[0]);
	close(fds[1]);
	child_expect(&children[0], 0);
	child_expect(&children[1], 0);
	fds_expect(before);
}

static struct criterion_test_params scenes(bool early)
{
	static struct scene all[2 * CAUSES];
	size_t n = 0;
	for (int i = 0; i < CAUSES; i++) {
		const struct cause *c = &causes_all[i];
		if (strcmp(c->name, "a program that can't be read") == 0 || (c->only_early && !early))
			continue; /* the first runs a program anew: test_refusal has it */
		if (c->hides)
			all[n++] = (struct scene){ i, true, early };
		if (c->blinds)
			all[n++] = (struct scene){ i, false, early };
	}
	return cr_make_param_array(struct scene, all, n);
}

ParameterizedTestParameters(rma_refused, from_the_start_the_owner_serves)
{
	return scenes(true);
}

ParameterizedTest(struct scene *s, rma_refused, from_the_start_the_owner_serves)
{
	play(s);
}

ParameterizedTestParameters(rma_refused, in_the_middle_of_a_get_the_owner_serves_the_rest)
{
	return scenes(false);
}

ParameterizedTest(struct scene *s, rma_refused, in_the_middle_of_a_get_the_owner_serves_the_rest)
{
	play(s);
}

/* ---- memory ---- */

struct kind {
	struct path path;
	int kind;
};

static void own_kind(struct haul *h, struct haul_peer *p, const void *arg)
{
	const struct kind *k = arg;
	const struct memory_kind *m = &memory_kinds[k->kind];
	unsigned char *at;
	struct haul_handle hd;
	must(m->make(m->len, 1, &at) == NULL);
	struct haul_region *r = region_of(h, at, m->len, &hd);
	send_handle(p, &hd);
	await_token(h, p);
	if (m->read_only)
		must_hold(at, m->len, 1, 0);
	else
		must_hold(at, m->len, 2, 0);
	must_be(haul_region_withdraw(r, 0), 0);
}

ParameterizedTestParameters(rma_refused, any_memory_can_be_a_region)
{
	static struct kind all[2 * MEMORY_KINDS];
	size_t n = 0;
	for (int stream = 0; stream < 2; stream++)
		for (int i = 0; i < MEMORY_KINDS; i++)
			all[n++] =
			    (struct kind){ { .name = "", .path = stream ? HAUL_PATH_STREAM : HAUL_PATH_PULL },
				    i };
	return cr_make_param_array(struct kind, all, n);
}

ParameterizedTest(struct kind *k, rma_refused, any_memory_can_be_a_region)
{
	const struct memory_kind *m = &memory_kinds[k->kind];
	struct haul_options o = { .path = k->path.path };
	unsigned char *at, *buf = filled(m->len, 2);
	const char *cannot = m->make(m->len, 1, &at);
	struct haul_peer_info info;
	struct pairing p;
	if (cannot != NULL)
		cr_skip_test("%s: %s", m->name, cannot);
	must_note(m->name);
	pairing_start(&p, &o, &o, own_kind, k);
	struct haul_handle hd = receive_handle(p.haul, p.peer);
	if (!m->blank)
		must_get(p.peer, &hd, 0, m->len, 1);
	ssize_t n = put_bytes_of(p.peer, &hd, 0, buf, m->len);
	must_be(n, m->read_only ? -EFAULT : (ssize_t)m->len);
	must_get(p.peer, &hd, 0, m->len, m->read_only ? 1 : 2);
	must_be(haul_peer_info(p.peer, &info, sizeof(info)), 0);
	must_be(info.in_path, k->path.path); /* it keeps its path for others */
	send_token(p.peer);
	pairing_end(&p);
	free(buf);
}

/* The owner exposes more than it has; or no longer has it. */
static void own_a_hole(struct haul *h, struct haul_peer *p, const void *arg)
{
	unsigned char *at = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct haul_handle hd;
	(void)arg;
	pattern_fill(at, 4 * PAGE, 1, 0);
	struct haul_region *r = region_of(h, at, 4 * PAGE, &hd);
	must_be(mprotect(at + 2 * PAGE, PAGE, PROT_NONE), 0);
	send_handle(p, &hd);
	await_token(h, p);
	must_be(haul_region_withdraw(r, 0), 0);
}

EveryPath(rma_refused, a_hole_in_the_owners_memory_is_efault_and_no_more)
{
	struct haul_options o = path_options(path);
	static unsigned char buf[4 * PAGE];
	static const struct {
		size_t at, len;
		bool bad;
	} parts[] = { { 0, 2 * PAGE, false }, { 0, 2 * PAGE + 1, true }, { 2 * PAGE, 1, true },
		{ 3 * PAGE - 1, 2, true }, { 3 * PAGE, PAGE, false }, { PAGE, 3 * PAGE, true } };
	struct pairing p;
	pairing_start(&p, &o, &o, own_a_hole, NULL);
	struct haul_handle hd = receive_handle(p.haul, p.peer);
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		must_note_case("at %zu, %zu bytes", parts[i].at, parts[i].len);
		ssize_t want = parts[i].bad ? -EFAULT : (ssize_t)parts[i].len;
		must_be(get_bytes_of(p.peer, &hd, parts[i].at, buf, parts[i].len), want);
		if (!parts[i].bad)
			must_hold(buf, parts[i].len, 1, parts[i].at);
		pattern_fill(buf, parts[i].len, 1, parts[i].at);
		must_be(put_bytes_of(p.peer, &hd, parts[i].at, buf, parts[i].len), want);
	}
	send_token(p.peer);
	pairing_end(&p);
}

/* The caller's own memory. (A few KiB that come with a message are the library's to copy.) */
EveryPath(rma_refused, a_hole_in_the_callers_memory_is_efault)
{
	struct haul_options o = path_options(path);
	enum { ROOM = 64 * PAGE, HOLE = 40 * PAGE };
	unsigned char *region = filled(ROOM, 1);
	unsigned char *at = mmap(NULL, ROOM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct iovec iov = { at, ROOM };
	struct haul_handle hd;
	struct haul_req *r;
	struct twins t;
	must_be(mprotect(at + HOLE, PAGE, PROT_NONE), 0);
	twins_start(&t, &o);
	struct haul_region *exposed = region_of(t.b, region, ROOM, &hd);
	must_be(haul_iget(t.to_b, &hd, 0, &iov, 1, &r), 0);
	must_be(twins_finish(&t, r, NULL), -EFAULT);
	must_be(haul_iput(t.to_b, &hd, 0, &iov, 1, &r), 0);
	must_be(twins_finish(&t, r, NULL), -EFAULT);
	pattern_fill(region, ROOM, 1, 0); /* that part is undefined */
	iov = (struct iovec){ at, HOLE };
	must_be(haul_iget(t.to_b, &hd, 0, &iov, 1, &r), 0);
	must_be(twins_finish(&t, r, NULL), 0);
	must_hold(at, HOLE, 1, 0);
	must_be(haul_region_withdraw(exposed, 0), 0);
	twins_end(&t);
	munmap(at, ROOM);
	free(region);
}

/* What has to travel as a message is bounded as messages are. */
Test(rma_refused, longer_than_a_message_may_be_is_emsgsize)
{
	struct haul_options small = { .path = HAUL_PATH_STREAM, .max_msg = 100000 };
	struct haul_options any = { .path = HAUL_PATH_STREAM };
	unsigned char *region = filled(LEN, 1), *buf = room_for(LEN);
	struct iovec iov = { buf, LEN };
	struct haul_handle hd;
	struct haul_req *r;
	for (int ours = 0; ours < 2; ours++) {
		struct twins t;
		twins_start_unlike(&t, ours ? &small : &any, ours ? &any : &small);
		struct haul_region *exposed = region_of(t.b, region, LEN, &hd);
		int rc =
		    ours ? haul_iget(t.to_b, &hd, 0, &iov, 1, &r) : haul_iput(t.to_b, &hd, 0, &iov, 1, &r);
		must_be(rc, -EMSGSIZE);
		iov.iov_len = 50000;
		must_be(haul_iget(t.to_b, &hd, 0, &iov, 1, &r), 0);
		must_be(twins_finish(&t, r, NULL), 0);
		must_hold(buf, 50000, 1, 0);
		iov.iov_len = LEN;
		must_be(haul_region_withdraw(exposed, 0), 0);
		twins_end(&t);
	}
	free(region);
	free(buf);
}

/* Of its own, because Criterion would run as many at a time as there are CPUs, and more. */
int main(int argc, char **argv) __attribute__((visibility("default")));
int main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "nothing") == 0)
		_exit(0);
	struct criterion_test_set *tests = criterion_initialize();
	criterion_options.jobs = 2;
	int rc = criterion_handle_args(argc, argv, true) && !criterion_run_all_tests(tests);
	criterion_finalize(tests);
	return rc;
}
