
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * Messages out of the log of a group, and back into it; the invariants are in
 * ngx_mqtt_group_int.h.
 *
 *     take -> script -> taken -> a member of this worker
 *     done  -> script
 *     again -> script -> returned -> somebody is told
 *
 * What is done or given up in one turn of the event loop goes in one script
 * for each group.
 *
 * Called from: ngx_mqtt_group.c, ngx_mqtt_share.c, Redis replies.
 */


#include "ngx_mqtt_group_int.h"


#define NGX_MQTT_GROUP_MESSAGES  64       /* of one take */
#define NGX_MQTT_GROUP_SIZE      262144
#define NGX_MQTT_GROUP_BATCH     64       /* of done or again */

/* "<owner> <number>" */

#define NGX_MQTT_GROUP_WHO       (NGX_MQTT_PEER_NAME + 1 + NGX_INT64_LEN)


/* keys of a group's log */

#define NGX_MQTT_GROUP_HASH      0
#define NGX_MQTT_GROUP_LIST      1
#define NGX_MQTT_GROUP_TAKEN     2
#define NGX_MQTT_GROUP_RETURNED  3


/* what a script is about; the log may end meanwhile */

typedef struct {
    uint64_t                  group;
    uint64_t                  take;
    ngx_queue_t               messages;    /* ngx_mqtt_shared_t given up */
} ngx_mqtt_group_call_t;


static ngx_mqtt_op_t *ngx_mqtt_group_call(ngx_mqtt_worker_t *w,
    uint64_t group, ngx_mqtt_op_pt done);
static u_char *ngx_mqtt_group_who(u_char *p, ngx_mqtt_worker_t *w,
    uint64_t take);
static void ngx_mqtt_group_taken(ngx_mqtt_op_t *op);
static void ngx_mqtt_group_deliver(ngx_mqtt_worker_t *w,
    ngx_mqtt_group_call_t *call, ngx_mqtt_redis_reply_t *number,
    ngx_mqtt_redis_reply_t *entry);
static void ngx_mqtt_group_settle_queue(ngx_mqtt_worker_t *w,
    ngx_queue_t *queue, ngx_uint_t again);
static void ngx_mqtt_group_settle_later(ngx_mqtt_shared_t *sd,
    ngx_uint_t again);
static ngx_uint_t ngx_mqtt_group_batch(ngx_queue_t *queue,
    ngx_queue_t *batch);
static void ngx_mqtt_group_send_batch(ngx_mqtt_worker_t *w,
    ngx_mqtt_group_log_t *gl, ngx_queue_t *batch, ngx_uint_t n,
    ngx_uint_t again, ngx_mqtt_op_t *op);
static void ngx_mqtt_group_free_batch(ngx_queue_t *batch);
static void ngx_mqtt_group_returned(ngx_mqtt_op_t *op);
static void ngx_mqtt_group_given_back(ngx_mqtt_op_t *op);


ngx_int_t
ngx_mqtt_group_keys(ngx_mqtt_worker_t *w, ngx_str_t *log, ngx_str_t *keys)
{
    static ngx_str_t  suffixes[NGX_MQTT_GROUP_KEYS] = {
        ngx_string(""), ngx_string("l"), ngx_string("p"), ngx_string("q")
    };

    return ngx_mqtt_redis_keys(w, 'f', log, suffixes, NGX_MQTT_GROUP_KEYS,
                               keys);
}


void
ngx_mqtt_group_keys_free(ngx_mqtt_worker_t *w, ngx_str_t *keys)
{
    ngx_mqtt_redis_keys_free(w, keys, NGX_MQTT_GROUP_KEYS);
}


static ngx_mqtt_op_t *
ngx_mqtt_group_call(ngx_mqtt_worker_t *w, uint64_t group, ngx_mqtt_op_pt done)
{
    ngx_mqtt_op_t          *op;
    ngx_mqtt_group_call_t  *call;

    call = ngx_mqtt_alloc(w, sizeof(ngx_mqtt_group_call_t));
    if (call == NULL) {
        return NULL;
    }

    call->group = group;
    call->take = 0;
    ngx_queue_init(&call->messages);

    op = ngx_mqtt_op_get(w, NULL, done, call);

    if (op == NULL) {
        ngx_mqtt_free(w, call, sizeof(ngx_mqtt_group_call_t));
    }

    return op;
}


static u_char *
ngx_mqtt_group_who(u_char *p, ngx_mqtt_worker_t *w, uint64_t take)
{
    return ngx_sprintf(p, "%V %uL", &w->logs->groups->owner, take);
}


