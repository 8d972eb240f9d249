/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The collectives of an implementation of MPI, measured as haul perf measures haul's (tools/perf_group*.c): the
 * same sizes, buffers, numbers of operations, barriers between them, checks, and columns. bench/compare builds and
 * runs it.
 *
 *     mpicc -O2 -o mpi_collectives mpi_collectives.c && mpirun -n 4 ./mpi_collectives --name mine
 *
 * Options, as those of haul perf: --what, --sizes (in bytes), --rounds, --budget-ms, --buffers, --huge; and --name:
 * what the column "contender" says.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <getopt.h>
#include <mpi.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { ROOT = 0, LEAST = 8, MOST = 1 << 18, SIZES_MOST = 64, ROUNDS_MOST = 1000, CLEARED = 0xff, WHATS = 11 };

/* Sizes of blocks for each member, or of a whole vector; what a rank has of them. */
enum extent { NONE, ONE, ALL, OWN };

struct buffers {
	unsigned char *base, *map;
	size_t stride, len, mapped;
	unsigned count;
};

struct options {
	bool what[WHATS];
	size_t sizes[SIZES_MOST];
	unsigned size_count, rounds, budget_ms, buffers;
	bool huge;
	const char *name;
};

struct end {
	struct options options;
	int rank, size;
	const struct op *op;
	size_t bytes;
	struct buffers from, into;
	int *counts;
};

struct op {
	const char *name;
	enum extent from, into, root_from, root_into;
	bool rooted, numbers;
	void (*call)(struct end *e, void *from, void *into);
	bool (*check)(const struct end *e, const unsigned char *into, unsigned slot);
};

/* ---- calls: an error ends all, which is MPI's default ---- */

static void call_barrier(struct end *e, void *from, void *into)
{
	(void)e;
	(void)from;
	(void)into;
	MPI_Barrier(MPI_COMM_WORLD);
}

static void call_bcast(struct end *e, void *from, void *into)
{
	MPI_Bcast(e->rank == ROOT ? from : into, (int)e->bytes, MPI_BYTE, ROOT, MPI_COMM_WORLD);
}

static void call_gather(struct end *e, void *from, void *into)
{
	MPI_Gather(from, (int)e->bytes, MPI_BYTE, into, (int)e->bytes, MPI_BYTE, ROOT, MPI_COMM_WORLD);
}

static void call_scatter(struct end *e, void *from, void *into)
{
	MPI_Scatter(from, (int)e->bytes, MPI_BYTE, into, (int)e->bytes, MPI_BYTE, ROOT, MPI_COMM_WORLD);
}

static void call_allgather(struct end *e, void *from, void *into)
{
	MPI_Allgather(from, (int)e->bytes, MPI_BYTE, into, (int)e->bytes, MPI_BYTE, MPI_COMM_WORLD);
}

static void call_alltoall(struct end *e, void *from, void *into)
{
	MPI_Alltoall(from, (int)e->bytes, MPI_BYTE, into, (int)e->bytes, MPI_BYTE, MPI_COMM_WORLD);
}

static int count_of(const struct end *e)
{
	return (int)(e->bytes / sizeof(float));
}

static void call_reduce(struct end *e, void *from, void *into)
{
	MPI_Reduce(from, into, count_of(e), MPI_FLOAT, MPI_SUM, ROOT, MPI_COMM_WORLD);
}

