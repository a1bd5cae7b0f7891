/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Structured lines on standard error: `time level text key=value …`. Only the outer folders
 * (server, agent, node, cli) log; whoever stops an error's travel logs it, once. No key, token,
 * cookie or secret may stand in an argument. */

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARNING, LOG_ERROR };

void log_set_level(enum log_level level);
void log_write(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_debug(...) log_write(LOG_DEBUG, __VA_ARGS__)
#define log_info(...) log_write(LOG_INFO, __VA_ARGS__)
#define log_warning(...) log_write(LOG_WARNING, __VA_ARGS__)
#define log_error(...) log_write(LOG_ERROR, __VA_ARGS__)