ngx_int_t
ngx_mqtt_group_take(ngx_mqtt_worker_t *w, ngx_mqtt_group_log_t *gl,
    ngx_uint_t max)
{
    u_char                  who[NGX_MQTT_GROUP_WHO];
    u_char                  count[NGX_INT_T_LEN];
    ngx_str_t               argv[NGX_MQTT_GROUP_KEYS + 4], *args;
    ngx_mqtt_op_t          *op;
    ngx_mqtt_group_call_t  *call;

    op = ngx_mqtt_group_call(w, gl->share.id, ngx_mqtt_group_taken);
    if (op == NULL) {
        return NGX_ERROR;
    }

    call = op->data;

    if (ngx_mqtt_group_keys(w, &gl->log, argv) != NGX_OK) {
        ngx_mqtt_op_cancel(op);
        ngx_mqtt_free(w, call, sizeof(ngx_mqtt_group_call_t));
        return NGX_ERROR;
    }

    call->take = ++w->logs->groups->takes;
    gl->taking = 1;

    args = argv + NGX_MQTT_GROUP_KEYS;

    args[0].data = who;
    args[0].len = ngx_mqtt_group_who(who, w, call->take) - who;

    args[1].data = count;
    args[1].len = ngx_sprintf(count, "%ui",
                              ngx_min(max, NGX_MQTT_GROUP_MESSAGES))
                  - count;

    ngx_str_set(&args[2], ngx_value(NGX_MQTT_GROUP_SIZE));
    ngx_str_set(&args[3], "0");

    ngx_mqtt_redis_script(w->redis, NGX_MQTT_LUA_GROUP_TAKE,
                          NGX_MQTT_GROUP_KEYS, NGX_MQTT_GROUP_KEYS + 4, argv,
                          NGX_MQTT_REDIS_WAIT|NGX_MQTT_REDIS_MARK, op);

    ngx_mqtt_group_keys_free(w, argv);

    return NGX_OK;
}


/* { how many are left, number, message, ... } */

static void
ngx_mqtt_group_taken(ngx_mqtt_op_t *op)
{
    ngx_uint_t               i, n;
    ngx_mqtt_worker_t       *w;
    ngx_mqtt_group_log_t    *gl;
    ngx_mqtt_group_call_t   *call;
    ngx_mqtt_redis_reply_t  *reply;

    w = op->worker;
    call = op->data;
    reply = op->result;
    n = 0;

    gl = ngx_mqtt_group_find(w, call->group);

    if (op->rc == NGX_OK
        && reply->type == NGX_MQTT_REDIS_ARRAY && reply->nelts > 0
        && reply->elts[0]->type == NGX_MQTT_REDIS_INTEGER)
    {
        n = (reply->nelts - 1) / 2;

        for (i = 0; i < n; i++) {
            ngx_mqtt_group_deliver(w, call, reply->elts[1 + 2 * i],
                                   reply->elts[2 + 2 * i]);
        }

    } else if (reply) {
        ngx_log_error(NGX_LOG_ERR, w->log, 0,
                      "unexpected reply of Redis to the read of a group");
    }

    ngx_mqtt_free(w, call, sizeof(ngx_mqtt_group_call_t));

    if (gl == NULL) {
        return;
    }

    gl->taking = 0;

    if (n == 0 || reply->elts[0]->integer <= 0) {
        gl->wanted = 0;

    } else if (gl->wanted != NGX_MQTT_GROUP_ALL) {
        gl->wanted -= ngx_min(gl->wanted, n);
    }

    if (gl->wanted) {
        ngx_mqtt_group_post(w, gl);
    }
}


static void
ngx_mqtt_group_deliver(ngx_mqtt_worker_t *w, ngx_mqtt_group_call_t *call,
    ngx_mqtt_redis_reply_t *number, ngx_mqtt_redis_reply_t *entry)
{
    off_t                  n;
    u_char                 uid[NGX_MQTT_LOG_UID];
    ngx_uint_t             several;
    ngx_mqtt_msg_t        *m;
    ngx_mqtt_shared_t     *sd;
    ngx_mqtt_log_page_t    page;

    page.elts = &entry;

    m = ngx_mqtt_log_page_msg(w, &page, 0, uid, &several);
    n = ngx_atoof(number->str.data, number->str.len);

    if (m == NULL || n == NGX_ERROR) {
        ngx_log_error(NGX_LOG_ERR, w->log, 0,
                      "message of a shared subscription was not understood");

        if (m) {
            ngx_mqtt_msg_unref(m);
        }

        return;
    }

    sd = ngx_mqtt_shared_create(w, m, call->group);

    /* without memory it stays with this worker, until that ends */

    if (sd) {
        sd->number = (uint64_t) n;
        sd->take = call->take;

        if (w->route == NULL
            || ngx_mqtt_share_local(w, m, call->group, sd) != NGX_OK)
        {
            ngx_mqtt_group_again(sd);
        }
    }

    ngx_mqtt_msg_unref(m);
}


