/* SPDX-License-Identifier: BSD-3-Clause */
/* A stream as a stdio stream: haul_stream_file(), by fopencookie(3). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "os/clock.h"
#include "os/reason.h"
#include "stream/stream.h"

enum { BUFFER = 64 << 10 };

static ssize_t to_errno(ssize_t rc)
{
	if (rc >= 0)
		return rc;
	errno = (int)-rc;
	return -1;
}

static int too_late(void)
{
	return reason(-EBADF, "the stream was closed");
}

static ssize_t file_read(void *cookie, char *buf, size_t len)
{
	struct haul_stream *s = ((struct stream_file *)cookie)->stream;
	return to_errno(s != NULL ? haul_stream_read(s, buf, len, -1) : too_late());
}

/* Of a flush by this thread, with the lock held; 0: none. */
static _Thread_local uint64_t flush_until;

static ssize_t write_until(struct haul_stream *s, const char *buf, size_t len, uint64_t until)
{
	struct iovec iov = { .iov_base = (void *)buf, .iov_len = len };
	uint64_t now = clock_now();
	return out_write(s, &iov, 1, now < until ? (int)((until - now) / NS_PER_MS) : 0);
}

/* stdio takes 0 for an error, and knows no negative result. */
static ssize_t file_write(void *cookie, const char *buf, size_t len)
{
	struct haul_stream *s = ((struct stream_file *)cookie)->stream;
	ssize_t n = to_errno(s == NULL ? too_late()
	        : flush_until != 0     ? write_until(s, buf, len, flush_until)
	                               : haul_stream_write(s, buf, len, -1));
	return n > 0 ? n : 0;
}

static int file_close(void *cookie)
{
	struct stream_file *f = cookie;
	int rc = f->stream != NULL ? haul_stream_close(f->stream) : 0;
	if (f->stream != NULL) /* a parent's, say */
		f->stream->file = NULL;
	free(f);
	return (int)to_errno(rc);
}

void file_forget(struct haul_stream *s)
{
	if (s->file != NULL)
		s->file->stream = NULL;
	s->file = NULL;
}

/* From the first on: others may close some while a flush waits. */
static struct stream_file *next_to_flush(const struct streams *all)
{
	const struct haul_stream *s;
	TAILQ_FOREACH (s, &all->all, entry)
		if (s->file != NULL && !s->file->flushed)
			return s->file;
	return NULL;
}

/* stdio would do it only after us, when the stream's end was said. One that another thread is using is that one's. */
void files_flush(struct haul *h, uint64_t deadline)
{
	struct stream_file *f;
	while ((f = next_to_flush(h->above[ABOVE_STREAMS].what)) != NULL) {
		FILE *file = f->file;
		f->flushed = true;
		if (ftrylockfile(file) != 0)
			continue;
		flush_until = deadline;
		fflush_unlocked(file);
		flush_until = 0;
		funlockfile(file);
	}
}

static FILE *tie(struct haul_stream *s, struct stream_file *f)
{
	engine_enter(&s->haul->engine);
	s->file = f;
	engine_leave(&s->haul->engine);
	return f->file;
}

FILE *haul_stream_file(struct haul_stream *s, const char *mode)
{
	cookie_io_functions_t calls = { .read = file_read, .write = file_write, .close = file_close };
	int rc = s == NULL ? reason(-EINVAL, "no stream") : context_check(s->haul);
	bool known =
	    mode != NULL && (strcmp(mode, "r") == 0 || strcmp(mode, "w") == 0 || strcmp(mode, "r+") == 0);
	if (rc == 0 && !known)
		rc = reason(-EINVAL, "a stream is opened with mode r, w or r+");
	if (rc != 0) {
		errno = -rc;
		return NULL;
	}
	struct stream_file *f = malloc(sizeof(*f));
	if (f == NULL || (f->file = fopencookie(f, mode, calls)) == NULL) {
		free(f);
		errno = ENOMEM;
		return NULL;
	}
	setvbuf(f->file, NULL, _IOFBF, BUFFER);
	f->stream = s;
	f->flushed = false;
	return tie(s, f);
}
