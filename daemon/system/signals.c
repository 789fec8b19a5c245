/* SPDX-License-Identifier: BSD-3-Clause */
#include "daemon/system/signals.h"

#include <signal.h>

void signals_ignore(void)
{
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct signals *signals = handle->data;
    signals->received(signals->data, number);
}

void signals_start(struct signals *signals, uv_loop_t *loop, void (*received)(void *data, int signal),
                   void *data)
{
    static const int numbers[SIGNALS_COUNT] = {SIGTERM, SIGINT, SIGHUP};
    signals->received = received;
    signals->data = data;
    for (unsigned i = 0; i < SIGNALS_COUNT; i++) {
        uv_signal_init(loop, &signals->handles[i]);
        signals->handles[i].data = signals;
        uv_signal_start(&signals->handles[i], on_signal, numbers[i]);
    }
}

void signals_stop(struct signals *signals)
{
    for (unsigned i = 0; i < SIGNALS_COUNT; i++)
        uv_close((uv_handle_t *)&signals->handles[i], NULL);
}
