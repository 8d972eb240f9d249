/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Sorts the lines of a file, as LC_ALL=C sort(1) does: each rank sorts its share; samples of all shares tell where
 * to cut them so that each rank gets a range of about equal length; every part goes to its rank (alltoallv), which
 * merges what it gets. Rank 0 writes the ranges, in their order.
 *
 *     haul run -n 4 samplesort input output
 */
#include "ranks.h"

#include <sys/stat.h>

/* Lines are moved with their ends; the last one is given one. */
struct lines {
	char *text;
	size_t len;
	char **at;
	size_t count;
};

static void *need(void *memory)
{
	if (memory == NULL)
		must(-ENOMEM);
	return memory;
}

static size_t line_len(const char *line)
{
	return (size_t)(strchr(line, '\n') - line) + 1;
}

/* A line's end sorts before every other byte, so that a prefix comes first. */
static int compare(const void *a, const void *b)
{
	const unsigned char *x = *(unsigned char *const *)a, *y = *(unsigned char *const *)b;
	while (*x == *y && *x != '\n') {
		x++;
		y++;
	}
	if (*x == *y)
		return 0;
	return *x == '\n' ? -1 : *y == '\n' ? 1 : *x < *y ? -1 : 1;
}

static void find_lines(struct lines *l)
{
	size_t n = 0;
	for (size_t i = 0; i < l->len; i++)
		n += l->text[i] == '\n';
	l->at = need(malloc((n + 1) * sizeof(*l->at)));
	l->count = 0;
	for (char *line = l->text; line < l->text + l->len; line += line_len(line))
		l->at[l->count++] = line;
}

static void sort(struct lines *l)
{
	find_lines(l);
	qsort(l->at, l->count, sizeof(*l->at), compare);
}

/* The lines that begin within this rank's part of the file. */
static void read_share(struct lines *l, const char *name)
{
	struct stat st;
	FILE *f = fopen(name, "r");
	if (f == NULL || fstat(fileno(f), &st) != 0)
		must(-errno);
	long long first = st.st_size * rank / size, last = st.st_size * (rank + 1) / size;
	int c = '\n';
	if (first > 0) {
		fseeko(f, first - 1, SEEK_SET);
		while ((c = getc(f)) != EOF && c != '\n')
			;
		first = ftello(f);
	}
	size_t room = (size_t)(last > first ? last - first : 0) + 4096;
	l->text = need(malloc(room));
	l->len = 0;
	c = '\n';
	while (first + (long long)l->len < last || c != '\n') {
		if ((c = getc(f)) == EOF)
			break;
		if (l->len + 2 > room)
			l->text = need(realloc(l->text, room *= 2));
		l->text[l->len++] = (char)c;
	}
	if (l->len > 0 && l->text[l->len - 1] != '\n')
		l->text[l->len++] = '\n';
	fclose(f);
}

/* The lines at equal distances, one after the other; size - 1 of them. */
static size_t sample(const struct lines *l, char **out)
{
	size_t len = 0;
	for (int i = 1; i < size && l->count > 0; i++)
		len += line_len(l->at[l->count * (size_t)i / (size_t)size]);
	*out = need(malloc(len + 1));
	len = 0;
	for (int i = 1; i < size && l->count > 0; i++) {
		const char *line = l->at[l->count * (size_t)i / (size_t)size];
		memcpy(*out + len, line, line_len(line));
		len += line_len(line);
	}
	return len;
}

static size_t add_up(const size_t *lens, size_t *offsets)
{
	size_t sum = 0;
	for (int i = 0; i < size; i++) {
		offsets[i] = sum;
		sum += lens[i];
	}
	return sum;
}

/* All ranks' samples, sorted. */
static struct lines gather_samples(const struct lines *l, size_t *lens, size_t *offsets)
{
	struct lines all = { 0 };
	char *mine;
	size_t len = sample(l, &mine);
	must(haul_allgather(world, &len, sizeof(len), lens, PATIENCE_MS));
	all.len = add_up(lens, offsets);
	all.text = need(malloc(all.len + 1));
	must(haul_allgatherv(world, mine, len, all.text, lens, offsets, PATIENCE_MS));
	free(mine);
	sort(&all);
	return all;
}

/* Sorted lines, laid out in that order; lens says how much of it goes to each rank. */
static char *cut(const struct lines *l, const struct lines *samples, size_t *lens)
{
	char *out = need(malloc(l->len + 1));
	size_t len = 0;
	int to = 0;
	memset(lens, 0, (size_t)size * sizeof(*lens));
	for (size_t i = 0; i < l->count; i++) {
		while (to < size - 1 && samples->count > 0 &&
		    compare(&l->at[i], &samples->at[samples->count * (size_t)(to + 1) / (size_t)size]) >= 0)
			to++;
		size_t n = line_len(l->at[i]);
		memcpy(out + len, l->at[i], n);
		len += n;
		lens[to] += n;
	}
	return out;
}

static void write_out(const struct lines *l, const char *name, size_t *lens, size_t *offsets)
{
	char *mine = need(malloc(l->len + 1)), *all = NULL;
	size_t len = 0, total = 0;
	for (size_t i = 0; i < l->count; i++) {
		size_t n = line_len(l->at[i]);
		memcpy(mine + len, l->at[i], n);
		len += n;
	}
	must(haul_gather(world, 0, &len, sizeof(len), lens, PATIENCE_MS));
	if (rank == 0) {
		total = add_up(lens, offsets);
		all = need(malloc(total + 1));
	}
	must(haul_gatherv(world, 0, mine, len, all, lens, offsets, PATIENCE_MS));
	if (rank == 0) {
		FILE *f = fopen(name, "w");
		if (f == NULL || fwrite(all, 1, total, f) != total || fclose(f) != 0)
			must(-errno);
		printf("%zu bytes sorted by %d ranks\n", total, size);
	}
	free(mine);
	free(all);
}

int main(int argc, char **argv)
{
	begin();
	if (argc != 3) {
		fprintf(stderr, "usage: haul run -n N samplesort input output\n");
		return 2;
	}
	struct lines mine, range = { 0 };
	size_t *lens = need(calloc((size_t)size, sizeof(*lens)));
	size_t *offsets = need(calloc((size_t)size, sizeof(*offsets)));
	size_t *into_lens = need(calloc((size_t)size, sizeof(*into_lens)));
	size_t *into_offsets = need(calloc((size_t)size, sizeof(*into_offsets)));
	read_share(&mine, argv[1]);
	sort(&mine);
	struct lines samples = gather_samples(&mine, lens, offsets);
	char *parts = cut(&mine, &samples, lens);
	add_up(lens, offsets);
	must(haul_alltoall(world, lens, into_lens, sizeof(*lens), PATIENCE_MS));
	range.len = add_up(into_lens, into_offsets);
	range.text = need(malloc(range.len + 1));
	must(haul_alltoallv(world, parts, lens, offsets, range.text, into_lens, into_offsets, PATIENCE_MS));
	sort(&range);
	write_out(&range, argv[2], lens, offsets);
	free(mine.text);
	free(mine.at);
	free(samples.text);
	free(samples.at);
	free(range.text);
	free(range.at);
	free(parts);
	free(lens);
	free(offsets);
	free(into_lens);
	free(into_offsets);
	end();
	return 0;
}
