
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * Replies: hiredis' reader parses, its object functions build
 * ngx_mqtt_redis_reply_t in an arena.
 *
 * (1) The arena holds one reply at a time, complete or not, and is emptied
 *     when the reply has been handled.
 * (2) Strings are copied: the reader's buffer moves under a reply that comes
 *     in pieces.
 * (3) The types of RESP3 that hiredis 1.x knows become the nearest one of
 *     RESP2; the engine never asks for RESP3.
 *
 * Called from: ngx_mqtt_redis.c (read handler), ngx_mqtt_redis_connect.c.
 */


#include "ngx_mqtt_redis_core.h"


/* of memory that hiredis keeps when its buffer is empty */

#define NGX_MQTT_REDIS_READER_BUFFER  (256 * 1024)

#define NGX_MQTT_REDIS_MAX_NELTS      (64 * 1024 * 1024)

#if (HIREDIS_MAJOR >= 1)
typedef size_t  ngx_mqtt_redis_nelts_t;
#else
typedef int     ngx_mqtt_redis_nelts_t;
#endif


static void *ngx_mqtt_redis_create_string(const redisReadTask *task,
    char *str, size_t len);
static void *ngx_mqtt_redis_create_array(const redisReadTask *task,
    ngx_mqtt_redis_nelts_t nelts);
static void *ngx_mqtt_redis_create_integer(const redisReadTask *task,
    long long value);
static void *ngx_mqtt_redis_create_nil(const redisReadTask *task);
#if (HIREDIS_MAJOR >= 1)
static void *ngx_mqtt_redis_create_double(const redisReadTask *task,
    double value, char *str, size_t len);
static void *ngx_mqtt_redis_create_bool(const redisReadTask *task, int value);
#endif
static void ngx_mqtt_redis_free_object(void *reply);

static ngx_mqtt_redis_reply_t *ngx_mqtt_redis_create_reply(
    const redisReadTask *task, ngx_uint_t type);
static void *ngx_mqtt_redis_arena_alloc(ngx_mqtt_redis_arena_t *arena,
    size_t size);
static void ngx_mqtt_redis_arena_reset(ngx_mqtt_redis_arena_t *arena);


static redisReplyObjectFunctions  ngx_mqtt_redis_functions = {
    .createString = ngx_mqtt_redis_create_string,
    .createArray = ngx_mqtt_redis_create_array,
    .createInteger = ngx_mqtt_redis_create_integer,
    .createNil = ngx_mqtt_redis_create_nil,
#if (HIREDIS_MAJOR >= 1)
    .createDouble = ngx_mqtt_redis_create_double,
    .createBool = ngx_mqtt_redis_create_bool,
#endif
    .freeObject = ngx_mqtt_redis_free_object
};


/* "try somewhere else, or later": the server is not a working primary now */

static ngx_str_t  ngx_mqtt_redis_unavailable_codes[] = {
    ngx_string("LOADING"),
    ngx_string("READONLY"),
    ngx_string("MASTERDOWN"),
    ngx_string("NOAUTH"),
    ngx_string("WRONGPASS"),
    ngx_string("BUSY"),
    ngx_null_string
};


ngx_int_t
ngx_mqtt_redis_reader_create(ngx_mqtt_redis_t *r)
{
    ngx_mqtt_redis_arena_reset(&r->arena);

    r->reader = redisReaderCreateWithFunctions(&ngx_mqtt_redis_functions);
    if (r->reader == NULL) {
        return NGX_ERROR;
    }

    r->reader->privdata = &r->arena;
    r->reader->maxbuf = NGX_MQTT_REDIS_READER_BUFFER;

    return NGX_OK;
}


void
ngx_mqtt_redis_reader_free(ngx_mqtt_redis_t *r)
{
    if (r->reader) {
        redisReaderFree(r->reader);
        r->reader = NULL;
    }

    ngx_mqtt_redis_arena_reset(&r->arena);
}


ngx_int_t
ngx_mqtt_redis_reader_feed(ngx_mqtt_redis_t *r, u_char *buf, size_t len)
{
    if (redisReaderFeed(r->reader, (char *) buf, len) != REDIS_OK) {
        return NGX_ERROR;
    }

    return NGX_OK;
}


ngx_int_t
ngx_mqtt_redis_reader_next(ngx_mqtt_redis_t *r, ngx_mqtt_redis_reply_t **reply)
{
    void  *p;

    p = NULL;

    if (redisReaderGetReply(r->reader, &p) != REDIS_OK) {
        return NGX_ERROR;
    }

    *reply = p;

    return p ? NGX_OK : NGX_AGAIN;
}


void
ngx_mqtt_redis_reader_done(ngx_mqtt_redis_t *r)
{
    ngx_mqtt_redis_arena_reset(&r->arena);
}


ngx_uint_t
ngx_mqtt_redis_error_is(ngx_mqtt_redis_reply_t *reply, char *code)
{
    size_t  len;

    len = ngx_strlen(code);

    return reply->type == NGX_MQTT_REDIS_ERROR
           && reply->str.len >= len
           && ngx_strncmp(reply->str.data, code, len) == 0
           && (reply->str.len == len || reply->str.data[len] == ' ');
}


