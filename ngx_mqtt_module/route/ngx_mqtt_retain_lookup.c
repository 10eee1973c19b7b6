
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * Looking retained messages up, page by page:
 *
 *     a/b      one command
 *     a/+/b    a script under the parent "a", called again with its cursor
 *     +/b, #   the list of parents; under each of them as above
 *
 * (1) One command of a look-up is under way at a time; its op stands in
 *     lookup->ops and is orphaned when the look-up ends.
 * (2) An empty page is not worth a call: the next one is asked for at once,
 *     from the reply, so that the event loop turns in between.
 * (3) What is left of the list of parents is kept in lookup->list as it came,
 *     { length, entry } after each other; parent and generation point into
 *     it.
 *
 * Called from: client/, Redis replies.  One worker, no locks.
 */


#include "ngx_mqtt_retain_int.h"


/* bounds of a page: messages, their bytes, steps of the script */

#define NGX_MQTT_RETAIN_PAGE       64
#define NGX_MQTT_RETAIN_PAGE_SIZE  65536
#define NGX_MQTT_RETAIN_STEPS      32

/* parents asked for at once */

#define NGX_MQTT_RETAIN_LIST       64


static void ngx_mqtt_retain_waited(ngx_mqtt_op_t *op);
static ngx_int_t ngx_mqtt_retain_step(ngx_mqtt_retain_lookup_t *lookup);
static void ngx_mqtt_retain_step_exact(ngx_mqtt_retain_lookup_t *lookup,
    ngx_mqtt_op_t *op);
static void ngx_mqtt_retain_step_page(ngx_mqtt_retain_lookup_t *lookup,
    ngx_mqtt_op_t *op);
static ngx_int_t ngx_mqtt_retain_under(ngx_mqtt_retain_lookup_t *lookup,
    ngx_str_t *filter);
static void ngx_mqtt_retain_step_list(ngx_mqtt_retain_lookup_t *lookup,
    ngx_mqtt_op_t *op);
static void ngx_mqtt_retain_found(ngx_mqtt_op_t *op);
static void ngx_mqtt_retain_paged(ngx_mqtt_op_t *op);
static void ngx_mqtt_retain_parents(ngx_mqtt_op_t *op);
static ngx_int_t ngx_mqtt_retain_keep_list(ngx_mqtt_retain_lookup_t *lookup,
    ngx_mqtt_redis_reply_t *reply);
static void ngx_mqtt_retain_advance(ngx_mqtt_retain_lookup_t *lookup);
static ngx_int_t ngx_mqtt_retain_take(ngx_mqtt_retain_lookup_t *lookup,
    ngx_mqtt_redis_reply_t **elts, ngx_uint_t n);
static ngx_int_t ngx_mqtt_retain_set(ngx_mqtt_worker_t *w, ngx_str_t *dst,
    ngx_str_t *src);
static void ngx_mqtt_retain_answer(ngx_mqtt_retain_lookup_t *lookup);
static void ngx_mqtt_retain_fail(ngx_mqtt_retain_lookup_t *lookup,
    ngx_mqtt_redis_reply_t *reply);


ngx_int_t
ngx_mqtt_retain_lookup(ngx_mqtt_worker_t *w, ngx_mqtt_retain_lookup_t *lookup,
    ngx_str_t *filter)
{
    ngx_str_t  rest;

    lookup->worker = w;
    lookup->msgs = NULL;
    lookup->nmsgs = 0;
    lookup->next = 0;
    lookup->size = 0;

    ngx_queue_init(&lookup->ops);

    ngx_str_null(&lookup->filter);
    ngx_str_null(&lookup->parent);
    ngx_str_null(&lookup->generation);
    ngx_str_null(&lookup->cursor);
    ngx_str_null(&lookup->list);

    lookup->list_pos = NULL;
    lookup->list_end = 0;
    lookup->begun = 0;
    lookup->finished = 0;

    if (ngx_mqtt_retain_set(w, &lookup->filter, filter) != NGX_OK) {
        return NGX_ERROR;
    }

    lookup->exact = !ngx_mqtt_topic_has_wildcard(filter);
    lookup->walk = (filter->data[0] == '+' || filter->data[0] == '#');

    if (!lookup->walk) {
        rest = lookup->filter;
        (void) ngx_mqtt_topic_next_level(&rest, &lookup->parent);
    }

    return NGX_OK;
}


