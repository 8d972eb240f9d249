/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A second thread for long copies. See helper.h.
 *
 *     who copies                           helper
 *     job; wake                            wakes
 *     takes a chunk from the front, ...    takes a chunk from the back, ...
 *     none left: takes the job back, or    none left, or one that came short, or whose word was not good: ends
 *     waits until it has ended
 *     what the helper did not bring
 *
 * A chunk is taken by a compare and exchange of the two ends. The helper brings only whole ones, one before
 * the other, so that what it brought is all from some chunk on. Where no CPU is free for it, it sits on a
 * chunk while it waits for one, and who copies waits for both. So after it was waited for long it is left
 * out of the next copies, twice as many each time.
 */
#include "os/helper.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "os/clock.h"

enum {
	CHUNK = 256 << 10,
	LEAST = 2 << 20, /* what is shorter is copied before the helper is awake */
	SPIN_US = 50,    /* as long as a chunk takes */
	LEFT_OUT_MOST = 256,
};

struct job {
	pid_t pid;
	struct iov_cursor local, remote;
	uint64_t len, word, good;
};

struct helper {
	pthread_t thread;
	pthread_mutex_t busy; /* held by who copies: others do without the helper */
	/* Under busy: copies that it is left out of; and was, after it was late last. */
	unsigned left_out, penalty;

	pthread_mutex_t lock;
	pthread_cond_t go, done;
	bool asked, quit;    /* under lock */
	atomic_bool working; /* set under lock; looked at without */
	struct job job;
	/* Of the chunks that nobody has taken: the first, and in the upper half the one behind the last. */
	_Atomic uint64_t ends;
	/* The first chunk of those that the helper has brought; its own while it works. */
	uint32_t brought;
};

/* ---- chunks ---- */

static uint64_t ends_of(uint32_t front, uint32_t back)
{
	return (uint64_t)back << 32 | front;
}

static bool take(struct helper *h, bool from_front, uint32_t *chunk)
{
	uint64_t was = atomic_load(&h->ends), next;
	do {
		uint32_t front = (uint32_t)was, back = (uint32_t)(was >> 32);
		if (front >= back)
			return false;
		*chunk = from_front ? front : back - 1;
		next = from_front ? ends_of(front + 1, back) : ends_of(front, back - 1);
	} while (!atomic_compare_exchange_weak(&h->ends, &was, next));
	return true;
}

static uint64_t length(const struct job *j, uint32_t chunk)
{
	uint64_t left = j->len - (uint64_t)chunk * CHUNK;
	return left < CHUNK ? left : CHUNK;
}

static bool is_good(const struct vm_result *r, const struct vm_word *w, uint64_t good)
{
	return r->outcome == VM_MOVED && w->read && w->value == good;
}

/* ---- the helper ---- */

static bool bring(const struct job *j, uint32_t chunk)
{
	struct iov_cursor local = j->local, remote = j->remote;
	struct vm_word word = { .addr = j->word };
	iov_cursor_advance(&local, (uint64_t)chunk * CHUNK);
	iov_cursor_advance(&remote, (uint64_t)chunk * CHUNK);
	struct vm_result r = vm_read(j->pid, &local, &remote, length(j, chunk), &word);
	return is_good(&r, &word, j->good);
}

static void *serve(void *arg)
{
	struct helper *h = arg;
	pthread_mutex_lock(&h->lock);
	for (;;) {
		while (!h->asked && !h->quit)
			pthread_cond_wait(&h->go, &h->lock);
		if (h->quit)
			break;
		h->asked = false;
		atomic_store(&h->working, true);
		pthread_mutex_unlock(&h->lock);
		for (uint32_t chunk; take(h, false, &chunk) && bring(&h->job, chunk);)
			h->brought = chunk;
		pthread_mutex_lock(&h->lock);
		atomic_store(&h->working, false);
		pthread_cond_signal(&h->done);
	}
	pthread_mutex_unlock(&h->lock);
	return NULL;
}

struct helper *helper_new(int *error)
{
	struct helper *h = calloc(1, sizeof(*h));
	sigset_t all, before;
	if (h == NULL) {
		*error = ENOMEM;
		return NULL;
	}
	pthread_mutex_init(&h->busy, NULL);
	pthread_mutex_init(&h->lock, NULL);
	pthread_cond_init(&h->go, NULL);
	pthread_cond_init(&h->done, NULL);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	*error = pthread_create(&h->thread, NULL, serve, h);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (*error == 0)
		return h;
	free(h);
	return NULL;
}

