
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * Retained messages: names in Redis and writing.
 *
 *     store -> script in Redis -> written -> parent listed? -> listed -> done
 *
 * (1) The op of a write completes after the parent is listed: whoever gets
 *     the acknowledgement finds the message by any filter.
 * (2) Writes of one worker take effect in the order of the calls, as they
 *     share a connection.
 *
 * Called from: gateway/ (store), Redis replies.  One worker, no locks.
 */


#include "ngx_mqtt_retain_int.h"


/* expired messages that a write removes with it */

#define NGX_MQTT_RETAIN_PURGE  16


/* a write under way; the parent's bytes stand behind the struct */

typedef struct {
    ngx_mqtt_worker_t        *worker;
    ngx_mqtt_op_t            *op;            /* NULL: nobody waits */
    ngx_mqtt_retain_number_t  number;
    ngx_str_t                 parent;
    u_char                    generation[NGX_INT64_LEN];
    size_t                    generation_len;
} ngx_mqtt_retain_write_t;


static ngx_mqtt_retain_write_t *ngx_mqtt_retain_write_create(
    ngx_mqtt_worker_t *w, ngx_str_t *parent, ngx_mqtt_op_t *op);
static ngx_int_t ngx_mqtt_retain_write(ngx_mqtt_retain_write_t *wr,
    ngx_str_t *topic, ngx_str_t *record, uint64_t expires, ngx_uint_t purge);
static void ngx_mqtt_retain_written(ngx_mqtt_op_t *op);
static void ngx_mqtt_retain_refused(ngx_mqtt_retain_write_t *wr,
    ngx_mqtt_redis_reply_t *reply);
static void ngx_mqtt_retain_list(ngx_mqtt_retain_write_t *wr,
    ngx_str_t *generation);
static void ngx_mqtt_retain_listed(ngx_mqtt_op_t *op);
static void ngx_mqtt_retain_write_done(ngx_mqtt_retain_write_t *wr,
    ngx_int_t rc);
static ngx_str_t *ngx_mqtt_retain_listing(ngx_mqtt_worker_t *w,
    ngx_str_t *parent, ngx_str_t *generation, ngx_str_t *listing);


/* what the keys of a parent end with */

static ngx_str_t  ngx_mqtt_retain_suffixes[NGX_MQTT_RETAIN_KEYS] = {
    ngx_string("m"), ngx_string("t"), ngx_string("x")
};


ngx_int_t
ngx_mqtt_retain_start(ngx_mqtt_worker_t *w)
{
    u_char             *p;
    size_t              len;
    ngx_str_t          *prefix;
    ngx_mqtt_retain_t  *rt;

    prefix = &w->gateway->redis_prefix;
    len = prefix->len + sizeof("{r}p") - 1;

    rt = ngx_pcalloc(w->cycle->pool, sizeof(ngx_mqtt_retain_t));
    p = ngx_pnalloc(w->cycle->pool, 2 * len);

    if (rt == NULL || p == NULL) {
        return NGX_ERROR;
    }

    rt->parents.data = p;
    rt->parents.len = len;
    p = ngx_sprintf(p, "%V{r}p", prefix);

    rt->expiry.data = p;
    rt->expiry.len = len;
    ngx_sprintf(p, "%V{r}x", prefix);

    w->retain = rt;

    ngx_mqtt_retain_order_init(w);

    return ngx_mqtt_retain_expire_init(w);
}


void
ngx_mqtt_retain_stop(ngx_mqtt_worker_t *w)
{
    if (w->retain->timer.timer_set) {
        ngx_del_timer(&w->retain->timer);
    }

    ngx_mqtt_retain_order_stop(w);

    w->retain = NULL;
}


ngx_uint_t
ngx_mqtt_retain_busy(ngx_mqtt_worker_t *w)
{
    return ngx_mqtt_redis_full(w->redis);
}