void
ngx_mqtt_group_done(ngx_mqtt_shared_t *sd)
{
    ngx_mqtt_group_settle_later(sd, 0);
}


void
ngx_mqtt_group_again(ngx_mqtt_shared_t *sd)
{
    ngx_mqtt_group_settle_later(sd, 1);
}


/* what becomes of it is told at the end of the turn */

static void
ngx_mqtt_group_settle_later(ngx_mqtt_shared_t *sd, ngx_uint_t again)
{
    ngx_mqtt_group_logs_t  *groups;

    if (sd->worker->logs == NULL) {
        ngx_mqtt_shared_free(sd);
        return;
    }

    groups = sd->worker->logs->groups;

    ngx_queue_insert_tail(again ? &groups->again : &groups->done, &sd->queue);
    ngx_post_event(&groups->event, &ngx_posted_events);
}


void
ngx_mqtt_group_settle(ngx_mqtt_worker_t *w)
{
    ngx_mqtt_group_settle_queue(w, &w->logs->groups->done, 0);
    ngx_mqtt_group_settle_queue(w, &w->logs->groups->again, 1);
}


static void
ngx_mqtt_group_settle_queue(ngx_mqtt_worker_t *w, ngx_queue_t *queue,
    ngx_uint_t again)
{
    ngx_uint_t              n;
    ngx_queue_t            *q, batch;
    ngx_mqtt_op_t          *op;
    ngx_mqtt_shared_t      *sd;
    ngx_mqtt_group_log_t   *gl;
    ngx_mqtt_group_call_t  *call;

    while (!ngx_queue_empty(queue)) {
        ngx_queue_init(&batch);

        n = ngx_mqtt_group_batch(queue, &batch);

        q = ngx_queue_head(&batch);
        sd = ngx_queue_data(q, ngx_mqtt_shared_t, queue);

        gl = ngx_mqtt_group_find(w, sd->group);

        if (gl == NULL && again) {

            /* its log has ended */

            while (!ngx_queue_empty(&batch)) {
                q = ngx_queue_head(&batch);
                ngx_queue_remove(q);

                sd = ngx_queue_data(q, ngx_mqtt_shared_t, queue);
                sd->number = 0;

                ngx_mqtt_share_again(sd);
            }

            continue;
        }

        op = NULL;

        if (gl && again) {
            op = ngx_mqtt_group_call(w, sd->group, ngx_mqtt_group_returned);
        }

        if (gl) {
            ngx_mqtt_group_send_batch(w, gl, &batch, n, again, op);
        }

        if (op) {
            call = op->data;
            ngx_queue_add(&call->messages, &batch);

        } else {
            ngx_mqtt_group_free_batch(&batch);
        }
    }
}


/* the next ones of the same group */

static ngx_uint_t
ngx_mqtt_group_batch(ngx_queue_t *queue, ngx_queue_t *batch)
{
    uint64_t            group;
    ngx_uint_t          n;
    ngx_queue_t        *q;
    ngx_mqtt_shared_t  *sd;

    group = 0;

    for (n = 0; n < NGX_MQTT_GROUP_BATCH && !ngx_queue_empty(queue); n++) {
        q = ngx_queue_head(queue);
        sd = ngx_queue_data(q, ngx_mqtt_shared_t, queue);

        if (n && sd->group != group) {
            break;
        }

        group = sd->group;

        ngx_queue_remove(q);
        ngx_queue_insert_tail(batch, q);
    }

    return n;
}


