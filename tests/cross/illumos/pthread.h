/* Stand-in for illumos's <pthread.h>: the declarations that libusdt uses, no more. */
#ifndef PTHREAD_H
#define PTHREAD_H
typedef struct { unsigned long long words[3]; } pthread_mutex_t;
typedef struct { unsigned long long words[4]; } pthread_once_t;
typedef unsigned pthread_t;
#define PTHREAD_MUTEX_INITIALIZER { { 0 } }
#define PTHREAD_ONCE_INIT { { 0 } }
#define PTHREAD_CANCEL_DISABLE 1
int pthread_atfork(void (*)(void), void (*)(void), void (*)(void));
int pthread_mutex_lock(pthread_mutex_t *);
int pthread_mutex_trylock(pthread_mutex_t *);
int pthread_mutex_unlock(pthread_mutex_t *);
int pthread_once(pthread_once_t *, void (*)(void));
pthread_t pthread_self(void);
int pthread_setcancelstate(int, int *);
#endif