void helper_free(struct helper *h)
{
	if (h == NULL)
		return;
	pthread_mutex_lock(&h->lock);
	h->quit = true;
	pthread_cond_signal(&h->go);
	pthread_mutex_unlock(&h->lock);
	pthread_join(h->thread, NULL);
	free(h);
}

void helper_forget(struct helper *h)
{
	free(h);
}

/* ---- who copies ---- */

static void ask(struct helper *h, const struct job *j)
{
	uint32_t chunks = (uint32_t)((j->len + CHUNK - 1) / CHUNK);
	pthread_mutex_lock(&h->lock);
	h->job = *j;
	h->brought = chunks;
	h->asked = true;
	atomic_store(&h->ends, ends_of(0, chunks));
	pthread_cond_signal(&h->go);
	pthread_mutex_unlock(&h->lock);
}

/* Returns the first of the chunks that it has brought. */
static uint32_t end_job(struct helper *h)
{
	uint64_t until = clock_now() + SPIN_US * NS_PER_US;
	atomic_store(&h->ends, 0);
	while (atomic_load(&h->working) && clock_now() < until)
		;
	pthread_mutex_lock(&h->lock);
	bool late = h->asked || atomic_load(&h->working);
	h->asked = false;
	while (atomic_load(&h->working))
		pthread_cond_wait(&h->done, &h->lock);
	uint32_t brought = h->brought;
	pthread_mutex_unlock(&h->lock);
	h->penalty = !late               ? 0
	    : h->penalty == 0            ? 1
	    : h->penalty < LEFT_OUT_MOST ? h->penalty * 2
	                                 : h->penalty;
	h->left_out = h->penalty;
	return brought;
}

static void add(struct vm_result *sum, const struct vm_result *r)
{
	sum->outcome = r->outcome;
	sum->error = r->error;
	sum->moved += r->moved;
	sum->calls += r->calls;
	sum->iovecs += r->iovecs;
	sum->retries += r->retries;
}

static struct vm_result read_together(struct helper *h, const struct job *j, struct iov_cursor *local,
    struct iov_cursor *remote, struct vm_word *word, uint64_t *helped)
{
	struct vm_result sum = { .outcome = VM_MOVED };
	bool good = true;
	ask(h, j);
	for (uint32_t chunk; good && take(h, true, &chunk);) {
		struct vm_result r = vm_read(j->pid, local, remote, length(j, chunk), word);
		add(&sum, &r);
		good = is_good(&r, word, j->good);
	}
	uint64_t from = (uint64_t)end_job(h) * CHUNK;
	if (from > j->len)
		from = j->len;
	if (good && sum.moved < from) { /* it was none, or fell short there */
		struct vm_result r = vm_read(j->pid, local, remote, from - sum.moved, word);
		add(&sum, &r);
		good = is_good(&r, word, j->good);
	}
	if (!good || from == j->len)
		return sum;
	*helped = j->len - from;
	iov_cursor_advance(local, *helped);
	iov_cursor_advance(remote, *helped);
	sum.moved = j->len;
	sum.calls += (unsigned)((*helped + CHUNK - 1) / CHUNK);
	word->read = true; /* as the last chunk's reader found it */
	word->value = j->good;
	return sum;
}

/* Under busy. */
static bool is_worth_it(struct helper *h)
{
	if (h->left_out == 0)
		return true;
	h->left_out--;
	return false;
}

struct vm_result helper_read(struct helper *h, pid_t pid, struct iov_cursor *local, struct iov_cursor *remote,
    uint64_t len, struct vm_word *word, uint64_t good, uint64_t *helped)
{
	*helped = 0;
	if (h == NULL || len < LEAST || word->before != NULL || pthread_mutex_trylock(&h->busy) != 0)
		return vm_read(pid, local, remote, len, word);
	struct vm_result r;
	struct job j = { .pid = pid,
		.local = *local,
		.remote = *remote,
		.len = len,
		.word = word->addr,
		.good = good };
	if (is_worth_it(h))
		r = read_together(h, &j, local, remote, word, helped);
	else
		r = vm_read(pid, local, remote, len, word);
	pthread_mutex_unlock(&h->busy);
	return r;
}