static void
ngx_mqtt_group_send_batch(ngx_mqtt_worker_t *w, ngx_mqtt_group_log_t *gl,
    ngx_queue_t *batch, ngx_uint_t n, ngx_uint_t again, ngx_mqtt_op_t *op)
{
    u_char              *p, text[NGX_MQTT_GROUP_BATCH
                                 * (NGX_INT64_LEN + NGX_MQTT_GROUP_WHO)];
    ngx_str_t            keys[NGX_MQTT_GROUP_KEYS];
    ngx_str_t            argv[3 + 2 * NGX_MQTT_GROUP_BATCH], *arg;
    ngx_uint_t           nkeys;
    ngx_queue_t         *q;
    ngx_mqtt_shared_t   *sd;

    if (ngx_mqtt_group_keys(w, &gl->log, keys) != NGX_OK) {

        if (op) {
            ngx_mqtt_op_post(op, NGX_ERROR, NGX_MQTT_UNSPECIFIED_ERROR);
        }

        return;
    }

    arg = argv;

    if (again) {
        *arg++ = keys[NGX_MQTT_GROUP_HASH];
    }

    *arg++ = keys[NGX_MQTT_GROUP_TAKEN];

    if (again) {
        *arg++ = keys[NGX_MQTT_GROUP_RETURNED];
    }

    nkeys = arg - argv;
    p = text;

    for (q = ngx_queue_head(batch);
         q != ngx_queue_sentinel(batch);
         q = ngx_queue_next(q))
    {
        sd = ngx_queue_data(q, ngx_mqtt_shared_t, queue);

        arg->data = p;
        p = ngx_sprintf(p, "%uL", sd->number);
        arg->len = p - arg->data;
        arg++;

        arg->data = p;
        p = ngx_mqtt_group_who(p, w, sd->take);
        arg->len = p - arg->data;
        arg++;
    }

    ngx_mqtt_redis_script(w->redis,
                          again ? NGX_MQTT_LUA_GROUP_RETURN
                                : NGX_MQTT_LUA_GROUP_DONE,
                          nkeys, nkeys + 2 * n, argv, NGX_MQTT_REDIS_WAIT,
                          op);

    ngx_mqtt_group_keys_free(w, keys);
}


static void
ngx_mqtt_group_free_batch(ngx_queue_t *batch)
{
    ngx_queue_t  *q;

    while (!ngx_queue_empty(batch)) {
        q = ngx_queue_head(batch);
        ngx_queue_remove(q);

        ngx_mqtt_shared_free(ngx_queue_data(q, ngx_mqtt_shared_t, queue));
    }
}


static void
ngx_mqtt_group_returned(ngx_mqtt_op_t *op)
{
    ngx_queue_t             *q;
    ngx_mqtt_worker_t       *w;
    ngx_mqtt_shared_t       *sd;
    ngx_mqtt_workers_t       tried;
    ngx_mqtt_group_log_t    *gl;
    ngx_mqtt_group_call_t   *call;
    ngx_mqtt_redis_reply_t  *reply;

    w = op->worker;
    call = op->data;
    reply = op->result;

    if (op->rc == NGX_OK && reply->type == NGX_MQTT_REDIS_INTEGER) {
        gl = ngx_mqtt_group_find(w, call->group);

        if (reply->integer > 0 && gl) {
            ngx_memzero(&tried, sizeof(ngx_mqtt_workers_t));
            ngx_mqtt_group_tell(w, gl, (ngx_uint_t) reply->integer, &tried);
        }

        /* there is no log any more: as if there had never been one */

        while (reply->integer == -1 && w->route
               && !ngx_queue_empty(&call->messages))
        {
            q = ngx_queue_head(&call->messages);
            ngx_queue_remove(q);

            sd = ngx_queue_data(q, ngx_mqtt_shared_t, queue);
            sd->number = 0;

            ngx_mqtt_share_again(sd);
        }
    }

    ngx_mqtt_group_free_batch(&call->messages);
    ngx_mqtt_free(w, call, sizeof(ngx_mqtt_group_call_t));
}


void
ngx_mqtt_group_give_back(ngx_mqtt_worker_t *w, ngx_mqtt_group_log_t *gl,
    ngx_str_t *owner)
{
    ngx_str_t       keys[NGX_MQTT_GROUP_KEYS], argv[3];
    ngx_mqtt_op_t  *op;

    if (ngx_mqtt_group_keys(w, &gl->log, keys) != NGX_OK) {
        return;
    }

    op = ngx_mqtt_group_call(w, gl->share.id, ngx_mqtt_group_given_back);

    argv[0] = keys[NGX_MQTT_GROUP_TAKEN];
    argv[1] = keys[NGX_MQTT_GROUP_RETURNED];
    argv[2] = *owner;

    ngx_mqtt_redis_script(w->redis, NGX_MQTT_LUA_GROUP_DEAD, 2, 3, argv,
                          NGX_MQTT_REDIS_WAIT, op);

    ngx_mqtt_group_keys_free(w, keys);
}


/* what the dead one was told of and did not take is not known: all look */

static void
ngx_mqtt_group_given_back(ngx_mqtt_op_t *op)
{
    ngx_mqtt_worker_t      *w;
    ngx_mqtt_workers_t      tried;
    ngx_mqtt_group_log_t   *gl;
    ngx_mqtt_group_call_t  *call;

    w = op->worker;
    call = op->data;

    gl = ngx_mqtt_group_find(w, call->group);

    if (op->rc == NGX_OK && gl) {
        ngx_memzero(&tried, sizeof(ngx_mqtt_workers_t));
        ngx_mqtt_group_tell(w, gl, NGX_MQTT_GROUP_ALL, &tried);
    }

    ngx_mqtt_free(w, call, sizeof(ngx_mqtt_group_call_t));
}
