/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The subcommands of haul(1), one source file each. haul.c lists them in its table and calls them with
 * their own arguments, argv[0] being "haul <subcommand>". Each returns the exit status.
 */
#ifndef TOOLS_COMMANDS_H
#define TOOLS_COMMANDS_H

int command_cat(int argc, char **argv);
int command_doctor(int argc, char **argv);
int command_perf(int argc, char **argv);
int command_run(int argc, char **argv);

#endif
