/*
 * usdt_buf.c - a growing buffer of bytes, for the documents the library writes.
 *
 * Knows nothing of what is written. See usdt_internal.h for its one rule: failure sticks.
 */
#include "usdt_internal.h"

#include <stdlib.h>
#include <string.h>

/* Room for len more bytes, of any value, or NULL. */
static void *extend(struct usdt_buf *buf, size_t len)
{
    if (buf->failed)
        return NULL;
    if (len > buf->cap - buf->len) {
        size_t cap = buf->cap < 1024 ? 1024 : buf->cap;
        while (cap - buf->len < len && cap <= SIZE_MAX / 2)
            cap *= 2;
        unsigned char *data = cap - buf->len < len ? NULL : realloc(buf->data, cap);
        if (data == NULL) {
            buf->failed = true;
            return NULL;
        }
        buf->data = data;
        buf->cap = cap;
    }
    void *at = buf->data + buf->len;
    buf->len += len;
    return at;
}

void *usdt_buf_grow(struct usdt_buf *buf, size_t len)
{
    void *at = extend(buf, len);
    return at == NULL ? NULL : memset(at, 0, len);
}

void usdt_buf_put(struct usdt_buf *buf, const void *bytes, size_t len)
{
    void *at = extend(buf, len);
    if (at != NULL && len > 0)
        memcpy(at, bytes, len);
}

static void put_little_endian(struct usdt_buf *buf, uint64_t value, size_t len)
{
    unsigned char bytes[8];
    for (size_t i = 0; i < len; i++)
        bytes[i] = (unsigned char)(value >> (8 * i));
    usdt_buf_put(buf, bytes, len);
}

void usdt_buf_put16(struct usdt_buf *buf, uint32_t value)
{
    put_little_endian(buf, value, 2);
}

void usdt_buf_put32(struct usdt_buf *buf, uint32_t value)
{
    put_little_endian(buf, value, 4);
}

void usdt_buf_put64(struct usdt_buf *buf, uint64_t value)
{
    put_little_endian(buf, value, 8);
}

void usdt_buf_str(struct usdt_buf *buf, const char *string)
{
    usdt_buf_put(buf, string, strlen(string) + 1);
}

void usdt_buf_align(struct usdt_buf *buf, size_t power_of_two)
{
    usdt_buf_grow(buf, -buf->len & (power_of_two - 1));
}

void usdt_buf_free(struct usdt_buf *buf)
{
    free(buf->data);
    *buf = (struct usdt_buf){ 0 };
}