ngx_uint_t
ngx_mqtt_redis_unavailable(ngx_mqtt_redis_reply_t *reply)
{
    ngx_str_t  *code;

    if (reply->type != NGX_MQTT_REDIS_ERROR) {
        return 0;
    }

    for (code = ngx_mqtt_redis_unavailable_codes; code->len; code++) {

        if (ngx_mqtt_redis_error_is(reply, (char *) code->data)) {
            return 1;
        }
    }

    return 0;
}


static void *
ngx_mqtt_redis_create_string(const redisReadTask *task, char *str, size_t len)
{
    ngx_uint_t               type;
    ngx_mqtt_redis_reply_t  *reply;

    switch (task->type) {

    case REDIS_REPLY_STATUS:
        type = NGX_MQTT_REDIS_STATUS;
        break;

    case REDIS_REPLY_ERROR:
        type = NGX_MQTT_REDIS_ERROR;
        break;

    default:
        type = NGX_MQTT_REDIS_STRING;
    }

    reply = ngx_mqtt_redis_create_reply(task, type);
    if (reply == NULL) {
        return NULL;
    }

    reply->str.data = ngx_mqtt_redis_arena_alloc(task->privdata, len);
    if (reply->str.data == NULL) {
        return NULL;
    }

    ngx_memcpy(reply->str.data, str, len);
    reply->str.len = len;

    return reply;
}


static void *
ngx_mqtt_redis_create_array(const redisReadTask *task,
    ngx_mqtt_redis_nelts_t nelts)
{
    ngx_mqtt_redis_reply_t  *reply;

    /* a negative count, an int of hiredis 0.14, is a huge one here */

    if ((size_t) nelts > NGX_MQTT_REDIS_MAX_NELTS) {
        return NULL;
    }

    reply = ngx_mqtt_redis_create_reply(task, NGX_MQTT_REDIS_ARRAY);
    if (reply == NULL) {
        return NULL;
    }

    if (nelts) {
        reply->elts = ngx_mqtt_redis_arena_alloc(task->privdata,
                                    nelts * sizeof(ngx_mqtt_redis_reply_t *));
        if (reply->elts == NULL) {
            return NULL;
        }

        reply->nelts = nelts;
    }

    return reply;
}


static void *
ngx_mqtt_redis_create_integer(const redisReadTask *task, long long value)
{
    ngx_mqtt_redis_reply_t  *reply;

    reply = ngx_mqtt_redis_create_reply(task, NGX_MQTT_REDIS_INTEGER);

    if (reply) {
        reply->integer = value;
    }

    return reply;
}


static void *
ngx_mqtt_redis_create_nil(const redisReadTask *task)
{
    return ngx_mqtt_redis_create_reply(task, NGX_MQTT_REDIS_NIL);
}


#if (HIREDIS_MAJOR >= 1)

static void *
ngx_mqtt_redis_create_double(const redisReadTask *task, double value,
    char *str, size_t len)
{
    return ngx_mqtt_redis_create_string(task, str, len);
}


static void *
ngx_mqtt_redis_create_bool(const redisReadTask *task, int value)
{
    return ngx_mqtt_redis_create_integer(task, value);
}

#endif


static void
ngx_mqtt_redis_free_object(void *reply)
{
    /* the arena is emptied as a whole */
}


static ngx_mqtt_redis_reply_t *
ngx_mqtt_redis_create_reply(const redisReadTask *task, ngx_uint_t type)
{
    ngx_mqtt_redis_reply_t  *reply, *parent;

    reply = ngx_mqtt_redis_arena_alloc(task->privdata,
                                       sizeof(ngx_mqtt_redis_reply_t));
    if (reply == NULL) {
        return NULL;
    }

    ngx_memzero(reply, sizeof(ngx_mqtt_redis_reply_t));

    reply->type = type;

    if (task->parent) {
        parent = task->parent->obj;
        parent->elts[task->idx] = reply;
    }

    return reply;
}


static void *
ngx_mqtt_redis_arena_alloc(ngx_mqtt_redis_arena_t *arena, size_t size)
{
    void                    *p;
    size_t                   n;
    ngx_mqtt_redis_block_t  *block;

    size = ngx_align(size, sizeof(void *));

    if (size <= (size_t) (arena->end - arena->pos)) {
        p = arena->pos;
        arena->pos += size;
        return p;
    }

    n = ngx_max(sizeof(ngx_mqtt_redis_block_t) + size,
                4 * NGX_MQTT_REDIS_ARENA);

    block = ngx_mqtt_alloc(arena->worker, n);
    if (block == NULL) {
        return NULL;
    }

    block->next = arena->blocks;
    block->size = n;
    arena->blocks = block;

    p = block + 1;

    /* a block of its own for something large leaves the rest as it is */

    if (n == 4 * NGX_MQTT_REDIS_ARENA) {
        arena->pos = (u_char *) p + size;
        arena->end = (u_char *) block + n;
    }

    return p;
}


static void
ngx_mqtt_redis_arena_reset(ngx_mqtt_redis_arena_t *arena)
{
    ngx_mqtt_redis_block_t  *block;

    while (arena->blocks) {
        block = arena->blocks;
        arena->blocks = block->next;
        ngx_mqtt_free(arena->worker, block, block->size);
    }

    arena->pos = arena->first;
    arena->end = arena->first + NGX_MQTT_REDIS_ARENA;
}
