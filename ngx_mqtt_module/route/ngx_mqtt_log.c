
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * Readers of logs: attach, read, detach; the invariants are in ngx_mqtt_log.h.
 *
 *     attach -> script -> attached -> listed in the index? -> done
 *                                     index -> listed -> done
 *
 *     detach -> script -> detached -> was it the last reader? -> index -> done
 *
 * Called from: client/, session/ through a pointer, Redis replies.
 */


#include "ngx_mqtt_log_int.h"


/* an attach or a detach under way; the filter's bytes are behind the struct */

typedef struct {
    ngx_mqtt_worker_t        *worker;
    ngx_mqtt_op_t            *op;          /* the caller's, or NULL */
    ngx_mqtt_log_attached_t   attached;
    u_char                    generation[NGX_INT64_LEN];
    size_t                    generation_len;
    ngx_str_t                 filter;
} ngx_mqtt_log_step_t;


static ngx_mqtt_log_step_t *ngx_mqtt_log_step(ngx_mqtt_worker_t *w,
    ngx_str_t *filter, ngx_mqtt_op_t *op);
static void ngx_mqtt_log_step_done(ngx_mqtt_log_step_t *step, ngx_int_t rc);
static void ngx_mqtt_log_reader(ngx_mqtt_log_step_t *step, ngx_uint_t script,
    ngx_mqtt_op_pt done, ngx_str_t *client_id, uint64_t epoch);
static void ngx_mqtt_log_reader_failed(ngx_mqtt_log_step_t *step,
    ngx_mqtt_op_t *op);
static void ngx_mqtt_log_attached(ngx_mqtt_op_t *op);
static ngx_int_t ngx_mqtt_log_parse_attached(ngx_mqtt_log_step_t *step,
    ngx_mqtt_redis_reply_t *reply, ngx_uint_t *listed);
static void ngx_mqtt_log_indexed(ngx_mqtt_op_t *op);
static void ngx_mqtt_log_detached(ngx_mqtt_op_t *op);
static void ngx_mqtt_log_unindexed(ngx_mqtt_op_t *op);
static ngx_int_t ngx_mqtt_log_number(ngx_mqtt_redis_reply_t *reply,
    uint64_t *number);
static void ngx_mqtt_log_unexpected(ngx_mqtt_worker_t *w, ngx_str_t *filter,
    ngx_mqtt_redis_reply_t *reply);


