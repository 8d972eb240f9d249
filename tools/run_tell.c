/* SPDX-License-Identifier: BSD-3-Clause */
/* The last line of haul run, which says who failed, and why, and the exit status that goes with it. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "run.h"

#include <err.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

void run_tell_apart(const struct run *run)
{
	if (run->err.unfinished != NULL || (run->err_is_out && run->out.unfinished != NULL))
		fputs("\n", stderr);
}

int run_tell(const struct run *run)
{
	const struct run_rank *r = run->first;
	const struct run_sink *broken = run->out.error != 0 ? &run->out
	    : run->err.error != 0                           ? &run->err
	                                                    : NULL;
	bool ended = run->options.size > 1 && (!run->options.keep_going || run->aborted != NULL);
	const char *rest = ended ? "; the others were ended" : "";
	if (run->start_error != 0) {
		warnx("rank %u: cannot run '%s': %s", run->started, run->options.argv[0],
		    strerror(run->start_error));
		return run->start_error == ENOENT ? 127 : 126;
	}
	if (run->timed_out) {
		warnx("the time of %d s was up; all ranks were ended", run->options.timeout_s);
		return RUN_TIMED_OUT;
	}
	if (run->aborted != NULL) {
		warnx("rank %u aborted the job with status %d%s%s%s", run->aborted->rank, run->abort_status,
		    run->abort_text[0] != '\0' ? ": " : "", run->abort_text, rest);
		return run->abort_status;
	}
	if (r == NULL && broken != NULL) {
		warnx("standard %s: %s%s", broken == &run->out ? "output" : "error", strerror(broken->error),
		    rest);
		return EX_IOERR;
	}
	if (r == NULL)
		return 0;
	if (r->signal != 0)
		warnx("rank %u was killed by signal %d (%s)%s", r->rank, r->signal, strsignal(r->signal),
		    rest);
	else
		warnx("rank %u exited with status %d%s", r->rank, r->status, rest);
	return r->status;
}
