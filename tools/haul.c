/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * haul(1): finds the subcommand in a table and hands it the rest of the command line. What a subcommand
 * does and which options it has is its own file's business.
 */
#include "commands.h"

#include <argp.h>
#include <err.h>
#include <haul/haul.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

struct command {
	const char *name;
	const char *summary;
	int (*run)(int argc, char **argv);
};

static const struct command commands[] = {
	{ "cat", "copy standard input to another haul cat's standard output", command_cat },
	{ "doctor", "try whether processes can read each other's memory here", command_doctor },
	{ "perf", "measure messages between two processes, and collectives", command_perf },
	{ "run", "start the ranks of a group, and wait for them", command_run },
};

#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

/* What the command line asked for. */
struct choice {
	const struct command *command;
	int at; /* its index in argv */
};

static void print_version(FILE *out, struct argp_state *state)
{
	(void)state;
	int v = haul_version();
	fprintf(out, "haul %d.%d.%d\n", v / 10000, v / 100 % 100, v % 100);
}

/* Appends the table of subcommands to the help text. argp frees what this returns. */
static char *filter_help(int key, const char *text, void *input)
{
	(void)input;
	if (key != ARGP_KEY_HELP_POST_DOC)
		return (char *)text;
	char *all = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&all, &len);
	if (out == NULL)
		err(EX_OSERR, "open_memstream");
	fputs("Subcommands:\n", out);
	for (size_t i = 0; i < COMMANDS; i++)
		fprintf(out, "  %-10s %s\n", commands[i].name, commands[i].summary);
	fputs("\n`haul SUBCOMMAND --help' lists the options of one.", out);
	if (fclose(out) != 0)
		err(EX_OSERR, "open_memstream");
	return all;
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct choice *choice = state->input;
	switch (key) {
	case ARGP_KEY_ARG:
		for (size_t i = 0; i < COMMANDS; i++)
			if (strcmp(arg, commands[i].name) == 0)
				choice->command = &commands[i];
		if (choice->command == NULL)
			argp_error(state, "there is no subcommand '%s'", arg);
		choice->at = state->next - 1;
		state->next = state->argc; /* the rest is the subcommand's */
		return 0;
	case ARGP_KEY_NO_ARGS:
		argp_usage(state);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

int main(int argc, char **argv)
{
	static const struct argp parser = {
		.parser = parse_option,
		.args_doc = "SUBCOMMAND [ARGUMENT...]",
		.doc = "Messages between processes on one Linux machine, without shared memory.\v",
		.help_filter = filter_help,
	};
	struct choice choice = { 0 };

	argp_program_version_hook = print_version;
	argp_err_exit_status = EX_USAGE;
	argp_parse(&parser, argc, argv, ARGP_IN_ORDER, NULL, &choice);

	char name[64];
	snprintf(name, sizeof(name), "haul %s", choice.command->name);
	argv[choice.at] = name; /* argp begins its messages with argv[0] */
	int status = choice.command->run(argc - choice.at, argv + choice.at);
	if (fflush(stdout) != 0 || ferror(stdout))
		err(EX_IOERR, "standard output");
	return status;
}
