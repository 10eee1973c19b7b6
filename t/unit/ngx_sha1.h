
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * In place of nginx's header: a digest that is good enough for tests, so that
 * they need no nginx.
 */


#ifndef _NGX_SHA1_H_INCLUDED_
#define _NGX_SHA1_H_INCLUDED_


#include <stdint.h>
#include <string.h>


typedef struct {
    uint64_t  state[3];
} ngx_sha1_t;


__attribute__((unused))
static void
ngx_sha1_init(ngx_sha1_t *ctx)
{
    ctx->state[0] = 1;
    ctx->state[1] = 2;
    ctx->state[2] = 3;
}


__attribute__((unused))
static void
ngx_sha1_update(ngx_sha1_t *ctx, const void *data, size_t size)
{
    int                   i;
    const unsigned char  *p;

    for (p = data; size; size--, p++) {
        for (i = 0; i < 3; i++) {
            ctx->state[i] = (ctx->state[i] ^ *p) * 0x100000001b3ULL;
        }
    }
}


__attribute__((unused))
static void
ngx_sha1_final(unsigned char result[20], ngx_sha1_t *ctx)
{
    memcpy(result, ctx->state, 20);
}


#endif /* _NGX_SHA1_H_INCLUDED_ */
