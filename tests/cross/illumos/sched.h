/* Stand-in for illumos's <sched.h>: the declarations that libusdt uses, no more. */
#ifndef SCHED_H
#define SCHED_H
int sched_yield(void);
#endif
