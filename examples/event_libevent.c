/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * haul in the loop of libevent: beside it a timer, and a pipe. event_jobs.c has the work that is done in the loop.
 *
 * libevent has no hook before it sleeps, so haul takes its turn when its descriptor is readable, and once before
 * the loop starts. If it has more to do, it asks for another turn by a timer of no time at all: that lets
 * the loop look at its descriptors first, where event_active() would have the next turn run before any of them.
 * A callback of another event that starts something with haul calls turn() at its end.
 */
#include "event_jobs.h"

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>

/* All that the callbacks need. */
struct app {
	struct jobs jobs;
	struct event_base *base;
	struct event *haul, *again, *notes, *timer;
};

static const struct timeval tick = { .tv_usec = 50000 }, at_once = { 0 };

static void turn(evutil_socket_t fd, short what, void *arg)
{
	struct app *app = arg;
	struct haul *h = app->jobs.haul;
	(void)fd;
	(void)what;
	int busy = must(haul_progress(h)); /* drain: a bounded piece of work, and callbacks */
	if (!busy)
		busy = haul_arm(h) != 0; /* arm: -EAGAIN if something came meanwhile */
	if (busy)
		event_add(app->again, &at_once); /* else sleep */
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct app *app = arg;
	(void)fd;
	(void)what;
	jobs_tick(&app->jobs);
}

static void on_notes(evutil_socket_t fd, short what, void *arg)
{
	struct app *app = arg;
	(void)fd;
	(void)what;
	jobs_read_notes(&app->jobs);
	if (app->jobs.over)
		event_base_loopbreak(app->base);
}

static struct event *add(struct app *app, int fd, short what, event_callback_fn call,
    const struct timeval *when)
{
	struct event *event = event_new(app->base, fd, what | EV_PERSIST, call, app);
	if (event == NULL || event_add(event, when) != 0) {
		fputs("event_libevent: cannot watch for an event\n", stderr);
		exit(1);
	}
	return event;
}

int main(void)
{
	static struct app app;
	jobs_start(&app.jobs, "event_libevent");
	if ((app.base = event_base_new()) == NULL ||
	    (app.again = evtimer_new(app.base, turn, &app)) == NULL) {
		fputs("event_libevent: no loop\n", stderr);
		return 1;
	}
	app.haul = add(&app, must(haul_fd(app.jobs.haul)), EV_READ, turn, NULL);
	app.notes = add(&app, app.jobs.notes, EV_READ, on_notes, NULL);
	app.timer = add(&app, -1, 0, on_timer, &tick);
	turn(-1, 0, &app);
	event_base_dispatch(app.base);

	event_free(app.haul);
	event_free(app.again);
	event_free(app.notes);
	event_free(app.timer);
	event_base_free(app.base);
	return jobs_end(&app.jobs);
}