void
ngx_mqtt_retain_lookup_end(ngx_mqtt_retain_lookup_t *lookup)
{
    ngx_uint_t          i;
    ngx_mqtt_worker_t  *w;

    w = lookup->worker;

    ngx_mqtt_op_orphan(&lookup->ops);

    for (i = lookup->next; i < lookup->nmsgs; i++) {
        ngx_mqtt_msg_unref(lookup->msgs[i]);
    }

    ngx_mqtt_retain_page_free(lookup);

    ngx_mqtt_free(w, lookup->filter.data, lookup->filter.len);
    ngx_mqtt_free(w, lookup->cursor.data, lookup->cursor.len);
    ngx_mqtt_free(w, lookup->list.data, lookup->list.len);
}


void
ngx_mqtt_retain_page_free(ngx_mqtt_retain_lookup_t *lookup)
{
    ngx_mqtt_free(lookup->worker, lookup->msgs,
                  lookup->size * sizeof(ngx_mqtt_msg_t *));

    lookup->msgs = NULL;
    lookup->nmsgs = 0;
    lookup->next = 0;
    lookup->size = 0;
}


ngx_int_t
ngx_mqtt_retain_next(ngx_mqtt_retain_lookup_t *lookup)
{
    ngx_int_t  rc;

    if (!lookup->begun) {
        lookup->begun = 1;

        rc = ngx_mqtt_retain_order_wait(lookup->worker, &lookup->ops,
                                        ngx_mqtt_retain_waited, lookup);

        if (rc != NGX_OK) {
            return (rc == NGX_AGAIN) ? NGX_OK : NGX_ERROR;
        }
    }

    return ngx_mqtt_retain_step(lookup);
}


static void
ngx_mqtt_retain_waited(ngx_mqtt_op_t *op)
{
    ngx_mqtt_retain_lookup_t  *lookup;

    lookup = op->data;

    if (ngx_mqtt_retain_step(lookup) != NGX_OK) {
        ngx_mqtt_retain_fail(lookup, NULL);
    }
}


static ngx_int_t
ngx_mqtt_retain_step(ngx_mqtt_retain_lookup_t *lookup)
{
    ngx_mqtt_op_t   *op;
    ngx_mqtt_op_pt   done;

    if (lookup->exact) {
        done = ngx_mqtt_retain_found;

    } else if (lookup->parent.data) {
        done = ngx_mqtt_retain_paged;

    } else {
        done = ngx_mqtt_retain_parents;
    }

    op = ngx_mqtt_op_get(lookup->worker, &lookup->ops, done, lookup);

    if (op == NULL) {
        return NGX_ERROR;
    }

    if (lookup->exact) {
        ngx_mqtt_retain_step_exact(lookup, op);

    } else if (lookup->parent.data) {
        ngx_mqtt_retain_step_page(lookup, op);

    } else {
        ngx_mqtt_retain_step_list(lookup, op);
    }

    return NGX_OK;
}


static void
ngx_mqtt_retain_step_exact(ngx_mqtt_retain_lookup_t *lookup,
    ngx_mqtt_op_t *op)
{
    ngx_str_t           argv[3], keys[NGX_MQTT_RETAIN_KEYS];
    ngx_mqtt_worker_t  *w;

    w = lookup->worker;

    if (ngx_mqtt_retain_keys(w, &lookup->parent, keys) != NGX_OK) {
        ngx_mqtt_op_post(op, NGX_ERROR, NGX_MQTT_UNSPECIFIED_ERROR);
        return;
    }

    ngx_str_set(&argv[0], "HGET");
    argv[1] = keys[NGX_MQTT_RETAIN_MESSAGES];
    argv[2] = lookup->filter;

    ngx_mqtt_redis_command(w->redis, 3, argv,
                           NGX_MQTT_REDIS_WAIT|NGX_MQTT_REDIS_READ, op);

    ngx_mqtt_retain_keys_free(w, keys);
}