void
ngx_mqtt_retain_store(ngx_mqtt_worker_t *w, ngx_mqtt_msg_t *m,
    ngx_mqtt_op_t *op)
{
    uint64_t                  expires;
    ngx_int_t                 rc;
    ngx_str_t                 parent, rest, record;
    ngx_mqtt_retain_write_t  *wr;

    rest = m->topic;
    (void) ngx_mqtt_topic_next_level(&rest, &parent);

    ngx_str_null(&record);
    expires = 0;

    if (m->payload.len) {
        record.len = ngx_mqtt_frame_msg_len(m);
        record.data = ngx_mqtt_alloc(w, record.len);

        if (record.data == NULL) {
            goto failed;
        }

        (void) ngx_mqtt_frame_write_msg(record.data, m);

        if (m->has_expiry) {
            expires = m->received + (uint64_t) m->expiry * 1000;
        }
    }

    wr = ngx_mqtt_retain_write_create(w, &parent, op);

    rc = wr ? ngx_mqtt_retain_write(wr, &m->topic, &record, expires,
                                    NGX_MQTT_RETAIN_PURGE)
            : NGX_ERROR;

    ngx_mqtt_free(w, record.data, record.len);

    if (rc == NGX_OK) {
        ngx_mqtt_retain_order_begin(w, &wr->number);
        return;
    }

failed:

    if (op) {
        ngx_mqtt_op_post(op, NGX_ERROR, NGX_MQTT_UNSPECIFIED_ERROR);
    }
}


void
ngx_mqtt_retain_purge(ngx_mqtt_worker_t *w, ngx_str_t *parent, ngx_uint_t max)
{
    ngx_str_t                 none;
    ngx_mqtt_retain_write_t  *wr;

    ngx_str_null(&none);

    wr = ngx_mqtt_retain_write_create(w, parent, NULL);

    if (wr) {
        (void) ngx_mqtt_retain_write(wr, &none, &none, 0, max);
    }
}


static ngx_mqtt_retain_write_t *
ngx_mqtt_retain_write_create(ngx_mqtt_worker_t *w, ngx_str_t *parent,
    ngx_mqtt_op_t *op)
{
    ngx_mqtt_retain_write_t  *wr;

    wr = ngx_mqtt_alloc(w, sizeof(ngx_mqtt_retain_write_t) + parent->len);
    if (wr == NULL) {
        return NULL;
    }

    wr->worker = w;
    wr->op = op;
    wr->number.value = 0;
    wr->parent.len = parent->len;
    wr->parent.data = (u_char *) wr + sizeof(ngx_mqtt_retain_write_t);

    ngx_memcpy(wr->parent.data, parent->data, parent->len);

    return wr;
}


/* NGX_ERROR: out of memory, and wr is freed */

static ngx_int_t
ngx_mqtt_retain_write(ngx_mqtt_retain_write_t *wr, ngx_str_t *topic,
    ngx_str_t *record, uint64_t expires, ngx_uint_t purge)
{
    u_char              numbers[3][NGX_INT64_LEN];
    ngx_str_t           argv[NGX_MQTT_RETAIN_KEYS + 5];
    ngx_mqtt_op_t      *op;
    ngx_mqtt_worker_t  *w;

    w = wr->worker;

    op = ngx_mqtt_op_get(w, NULL, ngx_mqtt_retain_written, wr);

    if (op == NULL || ngx_mqtt_retain_keys(w, &wr->parent, argv) != NGX_OK) {

        if (op) {
            ngx_mqtt_op_cancel(op);
        }

        ngx_mqtt_free(w, wr, sizeof(ngx_mqtt_retain_write_t)
                             + wr->parent.len);
        return NGX_ERROR;
    }

    argv[3] = *topic;
    argv[4] = *record;

    argv[5].data = numbers[0];
    argv[5].len = ngx_sprintf(numbers[0], "%uL", expires) - numbers[0];

    argv[6].data = numbers[1];
    argv[6].len = ngx_mqtt_retain_now(numbers[1]) - numbers[1];

    argv[7].data = numbers[2];
    argv[7].len = ngx_sprintf(numbers[2], "%ui", purge) - numbers[2];

    ngx_mqtt_redis_script(w->redis, NGX_MQTT_LUA_RETAIN_SET,
                          NGX_MQTT_RETAIN_KEYS, NGX_MQTT_RETAIN_KEYS + 5,
                          argv, NGX_MQTT_REDIS_WAIT, op);

    ngx_mqtt_retain_keys_free(w, argv);

    return NGX_OK;
}


