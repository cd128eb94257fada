#include "loop/thread.h"

#include <pthread.h>
#include <signal.h>

GThread *thread_start(const char *name, GThreadFunc function, void *data, GError **error) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    GThread *thread = g_thread_try_new(name, function, data, error);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return thread;
}