static void
ngx_mqtt_retain_step_page(ngx_mqtt_retain_lookup_t *lookup, ngx_mqtt_op_t *op)
{
    u_char              now[NGX_INT64_LEN];
    ngx_str_t           filter, argv[NGX_MQTT_RETAIN_KEYS + 7];
    ngx_mqtt_worker_t  *w;

    w = lookup->worker;

    if (ngx_mqtt_retain_under(lookup, &filter) != NGX_OK) {
        ngx_mqtt_op_post(op, NGX_ERROR, NGX_MQTT_UNSPECIFIED_ERROR);
        return;
    }

    if (ngx_mqtt_retain_keys(w, &lookup->parent, argv) != NGX_OK) {
        ngx_mqtt_free(w, filter.data, filter.len);
        ngx_mqtt_op_post(op, NGX_ERROR, NGX_MQTT_UNSPECIFIED_ERROR);
        return;
    }

    argv[3] = filter;
    argv[4] = lookup->cursor;
    argv[5] = lookup->generation;

    argv[6].data = now;
    argv[6].len = ngx_mqtt_retain_now(now) - now;

    ngx_str_set(&argv[7], ngx_value(NGX_MQTT_RETAIN_PAGE));
    ngx_str_set(&argv[8], ngx_value(NGX_MQTT_RETAIN_PAGE_SIZE));
    ngx_str_set(&argv[9], ngx_value(NGX_MQTT_RETAIN_STEPS));

    ngx_mqtt_redis_script(w->redis, NGX_MQTT_LUA_RETAIN_PAGE,
                          NGX_MQTT_RETAIN_KEYS, NGX_MQTT_RETAIN_KEYS + 7,
                          argv, NGX_MQTT_REDIS_WAIT|NGX_MQTT_REDIS_READ, op);

    ngx_mqtt_free(w, filter.data, filter.len);
    ngx_mqtt_retain_keys_free(w, argv);
}


/* the filter for one parent: "+/b" becomes "parent/b", "#" "parent/#" */

static ngx_int_t
ngx_mqtt_retain_under(ngx_mqtt_retain_lookup_t *lookup, ngx_str_t *filter)
{
    u_char     *p;
    ngx_str_t   rest;

    rest = lookup->filter;

    if (!lookup->walk) {
        ngx_str_null(filter);
        return ngx_mqtt_retain_set(lookup->worker, filter, &rest);
    }

    if (rest.data[0] == '#') {
        ngx_str_set(&rest, "/#");

    } else {
        rest.data++;
        rest.len--;
    }

    filter->len = lookup->parent.len + rest.len;
    filter->data = ngx_mqtt_alloc(lookup->worker, filter->len);

    if (filter->data == NULL) {
        return NGX_ERROR;
    }

    p = ngx_cpymem(filter->data, lookup->parent.data, lookup->parent.len);
    ngx_memcpy(p, rest.data, rest.len);

    return NGX_OK;
}


/* the parents behind the last one that was walked over */

static void
ngx_mqtt_retain_step_list(ngx_mqtt_retain_lookup_t *lookup, ngx_mqtt_op_t *op)
{
    ngx_str_t           argv[7];
    ngx_mqtt_worker_t  *w;

    w = lookup->worker;

    ngx_str_set(&argv[0], "ZRANGEBYLEX");
    argv[1] = w->retain->parents;
    ngx_str_set(&argv[2], "-");
    ngx_str_set(&argv[3], "+");
    ngx_str_set(&argv[4], "LIMIT");
    ngx_str_set(&argv[5], "0");
    ngx_str_set(&argv[6], ngx_value(NGX_MQTT_RETAIN_LIST));

    if (lookup->cursor.len) {
        argv[2] = lookup->cursor;
    }

    ngx_mqtt_redis_command(w->redis, 7, argv,
                           NGX_MQTT_REDIS_WAIT|NGX_MQTT_REDIS_READ, op);
}


static void
ngx_mqtt_retain_found(ngx_mqtt_op_t *op)
{
    ngx_mqtt_redis_reply_t    *reply;
    ngx_mqtt_retain_lookup_t  *lookup;

    lookup = op->data;
    reply = op->result;

    if (op->rc != NGX_OK) {
        ngx_mqtt_retain_fail(lookup, reply);
        return;
    }

    lookup->finished = 1;

    if (reply->type == NGX_MQTT_REDIS_STRING) {

        if (ngx_mqtt_retain_take(lookup, &reply, 1) != NGX_OK) {
            ngx_mqtt_retain_fail(lookup, NULL);
            return;
        }

        if (lookup->nmsgs == 0) {

            /* expired; who reads this topic removes it */

            ngx_mqtt_retain_purge(lookup->worker, &lookup->parent,
                                  NGX_MQTT_RETAIN_PAGE);
        }
    }

    ngx_mqtt_retain_answer(lookup);
}