/* { stored or removed, generation to list, generation ended, next expiry } */

static void
ngx_mqtt_retain_written(ngx_mqtt_op_t *op)
{
    ngx_uint_t                i;
    ngx_mqtt_worker_t        *w;
    ngx_mqtt_redis_reply_t   *reply, **elts;
    ngx_mqtt_retain_write_t  *wr;

    wr = op->data;
    w = wr->worker;
    reply = op->result;

    if (op->rc != NGX_OK) {
        ngx_mqtt_retain_refused(wr, reply);
        return;
    }

    if (reply->type != NGX_MQTT_REDIS_ARRAY || reply->nelts != 4) {
        goto unexpected;
    }

    elts = reply->elts;

    for (i = 0; i < 4; i++) {

        if (elts[i]->type
            != (i ? NGX_MQTT_REDIS_STRING : NGX_MQTT_REDIS_INTEGER))
        {
            goto unexpected;
        }
    }

    if (elts[0]->integer > 0) {
        ngx_mqtt_count(w, NGX_MQTT_STAT_retained_stored);

    } else if (elts[0]->integer < 0) {
        ngx_mqtt_count(w, NGX_MQTT_STAT_retained_removed);
    }

    if (elts[2]->str.len) {
        ngx_mqtt_retain_unlist(w, &wr->parent, &elts[2]->str);
    }

    if (elts[3]->str.len) {
        ngx_mqtt_retain_expire_note(w, &wr->parent, &elts[3]->str);
    }

    if (elts[1]->str.len && elts[1]->str.len <= NGX_INT64_LEN) {
        ngx_mqtt_retain_list(wr, &elts[1]->str);
        return;
    }

    ngx_mqtt_retain_write_done(wr, NGX_OK);

    return;

unexpected:

    ngx_log_error(NGX_LOG_ERR, w->log, 0,
                  "unexpected reply of Redis to a retained message");
    ngx_mqtt_retain_write_done(wr, NGX_DECLINED);
}


static void
ngx_mqtt_retain_refused(ngx_mqtt_retain_write_t *wr,
    ngx_mqtt_redis_reply_t *reply)
{
    ngx_str_t  text;

    ngx_str_set(&text, "Redis is away");

    if (reply) {
        text = reply->str;
    }

    ngx_log_error(NGX_LOG_ERR, wr->worker->log, 0,
                  "retained message under \"%V\" could not be stored: "
                  "\"%V\"", &wr->parent, &text);

    ngx_mqtt_retain_write_done(wr, NGX_DECLINED);
}


static void
ngx_mqtt_retain_list(ngx_mqtt_retain_write_t *wr, ngx_str_t *generation)
{
    ngx_str_t           argv[4];
    ngx_mqtt_op_t      *op;
    ngx_mqtt_worker_t  *w;

    w = wr->worker;

    op = ngx_mqtt_op_get(w, NULL, ngx_mqtt_retain_listed, wr);

    if (op == NULL
        || ngx_mqtt_retain_listing(w, &wr->parent, generation, &argv[3])
           == NULL)
    {
        if (op) {
            ngx_mqtt_op_cancel(op);
        }

        ngx_mqtt_retain_write_done(wr, NGX_DECLINED);
        return;
    }

    wr->generation_len = generation->len;
    ngx_memcpy(wr->generation, generation->data, generation->len);

    ngx_str_set(&argv[0], "ZADD");
    argv[1] = w->retain->parents;
    ngx_str_set(&argv[2], "0");

    ngx_mqtt_redis_command(w->redis, 4, argv, NGX_MQTT_REDIS_WAIT, op);

    ngx_mqtt_free(w, argv[3].data, argv[3].len);
}


