
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * A command: one block, the header and behind it what goes over the wire.
 *
 * redisFormatCommandArgv() of hiredis does the same into a block of its own,
 * which would have to be copied and freed once more per command.
 *
 * And the names of keys, as all who have keys in Redis make them.
 *
 * Called from: redis/; the keys from session/ and route/.
 */


#include "ngx_mqtt_redis_core.h"


static size_t ngx_mqtt_redis_number_len(size_t n);
static u_char *ngx_mqtt_redis_write_number(u_char *p, u_char type, size_t n);
static u_char *ngx_mqtt_redis_write_string(u_char *p, ngx_str_t *s);


ngx_mqtt_redis_cmd_t *
ngx_mqtt_redis_cmd_create(ngx_mqtt_redis_t *r, ngx_uint_t nhead,
    ngx_str_t *head, ngx_uint_t argc, ngx_str_t *argv)
{
    u_char                *p;
    size_t                 size;
    ngx_uint_t             i;
    ngx_mqtt_redis_cmd_t  *cmd;

    size = ngx_mqtt_redis_number_len(nhead + argc);

    for (i = 0; i < nhead; i++) {
        size += ngx_mqtt_redis_number_len(head[i].len) + head[i].len + 2;
    }

    for (i = 0; i < argc; i++) {
        size += ngx_mqtt_redis_number_len(argv[i].len) + argv[i].len + 2;
    }

    cmd = ngx_mqtt_alloc(r->worker, sizeof(ngx_mqtt_redis_cmd_t) + size);
    if (cmd == NULL) {
        return NULL;
    }

    ngx_memzero(cmd, sizeof(ngx_mqtt_redis_cmd_t));

    r->front->size += size;

    cmd->size = size;
    cmd->argc = nhead + argc;
    cmd->script = NGX_MQTT_LUA_MAX;
    cmd->slot = NGX_MQTT_REDIS_NO_SLOT;

    p = ngx_mqtt_redis_write_number(ngx_mqtt_redis_cmd_data(cmd), '*',
                                    nhead + argc);

    for (i = 0; i < nhead; i++) {
        p = ngx_mqtt_redis_write_string(p, &head[i]);
    }

    for (i = 0; i < argc; i++) {
        p = ngx_mqtt_redis_write_string(p, &argv[i]);
    }

    return cmd;
}


void
ngx_mqtt_redis_cmd_free(ngx_mqtt_redis_t *r, ngx_mqtt_redis_cmd_t *cmd)
{
    r->front->size -= cmd->size;

    ngx_mqtt_free(r->worker, cmd, sizeof(ngx_mqtt_redis_cmd_t) + cmd->size);
}


/* of "*<n>CRLF" and of "$<n>CRLF" */

static size_t
ngx_mqtt_redis_number_len(size_t n)
{
    size_t  len;

    len = 4;

    while (n > 9) {
        n /= 10;
        len++;
    }

    return len;
}


static u_char *
ngx_mqtt_redis_write_number(u_char *p, u_char type, size_t n)
{
    u_char  *last;

    last = p + ngx_mqtt_redis_number_len(n);

    *p = type;

    p = last;
    *--p = LF;
    *--p = CR;

    do {
        *--p = (u_char) ('0' + n % 10);
        n /= 10;
    } while (n);

    return last;
}


static u_char *
ngx_mqtt_redis_write_string(u_char *p, ngx_str_t *s)
{
    p = ngx_mqtt_redis_write_number(p, '$', s->len);

    if (s->len) {
        p = ngx_cpymem(p, s->data, s->len);
    }

    *p++ = CR;
    *p++ = LF;

    return p;
}


ngx_int_t
ngx_mqtt_redis_keys(ngx_mqtt_worker_t *w, u_char tag, ngx_str_t *name,
    ngx_str_t *suffixes, ngx_uint_t n, ngx_str_t *keys)
{
    u_char      *p;
    size_t       size;
    ngx_str_t   *prefix;
    ngx_uint_t   i;

    prefix = &w->gateway->redis_prefix;
    size = 0;

    for (i = 0; i < n; i++) {
        keys[i].len = prefix->len + sizeof("{t:}") - 1 + name->len
                      + suffixes[i].len;
        size += keys[i].len;
    }

    p = ngx_mqtt_alloc(w, size);
    if (p == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < n; i++) {
        keys[i].data = p;

        p = ngx_cpymem(p, prefix->data, prefix->len);
        *p++ = '{';
        *p++ = tag;
        *p++ = ':';
        p = ngx_cpymem(p, name->data, name->len);
        *p++ = '}';
        p = ngx_cpymem(p, suffixes[i].data, suffixes[i].len);
    }

    return NGX_OK;
}


void
ngx_mqtt_redis_keys_free(ngx_mqtt_worker_t *w, ngx_str_t *keys, ngx_uint_t n)
{
    size_t      size;
    ngx_uint_t  i;

    size = 0;

    for (i = 0; i < n; i++) {
        size += keys[i].len;
    }

    ngx_mqtt_free(w, keys[0].data, size);
}