/* { cursor, generation that has ended, messages ... } */

static void
ngx_mqtt_retain_paged(ngx_mqtt_op_t *op)
{
    ngx_mqtt_worker_t         *w;
    ngx_mqtt_redis_reply_t    *reply, **elts;
    ngx_mqtt_retain_lookup_t  *lookup;

    lookup = op->data;
    w = lookup->worker;
    reply = op->result;

    if (op->rc != NGX_OK
        || reply->type != NGX_MQTT_REDIS_ARRAY
        || reply->nelts < 2
        || reply->elts[0]->type != NGX_MQTT_REDIS_STRING
        || reply->elts[1]->type != NGX_MQTT_REDIS_STRING)
    {
        ngx_mqtt_retain_fail(lookup, reply);
        return;
    }

    elts = reply->elts;

    if (elts[1]->str.len) {
        ngx_mqtt_retain_unlist(w, &lookup->parent, &elts[1]->str);
    }

    if (ngx_mqtt_retain_take(lookup, elts + 2, reply->nelts - 2) != NGX_OK
        || ngx_mqtt_retain_set(w, &lookup->cursor, &elts[0]->str) != NGX_OK)
    {
        ngx_mqtt_retain_fail(lookup, NULL);
        return;
    }

    if (lookup->cursor.len == 0) {

        if (lookup->walk) {
            ngx_mqtt_retain_advance(lookup);

        } else {
            lookup->finished = 1;
        }
    }

    ngx_mqtt_retain_answer(lookup);
}


static void
ngx_mqtt_retain_parents(ngx_mqtt_op_t *op)
{
    ngx_mqtt_redis_reply_t    *reply;
    ngx_mqtt_retain_lookup_t  *lookup;

    lookup = op->data;
    reply = op->result;

    if (op->rc != NGX_OK
        || reply->type != NGX_MQTT_REDIS_ARRAY
        || ngx_mqtt_retain_keep_list(lookup, reply) != NGX_OK)
    {
        ngx_mqtt_retain_fail(lookup, reply);
        return;
    }

    ngx_mqtt_retain_advance(lookup);
    ngx_mqtt_retain_answer(lookup);
}