ngx_int_t
ngx_mqtt_log_start(ngx_mqtt_worker_t *w)
{
    ngx_mqtt_logs_t  *logs;

    logs = ngx_pcalloc(w->cycle->pool, sizeof(ngx_mqtt_logs_t));
    if (logs == NULL) {
        return NGX_ERROR;
    }

    if (ngx_array_init(&logs->matches, w->cycle->pool, 8,
                       sizeof(ngx_mqtt_log_match_t))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    /* generations are used once in a zone, a zone has a random number */

    (void) ngx_mqtt_frame_write_u64(logs->node,
                                    ngx_mqtt_zone(w->gateway)->node_id
                                    + w->generation);
    w->logs = logs;

    if (ngx_mqtt_group_start(w) != NGX_OK) {
        w->logs = NULL;
        return NGX_ERROR;
    }

    return ngx_mqtt_log_index_start(w);
}


void
ngx_mqtt_log_stop(ngx_mqtt_worker_t *w)
{
    ngx_mqtt_log_index_stop(w);
    ngx_mqtt_group_stop(w);
    w->logs = NULL;
}


void
ngx_mqtt_log_attach(ngx_mqtt_worker_t *w, ngx_str_t *filter,
    ngx_str_t *client_id, uint64_t epoch, ngx_mqtt_op_t *op)
{
    ngx_mqtt_log_step_t  *step;

    step = ngx_mqtt_log_step(w, filter, op);

    if (step) {
        ngx_mqtt_log_reader(step, NGX_MQTT_LUA_LOG_ATTACH,
                            ngx_mqtt_log_attached, client_id, epoch);
    }
}


void
ngx_mqtt_log_detach(ngx_mqtt_worker_t *w, ngx_str_t *filter,
    ngx_str_t *client_id, uint64_t epoch, ngx_mqtt_op_t *op)
{
    ngx_mqtt_log_step_t  *step;

    step = ngx_mqtt_log_step(w, filter, op);

    if (step) {
        ngx_mqtt_log_reader(step, NGX_MQTT_LUA_LOG_DETACH,
                            ngx_mqtt_log_detached, client_id, epoch);
    }
}


/* NULL: out of memory, and the op is posted */

static ngx_mqtt_log_step_t *
ngx_mqtt_log_step(ngx_mqtt_worker_t *w, ngx_str_t *filter, ngx_mqtt_op_t *op)
{
    ngx_mqtt_log_step_t  *step;

    step = ngx_mqtt_alloc(w, sizeof(ngx_mqtt_log_step_t) + filter->len);

    if (step == NULL) {

        if (op) {
            ngx_mqtt_op_post(op, NGX_ERROR, NGX_MQTT_UNSPECIFIED_ERROR);
        }

        return NULL;
    }

    ngx_memzero(step, sizeof(ngx_mqtt_log_step_t));

    step->worker = w;
    step->op = op;
    step->filter.len = filter->len;
    step->filter.data = (u_char *) step + sizeof(ngx_mqtt_log_step_t);
    ngx_memcpy(step->filter.data, filter->data, filter->len);

    return step;
}


static void
ngx_mqtt_log_step_done(ngx_mqtt_log_step_t *step, ngx_int_t rc)
{
    if (step->op) {
        ngx_mqtt_op_complete(step->op, rc,
                             (rc == NGX_OK) ? NGX_MQTT_SUCCESS
                                            : NGX_MQTT_UNSPECIFIED_ERROR,
                             &step->attached);
    }

    ngx_mqtt_free(step->worker, step,
                  sizeof(ngx_mqtt_log_step_t) + step->filter.len);
}


static void
ngx_mqtt_log_reader(ngx_mqtt_log_step_t *step, ngx_uint_t script,
    ngx_mqtt_op_pt done, ngx_str_t *client_id, uint64_t epoch)
{
    u_char              number[NGX_INT64_LEN];
    ngx_str_t           keys[NGX_MQTT_GROUP_KEYS], argv[NGX_MQTT_LOG_KEYS + 5];
    ngx_uint_t          n, nkeys;
    ngx_mqtt_op_t      *op;
    ngx_mqtt_worker_t  *w;

    w = step->worker;

    op = ngx_mqtt_op_get(w, NULL, done, step);

    if (op == NULL || ngx_mqtt_log_keys(w, &step->filter, argv) != NGX_OK) {
        ngx_mqtt_log_reader_failed(step, op);
        return;
    }

    if (ngx_mqtt_group_keys(w, &step->filter, keys) != NGX_OK) {
        ngx_mqtt_log_keys_free(w, argv);
        ngx_mqtt_log_reader_failed(step, op);
        return;
    }

    n = NGX_MQTT_LOG_KEYS;

    /* a log ends with everything that a group may have left */

    if (script == NGX_MQTT_LUA_LOG_DETACH) {
        argv[n++] = keys[2];
        argv[n++] = keys[3];
    }

    nkeys = n;

    argv[n++] = *client_id;

    argv[n].data = number;
    argv[n++].len = ngx_sprintf(number, "%uL", epoch) - number;

    if (script == NGX_MQTT_LUA_LOG_ATTACH) {
        argv[n].len = 1;
        argv[n++].data = (u_char *) (ngx_mqtt_group_is(&step->filter) ? "1"
                                                                      : "0");
    }

    ngx_mqtt_redis_script(w->redis, script, nkeys, n, argv,
                          NGX_MQTT_REDIS_WAIT, op);

    ngx_mqtt_group_keys_free(w, keys);
    ngx_mqtt_log_keys_free(w, argv);
}


/* out of memory */

static void
ngx_mqtt_log_reader_failed(ngx_mqtt_log_step_t *step, ngx_mqtt_op_t *op)
{
    if (op) {
        ngx_mqtt_op_cancel(op);
    }

    if (step->op) {
        ngx_mqtt_op_post(step->op, NGX_ERROR, NGX_MQTT_UNSPECIFIED_ERROR);
        step->op = NULL;
    }

    ngx_mqtt_log_step_done(step, NGX_ERROR);
}


/* { generation, listed, last message, cursor } */

static void
ngx_mqtt_log_attached(ngx_mqtt_op_t *op)
{
    ngx_str_t             generation;
    ngx_uint_t            listed;
    ngx_mqtt_op_t        *index_op;
    ngx_mqtt_log_step_t  *step;

    step = op->data;

    if (op->rc != NGX_OK
        || ngx_mqtt_log_parse_attached(step, op->result, &listed) != NGX_OK)
    {
        ngx_mqtt_log_unexpected(op->worker, &step->filter, op->result);
        ngx_mqtt_log_step_done(step, NGX_ERROR);
        return;
    }

    if (listed) {
        ngx_mqtt_log_step_done(step, NGX_OK);
        return;
    }

    index_op = ngx_mqtt_op_get(op->worker, NULL, ngx_mqtt_log_indexed, step);

    if (index_op == NULL) {
        ngx_mqtt_log_step_done(step, NGX_ERROR);
        return;
    }

    generation.data = step->generation;
    generation.len = step->generation_len;

    ngx_mqtt_log_index_set(op->worker, &step->filter, &generation, 1,
                           index_op);
}


static ngx_int_t
ngx_mqtt_log_parse_attached(ngx_mqtt_log_step_t *step,
    ngx_mqtt_redis_reply_t *reply, ngx_uint_t *listed)
{
    ngx_mqtt_redis_reply_t  **elts;

    if (reply->type != NGX_MQTT_REDIS_ARRAY || reply->nelts != 5) {
        return NGX_ERROR;
    }

    elts = reply->elts;

    if (elts[0]->type != NGX_MQTT_REDIS_STRING
        || elts[0]->str.len > NGX_INT64_LEN
        || elts[1]->type != NGX_MQTT_REDIS_INTEGER
        || ngx_mqtt_log_number(elts[2], &step->attached.last) != NGX_OK
        || ngx_mqtt_log_number(elts[3], &step->attached.cursor) != NGX_OK
        || elts[4]->type != NGX_MQTT_REDIS_INTEGER)
    {
        return NGX_ERROR;
    }

    step->generation_len = elts[0]->str.len;
    ngx_memcpy(step->generation, elts[0]->str.data, elts[0]->str.len);

    step->attached.known = (ngx_uint_t) elts[4]->integer;

    *listed = (ngx_uint_t) elts[1]->integer;

    return NGX_OK;
}


static void
ngx_mqtt_log_indexed(ngx_mqtt_op_t *op)
{
    ngx_str_t             keys[NGX_MQTT_LOG_KEYS], argv[2];
    ngx_mqtt_log_step_t  *step;

    step = op->data;

    if (op->rc != NGX_OK) {
        ngx_mqtt_log_step_done(step, NGX_ERROR);
        return;
    }

    /* the next reader need not do it again: nobody waits for this */

    if (ngx_mqtt_log_keys(op->worker, &step->filter, keys) == NGX_OK) {
        argv[0] = keys[0];
        argv[1].data = step->generation;
        argv[1].len = step->generation_len;

        ngx_mqtt_redis_script(op->worker->redis, NGX_MQTT_LUA_LOG_LISTED, 1, 2,
                              argv, NGX_MQTT_REDIS_WAIT, NULL);

        ngx_mqtt_log_keys_free(op->worker, keys);
    }

    ngx_mqtt_log_step_done(step, NGX_OK);
}


/* { generation that has ended, the oldest message is not needed } */

static void
ngx_mqtt_log_detached(ngx_mqtt_op_t *op)
{
    ngx_str_t               *generation;
    ngx_mqtt_op_t           *index_op;
    ngx_mqtt_log_step_t     *step;
    ngx_mqtt_redis_reply_t  *reply;

    step = op->data;
    reply = op->result;

    if (op->rc != NGX_OK
        || reply->type != NGX_MQTT_REDIS_ARRAY || reply->nelts != 2
        || reply->elts[0]->type != NGX_MQTT_REDIS_STRING
        || reply->elts[1]->type != NGX_MQTT_REDIS_INTEGER)
    {
        ngx_mqtt_log_unexpected(op->worker, &step->filter, reply);
        ngx_mqtt_log_step_done(step, NGX_ERROR);
        return;
    }

    generation = &reply->elts[0]->str;

    if (generation->len == 0) {

        if (reply->elts[1]->integer) {
            ngx_mqtt_log_trim(op->worker, &step->filter);
        }

        ngx_mqtt_log_step_done(step, NGX_OK);
        return;
    }

    index_op = ngx_mqtt_op_get(op->worker, NULL, ngx_mqtt_log_unindexed, step);

    if (index_op == NULL) {
        ngx_mqtt_log_step_done(step, NGX_ERROR);
        return;
    }

    ngx_mqtt_log_index_set(op->worker, &step->filter, generation, 0,
                           index_op);
}


static void
ngx_mqtt_log_unindexed(ngx_mqtt_op_t *op)
{
    ngx_mqtt_log_step_done(op->data, op->rc);
}


void
ngx_mqtt_log_read(ngx_mqtt_worker_t *w, ngx_str_t *filter,
    ngx_mqtt_log_read_t *read, ngx_mqtt_op_t *op)
{
    u_char     numbers[5][NGX_INT64_LEN];
    ngx_str_t  keys[NGX_MQTT_LOG_KEYS], argv[8];

    if (ngx_mqtt_log_keys(w, filter, keys) != NGX_OK) {
        ngx_mqtt_op_post(op, NGX_ERROR, NGX_MQTT_UNSPECIFIED_ERROR);
        return;
    }

    argv[0] = keys[0];
    argv[1] = keys[1];

    argv[2].data = numbers[0];
    argv[2].len = ngx_sprintf(numbers[0], "%uL", read->from) - numbers[0];

    argv[3].data = numbers[1];
    argv[3].len = ngx_sprintf(numbers[1], "%ui", read->max) - numbers[1];

    argv[4].data = numbers[2];
    argv[4].len = ngx_sprintf(numbers[2], "%uz", read->size) - numbers[2];

    argv[5].data = numbers[3];
    argv[5].len = ngx_mqtt_log_oldest(w, numbers[3]) - numbers[3];

    argv[6] = *read->client_id;

    argv[7].data = numbers[4];
    argv[7].len = ngx_sprintf(numbers[4], "%uL", read->epoch) - numbers[4];

    ngx_mqtt_redis_script(w->redis, NGX_MQTT_LUA_LOG_READ, 2, 8, argv,
                          NGX_MQTT_REDIS_WAIT|NGX_MQTT_REDIS_READ, op);

    ngx_mqtt_log_keys_free(w, keys);
}


ngx_int_t
ngx_mqtt_log_page(ngx_mqtt_worker_t *w, void *result,
    ngx_mqtt_log_page_t *page)
{
    ngx_mqtt_redis_reply_t  *reply;

    reply = result;

    if (reply == NULL
        || reply->type != NGX_MQTT_REDIS_ARRAY
        || reply->nelts < 2
        || reply->elts[0]->type != NGX_MQTT_REDIS_INTEGER
        || reply->elts[1]->type != NGX_MQTT_REDIS_INTEGER)
    {
        ngx_log_error(NGX_LOG_ERR, w->log, 0,
                      "unexpected reply of Redis to the read of a log");
        return NGX_ERROR;
    }

    page->last = reply->elts[0]->integer;
    page->first = (uint64_t) reply->elts[1]->integer;
    page->n = reply->nelts - 2;
    page->elts = reply->elts + 2;

    return NGX_OK;
}


ngx_mqtt_msg_t *
ngx_mqtt_log_page_msg(ngx_mqtt_worker_t *w, ngx_mqtt_log_page_t *page,
    ngx_uint_t i, u_char *uid, ngx_uint_t *several)
{
    ngx_str_t                 bytes;
    ngx_mqtt_redis_reply_t  **elts;

    elts = page->elts;

    if (elts[i]->type != NGX_MQTT_REDIS_STRING
        || elts[i]->str.len < NGX_MQTT_LOG_ENTRY_HEAD)
    {
        return NULL;
    }

    bytes = elts[i]->str;

    ngx_memcpy(uid, bytes.data, NGX_MQTT_LOG_UID);

    *several = bytes.data[NGX_MQTT_LOG_ENTRY_HEAD - 1] & NGX_MQTT_LOG_SEVERAL;

    bytes.data += NGX_MQTT_LOG_ENTRY_HEAD;
    bytes.len -= NGX_MQTT_LOG_ENTRY_HEAD;

    return ngx_mqtt_frame_read_msg(w, &bytes);
}


u_char *
ngx_mqtt_log_oldest(ngx_mqtt_worker_t *w, u_char *p)
{
    uint64_t     now;
    ngx_time_t  *tp;

    tp = ngx_timeofday();
    now = (uint64_t) tp->sec * 1000 + tp->msec;

    return ngx_sprintf(p, "%uL", now - w->gateway->offline_retention);
}


/* the hash tag begins with "f:", so no filter makes it empty */

ngx_int_t
ngx_mqtt_log_keys(ngx_mqtt_worker_t *w, ngx_str_t *filter, ngx_str_t *keys)
{
    static ngx_str_t  suffixes[NGX_MQTT_LOG_KEYS] = {
        ngx_string(""), ngx_string("l"), ngx_string("c")
    };

    return ngx_mqtt_redis_keys(w, 'f', filter, suffixes, NGX_MQTT_LOG_KEYS,
                               keys);
}


void
ngx_mqtt_log_keys_free(ngx_mqtt_worker_t *w, ngx_str_t *keys)
{
    ngx_mqtt_redis_keys_free(w, keys, NGX_MQTT_LOG_KEYS);
}


static ngx_int_t
ngx_mqtt_log_number(ngx_mqtt_redis_reply_t *reply, uint64_t *number)
{
    off_t  n;

    if (reply->type != NGX_MQTT_REDIS_STRING) {
        return NGX_ERROR;
    }

    n = ngx_atoof(reply->str.data, reply->str.len);

    if (n == NGX_ERROR) {
        return NGX_ERROR;
    }

    *number = (uint64_t) n;

    return NGX_OK;
}


/* reply is NULL when the worker exits */

static void
ngx_mqtt_log_unexpected(ngx_mqtt_worker_t *w, ngx_str_t *filter,
    ngx_mqtt_redis_reply_t *reply)
{
    ngx_str_t  text;

    if (reply == NULL) {
        return;
    }

    ngx_str_set(&text, "unexpected reply");

    if (reply->type == NGX_MQTT_REDIS_ERROR) {
        text = reply->str;
    }

    ngx_log_error(NGX_LOG_ERR, w->log, 0,
                  "Redis does not keep the log of \"%V\": %V", filter, &text);
}
