/* SPDX-License-Identifier: BSD-3-Clause */
/* How far haul cat is: one line on standard error, drawn over again. Nothing depends on it: what can't be drawn is
 * not. */
#include "cat.h"

#include <bsd/libutil.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { SIZE_TEXT = 16 };

int64_t cat_now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static const char *human(char text[SIZE_TEXT], uint64_t bytes)
{
	int flags = HN_DECIMAL | HN_IEC_PREFIXES;
	if (bytes > INT64_MAX || humanize_number(text, 8, (int64_t)bytes, "B", HN_AUTOSCALE, flags) < 0)
		snprintf(text, SIZE_TEXT, "?");
	return text;
}

static void add_left(FILE *out, const struct cat_meter *m, double seconds)
{
	if (m->size == CAT_SIZE_UNKNOWN || m->size == 0 || m->done > m->size)
		return;
	fprintf(out, ", %d%%", (int)((double)m->done / (double)m->size * 100));
	if (m->done == 0 || seconds <= 0)
		return;
	double left = seconds * (double)(m->size - m->done) / (double)m->done;
	if (left < 360000)
		fprintf(out, ", %d:%02d left", (int)left / 60, (int)left % 60);
}

/* The line, and blanks over what was there. */
static void draw(struct cat_meter *m, bool last)
{
	char line[128], done[SIZE_TEXT], size[SIZE_TEXT], rate[SIZE_TEXT];
	int64_t now = cat_now_ms();
	double seconds = (double)(now - m->started_ms) / 1000;
	double of_late = (double)(now - m->drawn_ms) / 1000;
	if (last)
		m->rate = seconds > 0 ? (double)m->done / seconds : 0;
	else if (of_late > 0) /* a mean over the last second or two */
		m->rate += ((double)(m->done - m->drawn) / of_late - m->rate) * (m->drawn == 0 ? 1 : 0.3);
	m->drawn_ms = now;
	m->drawn = m->done;

	FILE *out = fmemopen(line, sizeof(line), "w");
	if (out == NULL)
		return;
	fputs(human(done, m->done), out);
	if (m->size != CAT_SIZE_UNKNOWN && m->done < m->size)
		fprintf(out, " of %s", human(size, m->size));
	if (last)
		fprintf(out, " in %.1f s", seconds);
	fprintf(out, ", %s/s", human(rate, (uint64_t)m->rate));
	if (!last)
		add_left(out, m, seconds);
	fputc('\0', out);
	fclose(out);
	int width = (int)strlen(line);
	fprintf(stderr, "\r%-*s%s", m->width, line, last ? "\n" : "");
	m->width = last ? 0 : width;
}

void cat_meter_start(struct cat_meter *m, bool on, uint64_t size)
{
	*m = (struct cat_meter){ .on = on, .size = size, .started_ms = cat_now_ms() };
	m->drawn_ms = m->started_ms;
}

void cat_meter_add(struct cat_meter *m, uint64_t bytes)
{
	m->done += bytes;
	cat_meter_tick(m);
}

void cat_meter_tick(struct cat_meter *m)
{
	if (m->on && cat_now_ms() - m->drawn_ms >= CAT_TICK_MS)
		draw(m, false);
}

void cat_meter_end(struct cat_meter *m)
{
	if (m->on)
		draw(m, true);
	m->on = false;
}