static void call_allreduce(struct end *e, void *from, void *into)
{
	MPI_Allreduce(from, into, count_of(e), MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
}

static void call_reduce_scatter(struct end *e, void *from, void *into)
{
	MPI_Reduce_scatter(from, into, e->counts, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
}

static void call_scan(struct end *e, void *from, void *into)
{
	MPI_Scan(from, into, count_of(e), MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
}

static void call_exscan(struct end *e, void *from, void *into)
{
	MPI_Exscan(from, into, count_of(e), MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
}

/* ---- what must come ---- */

/* A byte that is never CLEARED, of a rank's slot. */
static unsigned char pattern(int rank, unsigned slot, size_t at)
{
	return (unsigned char)((at + at / 4096 + slot * 7 + (unsigned)rank * 101) % 251);
}

/* Number `at` of `ranks` members added up, from rank 0 on. */
static float number(int ranks, unsigned slot, size_t at)
{
	int whole = ranks / 8, rest = ranks % 8;
	int sum_of_ranks = whole * 28 + rest * (rest - 1) / 2; /* each modulo 8 */
	return (float)(ranks * (1 + (int)((at + 3 * slot) % 61)) + sum_of_ranks);
}

static bool holds(const unsigned char *bytes, size_t len, int rank, unsigned slot, size_t at)
{
	for (size_t i = 0; i < len; i++)
		if (bytes[i] != pattern(rank, slot, at + i))
			return false;
	return true;
}

static bool holds_sums(const unsigned char *into, size_t count, int ranks, unsigned slot, size_t at)
{
	const float *numbers = (const float *)(const void *)into;
	for (size_t i = 0; i < count; i++)
		if (!(numbers[i] == number(ranks, slot, at + i)))
			return false;
	return true;
}

static bool holds_blocks(const struct end *e, const unsigned char *into, unsigned slot, size_t at)
{
	for (int i = 0; i < e->size; i++)
		if (!holds(into + (size_t)i * e->bytes, e->bytes, i, slot, at))
			return false;
	return true;
}

static bool check_nothing(const struct end *e, const unsigned char *into, unsigned slot)
{
	(void)e;
	(void)into;
	(void)slot;
	return true;
}

static bool check_bcast(const struct end *e, const unsigned char *into, unsigned slot)
{
	return holds(into, e->bytes, ROOT, slot, 0);
}

static bool check_scatter(const struct end *e, const unsigned char *into, unsigned slot)
{
	return holds(into, e->bytes, ROOT, slot, (size_t)e->rank * e->bytes);
}

static bool check_gather(const struct end *e, const unsigned char *into, unsigned slot)
{
	return holds_blocks(e, into, slot, 0);
}

static bool check_alltoall(const struct end *e, const unsigned char *into, unsigned slot)
{
	return holds_blocks(e, into, slot, (size_t)e->rank * e->bytes);
}

static bool check_reduce(const struct end *e, const unsigned char *into, unsigned slot)
{
	return holds_sums(into, (size_t)count_of(e), e->size, slot, 0);
}

static bool check_reduce_scatter(const struct end *e, const unsigned char *into, unsigned slot)
{
	size_t at = 0;
	for (int i = 0; i < e->rank; i++)
		at += (size_t)e->counts[i];
	return holds_sums(into, (size_t)e->counts[e->rank], e->size, slot, at);
}

static bool check_scan(const struct end *e, const unsigned char *into, unsigned slot)
{
	return holds_sums(into, (size_t)count_of(e), e->rank + 1, slot, 0);
}

/* What rank 0 has then is not said by MPI. */
static bool check_exscan(const struct end *e, const unsigned char *into, unsigned slot)
{
	return e->rank == 0 || holds_sums(into, (size_t)count_of(e), e->rank, slot, 0);
}

static const struct op ops[WHATS] = {
	{ .name = "barrier", .call = call_barrier, .check = check_nothing },
	{ .name = "bcast",
	    .into = ONE,
	    .rooted = true,
	    .root_from = ONE,
	    .call = call_bcast,
	    .check = check_bcast },
	{ .name = "gather",
	    .from = ONE,
	    .rooted = true,
	    .root_from = ONE,
	    .root_into = ALL,
	    .call = call_gather,
	    .check = check_gather },
	{ .name = "scatter",
	    .into = ONE,
	    .rooted = true,
	    .root_from = ALL,
	    .root_into = ONE,
	    .call = call_scatter,
	    .check = check_scatter },
	{ .name = "allgather", .from = ONE, .into = ALL, .call = call_allgather, .check = check_gather },
	{ .name = "alltoall", .from = ALL, .into = ALL, .call = call_alltoall, .check = check_alltoall },
	{ .name = "reduce",
	    .from = ONE,
	    .rooted = true,
	    .root_from = ONE,
	    .root_into = ONE,
	    .numbers = true,
	    .call = call_reduce,
	    .check = check_reduce },
	{ .name = "allreduce",
	    .from = ONE,
	    .into = ONE,
	    .numbers = true,
	    .call = call_allreduce,
	    .check = check_reduce },
	{ .name = "reduce_scatter",
	    .from = ONE,
	    .into = OWN,
	    .numbers = true,
	    .call = call_reduce_scatter,
	    .check = check_reduce_scatter },
	{ .name = "scan", .from = ONE, .into = ONE, .numbers = true, .call = call_scan, .check = check_scan },
	{ .name = "exscan",
	    .from = ONE,
	    .into = ONE,
	    .numbers = true,
	    .call = call_exscan,
	    .check = check_exscan },
};

/* ---- the end of all ---- */

static void __attribute__((noreturn, format(printf, 1, 2))) fail(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	fprintf(stderr, "mpi_collectives: ");
	vfprintf(stderr, format, args);
	fprintf(stderr, "\n");
	va_end(args);
	MPI_Abort(MPI_COMM_WORLD, EXIT_FAILURE);
	exit(EXIT_FAILURE);
}

/* ---- buffers: private memory, page-aligned, of one page size ---- */

static unsigned char *slot_of(const struct buffers *b, uint64_t i)
{
	if (b->base == NULL)
		return NULL;
	return b->count == 1 ? b->base : b->base + (i % b->count) * b->stride;
}

static size_t length(const struct end *e, enum extent extent)
{
	if (extent == OWN)
		return (size_t)e->counts[e->rank] * sizeof(float);
	return extent == ALL ? e->bytes * (size_t)e->size : e->bytes;
}

static void make(const struct end *e, struct buffers *b, enum extent extent)
{
	size_t page = e->options.huge ? (size_t)2 << 20 : (size_t)sysconf(_SC_PAGESIZE);
	*b = (struct buffers){ 0 };
	if (extent == NONE)
		return;
	b->len = length(e, extent);
	b->count = e->options.buffers;
	b->stride = (b->len + page - 1) / page * page + (b->len == 0 ? page : 0);
	b->mapped = b->stride * b->count + page;
	b->map = mmap(NULL, b->mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (b->map == MAP_FAILED)
		fail("memory for buffers: %s", strerror(errno));
	b->base = b->map + (page - (uintptr_t)b->map % page) % page;
	if (madvise(b->base, b->mapped - page, e->options.huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE) < 0 &&
	    e->options.huge)
		fail("huge pages: %s", strerror(errno));
}

static void fill(const struct end *e)
{
	for (unsigned slot = 0; slot < e->from.count; slot++) {
		unsigned char *bytes = slot_of(&e->from, slot);
		float *numbers = (float *)(void *)bytes;
		for (size_t i = 0; i < e->from.len && !e->op->numbers; i++)
			bytes[i] = pattern(e->rank, slot, i);
		for (size_t i = 0; i < e->from.len / sizeof(float) && e->op->numbers; i++)
			numbers[i] = number(e->rank + 1, slot, i) - number(e->rank, slot, i);
	}
}

static void clear(const struct end *e)
{
	for (unsigned slot = 0; slot < e->into.count; slot++)
		memset(slot_of(&e->into, slot), CLEARED, e->into.len);
}

static bool check(const struct end *e, uint64_t operations)
{
	for (unsigned slot = 0; slot < e->into.count && slot < operations; slot++)
		if (!e->op->check(e, slot_of(&e->into, slot), slot))
			return false;
	return true;
}

static void prepare(struct end *e)
{
	bool root = e->op->rooted && e->rank == ROOT;
	int count = count_of(e);
	if ((e->counts = calloc((size_t)e->size, sizeof(e->counts[0]))) == NULL)
		fail("memory");
	for (int i = 0; i < e->size; i++)
		e->counts[i] = count / e->size + (i < count % e->size);
	make(e, &e->from, root ? e->op->root_from : e->op->from);
	make(e, &e->into, root ? e->op->root_into : e->op->into);
	fill(e);
	clear(e);
}

static void dispose(struct end *e)
{
	if (e->from.map != NULL)
		munmap(e->from.map, e->from.mapped);
	if (e->into.map != NULL)
		munmap(e->into.map, e->into.mapped);
	free(e->counts);
}

/* ---- one row ---- */

static uint64_t now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* k operations, each timed by itself. Returns how long they took rank 0 with all that was between them. */
static uint64_t run_part(struct end *e, uint64_t k, uint64_t *ns)
{
	bool apart = e->op->call != call_barrier;

	*ns = 0;
	clear(e);
	MPI_Barrier(MPI_COMM_WORLD);
	uint64_t start = now();
	for (uint64_t i = 0; i < k; i++) {
		uint64_t begin = now();
		e->op->call(e, slot_of(&e->from, i), slot_of(&e->into, i));
		*ns += now() - begin;
		if (apart)
			MPI_Barrier(MPI_COMM_WORLD);
	}
	uint64_t elapsed = now() - start;
	MPI_Bcast(&elapsed, 1, MPI_UINT64_T, 0, MPI_COMM_WORLD);
	return elapsed > 0 ? elapsed : 1;
}

static uint64_t find_pace(struct end *e)
{
	uint64_t budget_ns = (uint64_t)e->options.budget_ms * 1000000, ns;
	run_part(e, LEAST / 2, &ns);
	for (uint64_t k = LEAST / 2;;) {
		uint64_t elapsed = run_part(e, k, &ns);
		double wanted = (double)k * (double)budget_ns / (double)elapsed;
		if (elapsed >= budget_ns / 4 || k >= MOST / 4) {
			uint64_t enough = wanted > MOST ? MOST : (uint64_t)wanted;
			return enough > LEAST ? enough : LEAST;
		}
		uint64_t most = k * 16 < MOST / 4 ? k * 16 : MOST / 4;
		k = wanted / 3 + 1 < (double)most ? (uint64_t)(wanted / 3) + 1 : most;
	}
}

struct figures {
	double avg, min, max; /* microseconds */
};

static int compare(const void *a, const void *b)
{
	const struct figures *x = a, *y = b;
	return (x->avg > y->avg) - (x->avg < y->avg);
}

static struct figures over_ranks(const struct end *e, uint64_t ns, uint64_t operations)
{
	double usec = (double)ns / 1e3 / (double)operations;
	struct figures f = { 0 };
	MPI_Reduce(&usec, &f.avg, 1, MPI_DOUBLE, MPI_SUM, 0, MPI_COMM_WORLD);
	MPI_Reduce(&usec, &f.min, 1, MPI_DOUBLE, MPI_MIN, 0, MPI_COMM_WORLD);
	MPI_Reduce(&usec, &f.max, 1, MPI_DOUBLE, MPI_MAX, 0, MPI_COMM_WORLD);
	f.avg /= e->size;
	return f;
}

/* Whether the bytes were right everywhere. */
static bool measure(struct end *e)
{
	struct figures rounds[ROUNDS_MOST];
	int right = 1, all = 0;
	uint64_t ns;

	prepare(e);
	uint64_t operations = find_pace(e);
	for (unsigned r = 0; r < e->options.rounds; r++) {
		run_part(e, operations, &ns);
		if (r == e->options.rounds - 1)
			right = check(e, operations);
		rounds[r] = over_ranks(e, ns, operations);
	}
	dispose(e);
	MPI_Allreduce(&right, &all, 1, MPI_INT, MPI_LAND, MPI_COMM_WORLD);
	if (e->rank != 0)
		return all;
	qsort(rounds, e->options.rounds, sizeof(rounds[0]), compare);
	const struct figures *f = &rounds[(e->options.rounds - 1) / 2];
	if (all)
		printf("%s,%s,%d,%zu,%.3f,%.3f,%.3f,%llu\n", e->op->name, e->options.name, e->size, e->bytes,
		    f->avg, f->min, f->max, (unsigned long long)operations);
	else
		fprintf(stderr, "mpi_collectives: %s of %zu bytes: what was received is not what was sent\n",
		    e->op->name, e->bytes);
	fflush(stdout);
	return all;
}

/* ---- the command line ---- */

static unsigned number_of(const char *option, const char *text, unsigned most)
{
	char *rest;
	errno = 0;
	unsigned long n = strtoul(text, &rest, 10);
	if (errno != 0 || *rest != '\0' || rest == text || n < 1 || n > most)
		fail("--%s: '%s' is no number from 1 to %u", option, text, most);
	return (unsigned)n;
}

static void parse_what(struct options *o, char *list)
{
	memset(o->what, 0, sizeof(o->what));
	for (char *name; (name = strsep(&list, ",")) != NULL;) {
		int what = 0;
		while (what < WHATS && strcmp(ops[what].name, name) != 0)
			what++;
		if (what == WHATS)
			fail("--what: there is no collective '%s'", name);
		o->what[what] = true;
	}
}

static void parse_sizes(struct options *o, char *list)
{
	o->size_count = 0;
	for (char *word; (word = strsep(&list, ",")) != NULL;) {
		if (o->size_count == SIZES_MOST)
			fail("--sizes: more than %d", SIZES_MOST);
		o->sizes[o->size_count++] = number_of("sizes", word, 1 << 30);
	}
}

static void parse(struct options *o, int argc, char **argv)
{
	static const struct option table[] = { { "what", required_argument, NULL, 'w' },
		{ "sizes", required_argument, NULL, 's' }, { "rounds", required_argument, NULL, 'r' },
		{ "budget-ms", required_argument, NULL, 'b' }, { "buffers", required_argument, NULL, 'n' },
		{ "huge", no_argument, NULL, 'h' }, { "name", required_argument, NULL, 'c' }, { 0 } };
	int c;

	*o = (struct options){ .sizes = { 8, 64, 512, 4 << 10, 32 << 10, 256 << 10, 1 << 20, 4 << 20 },
		.size_count = 8,
		.rounds = 5,
		.budget_ms = 60,
		.buffers = 1,
		.name = "mpi" };
	for (int what = 0; what < WHATS; what++)
		o->what[what] = true;
	while ((c = getopt_long(argc, argv, "", table, NULL)) != -1) {
		switch (c) {
		case 'w':
			parse_what(o, optarg);
			break;
		case 's':
			parse_sizes(o, optarg);
			break;
		case 'r':
			o->rounds = number_of("rounds", optarg, ROUNDS_MOST);
			break;
		case 'b':
			o->budget_ms = number_of("budget-ms", optarg, 60000);
			break;
		case 'n':
			o->buffers = number_of("buffers", optarg, 65536);
			break;
		case 'h':
			o->huge = true;
			break;
		case 'c':
			o->name = optarg;
			break;
		default:
			fail("the first comment in the source tells of the options");
		}
	}
	if (optind != argc)
		fail("unexpected argument '%s'", argv[optind]);
	for (int what = 0; what < WHATS; what++)
		for (unsigned i = 0; i < o->size_count && o->what[what] && ops[what].numbers; i++)
			if (o->sizes[i] % sizeof(float) != 0)
				fail("--sizes: %s is of numbers of %zu bytes each", ops[what].name,
				    sizeof(float));
}

int main(int argc, char **argv)
{
	static struct end e;
	bool right = true;

	MPI_Init(&argc, &argv);
	MPI_Comm_rank(MPI_COMM_WORLD, &e.rank);
	MPI_Comm_size(MPI_COMM_WORLD, &e.size);
	if (e.rank != 0) /* what is wrong is told once */
		MPI_Barrier(MPI_COMM_WORLD);
	parse(&e.options, argc, argv);
	if (e.rank == 0) {
		MPI_Barrier(MPI_COMM_WORLD);
		printf("what,contender,ranks,bytes,usec_avg,usec_min,usec_max,operations\n");
	}
	for (int what = 0; what < WHATS; what++) {
		bool sized = ops[what].call != call_barrier;
		for (unsigned i = 0; i < (sized ? e.options.size_count : 1) && e.options.what[what]; i++) {
			e.op = &ops[what];
			e.bytes = sized ? e.options.sizes[i] : 0;
			if (ops[what].numbers && e.bytes % sizeof(float) != 0)
				fail("--sizes: %s is of numbers of %zu bytes each", ops[what].name,
				    sizeof(float));
			right &= measure(&e);
		}
	}
	MPI_Finalize();
	return right ? EXIT_SUCCESS : EXIT_FAILURE;
}
