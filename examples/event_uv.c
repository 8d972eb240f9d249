/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * haul in the loop of libuv: beside it a timer, and a pipe. event_jobs.c has the work that is done in the loop.
 *
 * A turn of libuv's loop runs timers, then idle handles, then prepare handles, then sleeps, then tells what became
 * ready. So haul takes its turn in a prepare handle, the last thing before the sleep: whatever other callbacks
 * have started by then is seen to as well. If it has more to do, an idle handle keeps the loop from sleeping.
 */
#include "event_jobs.h"

#include <stdio.h>
#include <stdlib.h>
#include <uv.h>

enum { TICK_MS = 50 };

/* All that the callbacks need; each handle's data points here. */
struct app {
	struct jobs jobs;
	uv_loop_t *loop;
	uv_poll_t haul, notes;
	uv_prepare_t before_sleep;
	uv_idle_t stay_awake;
	uv_timer_t timer;
};

static void check(int rc, const char *what)
{
	if (rc < 0) {
		fprintf(stderr, "event_uv: %s: %s\n", what, uv_strerror(rc));
		exit(1);
	}
}

/* To be active is all that it is for. */
static void on_idle(uv_idle_t *handle)
{
	(void)handle;
}

/* To end the sleep is all that it is for: the next one is preceded by before_sleep(). */
static void on_haul(uv_poll_t *handle, int status, int events)
{
	(void)handle;
	(void)events;
	check(status, "poll");
}

static void before_sleep(uv_prepare_t *handle)
{
	struct app *app = handle->data;
	struct haul *h = app->jobs.haul;
	int busy = must(haul_progress(h)); /* drain: a bounded piece of work, and callbacks */
	if (!busy)
		busy = haul_arm(h) != 0; /* arm: -EAGAIN if something came meanwhile */
	if (busy)
		uv_idle_start(&app->stay_awake, on_idle);
	else
		uv_idle_stop(&app->stay_awake); /* sleep */
}

static void on_timer(uv_timer_t *timer)
{
	struct app *app = timer->data;
	jobs_tick(&app->jobs);
}

static void on_notes(uv_poll_t *handle, int status, int events)
{
	struct app *app = handle->data;
	(void)events;
	check(status, "poll");
	jobs_read_notes(&app->jobs);
	if (app->jobs.over)
		uv_stop(app->loop);
}

static void close_handle(uv_handle_t *handle, void *arg)
{
	(void)arg;
	uv_close(handle, NULL);
}

int main(void)
{
	static struct app app;
	uv_loop_t *loop = app.loop = uv_default_loop();
	jobs_start(&app.jobs, "event_uv");
	check(uv_poll_init(loop, &app.haul, must(haul_fd(app.jobs.haul))), "uv_poll_init");
	check(uv_poll_init(loop, &app.notes, app.jobs.notes), "uv_poll_init");
	uv_prepare_init(loop, &app.before_sleep);
	uv_idle_init(loop, &app.stay_awake);
	uv_timer_init(loop, &app.timer);
	app.notes.data = app.before_sleep.data = app.timer.data = &app;

	check(uv_poll_start(&app.haul, UV_READABLE, on_haul), "uv_poll_start");
	check(uv_poll_start(&app.notes, UV_READABLE, on_notes), "uv_poll_start");
	uv_prepare_start(&app.before_sleep, before_sleep);
	uv_timer_start(&app.timer, on_timer, TICK_MS, TICK_MS);
	uv_run(loop, UV_RUN_DEFAULT);

	uv_walk(loop, close_handle, NULL); /* before the descriptors go */
	uv_run(loop, UV_RUN_DEFAULT);
	uv_loop_close(loop);
	return jobs_end(&app.jobs);
}