static void
ngx_mqtt_retain_listed(ngx_mqtt_op_t *op)
{
    ngx_str_t                 argv[2], keys[NGX_MQTT_RETAIN_KEYS];
    ngx_mqtt_worker_t        *w;
    ngx_mqtt_retain_write_t  *wr;

    wr = op->data;
    w = wr->worker;

    if (op->rc != NGX_OK) {
        ngx_mqtt_retain_refused(wr, op->result);
        return;
    }

    /* the next write need not list it again: nobody waits for this */

    if (ngx_mqtt_retain_keys(w, &wr->parent, keys) == NGX_OK) {
        argv[0] = keys[NGX_MQTT_RETAIN_MESSAGES];
        argv[1].data = wr->generation;
        argv[1].len = wr->generation_len;

        ngx_mqtt_redis_script(w->redis, NGX_MQTT_LUA_RETAIN_LISTED, 1, 2,
                              argv, NGX_MQTT_REDIS_WAIT, NULL);

        ngx_mqtt_retain_keys_free(w, keys);
    }

    ngx_mqtt_retain_write_done(wr, NGX_OK);
}


static void
ngx_mqtt_retain_write_done(ngx_mqtt_retain_write_t *wr, ngx_int_t rc)
{
    if (wr->number.value) {
        ngx_mqtt_retain_order_done(wr->worker, &wr->number);
    }

    if (wr->op) {
        ngx_mqtt_op_complete(wr->op, rc,
                             (rc == NGX_OK) ? NGX_MQTT_SUCCESS
                                            : NGX_MQTT_UNSPECIFIED_ERROR,
                             NULL);
    }

    ngx_mqtt_free(wr->worker, wr,
                  sizeof(ngx_mqtt_retain_write_t) + wr->parent.len);
}


void
ngx_mqtt_retain_unlist(ngx_mqtt_worker_t *w, ngx_str_t *parent,
    ngx_str_t *generation)
{
    ngx_str_t  argv[3];

    if (ngx_mqtt_retain_listing(w, parent, generation, &argv[2]) == NULL) {
        return;
    }

    ngx_str_set(&argv[0], "ZREM");
    argv[1] = w->retain->parents;

    ngx_mqtt_redis_command(w->redis, 3, argv, NGX_MQTT_REDIS_WAIT, NULL);

    ngx_mqtt_free(w, argv[2].data, argv[2].len);
}


/* an entry of the list: parent, zero byte, generation; freed by the caller */

static ngx_str_t *
ngx_mqtt_retain_listing(ngx_mqtt_worker_t *w, ngx_str_t *parent,
    ngx_str_t *generation, ngx_str_t *listing)
{
    u_char  *p;

    listing->len = parent->len + 1 + generation->len;
    listing->data = ngx_mqtt_alloc(w, listing->len);

    if (listing->data == NULL) {
        return NULL;
    }

    p = ngx_cpymem(listing->data, parent->data, parent->len);
    *p++ = '\0';
    ngx_memcpy(p, generation->data, generation->len);

    return listing;
}


ngx_int_t
ngx_mqtt_retain_keys(ngx_mqtt_worker_t *w, ngx_str_t *parent, ngx_str_t *keys)
{
    return ngx_mqtt_redis_keys(w, 'r', parent, ngx_mqtt_retain_suffixes,
                               NGX_MQTT_RETAIN_KEYS, keys);
}


void
ngx_mqtt_retain_keys_free(ngx_mqtt_worker_t *w, ngx_str_t *keys)
{
    ngx_mqtt_redis_keys_free(w, keys, NGX_MQTT_RETAIN_KEYS);
}


u_char *
ngx_mqtt_retain_now(u_char *p)
{
    ngx_time_t  *tp;

    tp = ngx_timeofday();

    return ngx_sprintf(p, "%uL", (uint64_t) tp->sec * 1000 + tp->msec);
}
