/* SPDX-License-Identifier: Apache-2.0 */
/* cli - the command line: a table of commands and what they do.
 *
 * Names, options, messages that scripts look for and exit codes are Kong's;
 * texts for people are our own.  A command ends with 0, or with 1 and
 * "Error: ..." on standard error. */
#pragma once

/* Runs the command of argv; the exit status. */
int cli_main(int argc, char **argv);