static ngx_int_t
ngx_mqtt_retain_keep_list(ngx_mqtt_retain_lookup_t *lookup,
    ngx_mqtt_redis_reply_t *reply)
{
    u_char             *p;
    size_t              len;
    ngx_uint_t          i;
    ngx_mqtt_worker_t  *w;

    w = lookup->worker;

    ngx_mqtt_free(w, lookup->list.data, lookup->list.len);
    ngx_mqtt_free(w, lookup->cursor.data, lookup->cursor.len);

    ngx_str_null(&lookup->list);
    ngx_str_null(&lookup->cursor);

    lookup->list_pos = NULL;
    lookup->list_end = (reply->nelts < NGX_MQTT_RETAIN_LIST);

    len = 0;

    for (i = 0; i < reply->nelts; i++) {
        len += sizeof(uint32_t) + reply->elts[i]->str.len;
    }

    if (len == 0) {
        return NGX_OK;
    }

    p = ngx_mqtt_alloc(w, len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    lookup->list.data = p;
    lookup->list.len = len;
    lookup->list_pos = p;

    for (i = 0; i < reply->nelts; i++) {
        p = ngx_mqtt_frame_write_str(p, &reply->elts[i]->str);
    }

    return NGX_OK;
}


/*
 * To the next parent of the list.  At the end of the list parent.data is NULL
 * and the cursor is where the next part of the list begins: behind all
 * generations of the last parent.
 */

static void
ngx_mqtt_retain_advance(ngx_mqtt_retain_lookup_t *lookup)
{
    u_char     *p, *end, *zero;
    ngx_str_t   entry, last;

    last = lookup->parent;
    end = lookup->list.data + lookup->list.len;

    while (lookup->list_pos != end) {
        p = ngx_mqtt_frame_read_str(lookup->list_pos, end, &entry);

        lookup->list_pos = p ? p : end;

        zero = p ? ngx_strlchr(entry.data, entry.data + entry.len, '\0')
                 : NULL;

        if (zero == NULL) {
            continue;
        }

        lookup->parent.data = entry.data;
        lookup->parent.len = zero - entry.data;

        lookup->generation.data = zero + 1;
        lookup->generation.len = entry.data + entry.len - zero - 1;

        /* [MQTT-4.7.2-1]; an old generation may stand before the new one */

        if ((lookup->parent.len && lookup->parent.data[0] == '$')
            || (last.data
                && last.len == lookup->parent.len
                && ngx_memcmp(last.data, lookup->parent.data, last.len) == 0))
        {
            continue;
        }

        return;
    }

    if (lookup->list_end) {
        lookup->finished = 1;
        return;
    }

    /* the bytes of the last entry stand in the list, '[' before, 1 behind */

    entry.len = lookup->parent.len + 2;
    entry.data = ngx_mqtt_alloc(lookup->worker, entry.len);

    if (entry.data == NULL) {
        lookup->finished = 1;
        return;
    }

    p = entry.data;
    *p++ = '[';
    p = ngx_cpymem(p, lookup->parent.data, lookup->parent.len);
    *p = '\1';

    lookup->cursor = entry;
    ngx_str_null(&lookup->parent);
}


/* the messages of a reply, but those that have expired */

static ngx_int_t
ngx_mqtt_retain_take(ngx_mqtt_retain_lookup_t *lookup,
    ngx_mqtt_redis_reply_t **elts, ngx_uint_t n)
{
    ngx_uint_t       i;
    ngx_mqtt_msg_t  *m;

    if (n == 0) {
        return NGX_OK;
    }

    lookup->msgs = ngx_mqtt_alloc(lookup->worker,
                                  n * sizeof(ngx_mqtt_msg_t *));
    if (lookup->msgs == NULL) {
        return NGX_ERROR;
    }

    lookup->size = n;

    for (i = 0; i < n; i++) {
        m = NULL;

        if (elts[i]->type == NGX_MQTT_REDIS_STRING) {
            m = ngx_mqtt_frame_read_msg(lookup->worker, &elts[i]->str);
        }

        if (m == NULL) {
            ngx_log_error(NGX_LOG_ERR, lookup->worker->log, 0,
                          "malformed retained message under \"%V\"",
                          &lookup->parent);
            continue;
        }

        if (ngx_mqtt_msg_expired(m)) {
            ngx_mqtt_msg_unref(m);
            continue;
        }

        lookup->msgs[lookup->nmsgs++] = m;
    }

    if (lookup->nmsgs == 0) {
        ngx_mqtt_retain_page_free(lookup);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_mqtt_retain_set(ngx_mqtt_worker_t *w, ngx_str_t *dst, ngx_str_t *src)
{
    ngx_mqtt_free(w, dst->data, dst->len);
    ngx_str_null(dst);

    if (src->len == 0) {
        return NGX_OK;
    }

    dst->data = ngx_mqtt_alloc(w, src->len);
    if (dst->data == NULL) {
        return NGX_ERROR;
    }

    dst->len = src->len;
    ngx_memcpy(dst->data, src->data, src->len);

    return NGX_OK;
}


static void
ngx_mqtt_retain_answer(ngx_mqtt_retain_lookup_t *lookup)
{
    if (lookup->nmsgs == 0 && !lookup->finished) {

        if (ngx_mqtt_retain_step(lookup) != NGX_OK) {
            ngx_mqtt_retain_fail(lookup, NULL);
        }

        return;
    }

    lookup->done(lookup, NGX_OK);
}


static void
ngx_mqtt_retain_fail(ngx_mqtt_retain_lookup_t *lookup,
    ngx_mqtt_redis_reply_t *reply)
{
    ngx_str_t  text;

    ngx_str_set(&text, "no reply");

    if (reply && reply->type == NGX_MQTT_REDIS_ERROR) {
        text = reply->str;
    }

    ngx_log_error(NGX_LOG_ERR, lookup->worker->log, 0,
                  "retained messages of \"%V\" could not be looked up: "
                  "\"%V\"", &lookup->filter, &text);

    lookup->finished = 1;

    lookup->done(lookup, NGX_ERROR);
}
