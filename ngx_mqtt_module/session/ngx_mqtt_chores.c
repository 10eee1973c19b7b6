
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * Chores: what a script that changed a session leaves to be done elsewhere.
 *
 *     filters -> reader detached -> noted in the session
 *
 * (1) A chore stands in the session until it is done: whoever dies before
 *     leaves it to the next claim, or to who takes over from this worker.
 * (2) Each is idempotent; done twice it changes nothing.
 * (3) There is one object for a client id, which lives while something of it
 *     is under way.
 *
 * Called from: session/, replies of Redis.
 */


#include "ngx_mqtt_session_int.h"


/* a reader being detached; the bytes of the filter behind the struct */

typedef struct {
    ngx_mqtt_chores_t          *chores;
    uint64_t                    epoch;
    ngx_str_t                   filter;
} ngx_mqtt_chore_reader_t;


static void ngx_mqtt_chores_detach_one(ngx_mqtt_chores_t *ch,
    ngx_str_t *filter, uint64_t epoch);
static void ngx_mqtt_chores_detached(ngx_mqtt_op_t *op);
static void ngx_mqtt_chores_note(ngx_mqtt_chores_t *ch, ngx_str_t *filter,
    uint64_t epoch);
static void ngx_mqtt_chores_noted(ngx_mqtt_op_t *op);


ngx_mqtt_chores_t *
ngx_mqtt_chores_get(ngx_mqtt_worker_t *w, ngx_str_t *client_id)
{
    ngx_mqtt_chores_t     *ch;
    ngx_mqtt_hash_node_t  *node;

    node = ngx_mqtt_hash_find(&w->sessions->chores, client_id);

    if (node) {
        ch = ngx_queue_data(node, ngx_mqtt_chores_t, node);
        ch->refs++;
        return ch;
    }

    ch = ngx_mqtt_alloc(w, sizeof(ngx_mqtt_chores_t) + client_id->len);
    if (ch == NULL) {
        return NULL;
    }

    ch->worker = w;
    ch->refs = 1;
    ch->node.key.len = client_id->len;
    ch->node.key.data = (u_char *) ch + sizeof(ngx_mqtt_chores_t);

    ngx_memcpy(ch->node.key.data, client_id->data, client_id->len);

    if (ngx_mqtt_hash_insert(&w->sessions->chores, &ch->node) != NGX_OK) {
        ngx_mqtt_free(w, ch, sizeof(ngx_mqtt_chores_t) + client_id->len);
        return NULL;
    }

    return ch;
}


void
ngx_mqtt_chores_unref(ngx_mqtt_chores_t *ch)
{
    if (--ch->refs) {
        return;
    }

    ngx_mqtt_hash_remove(&ch->worker->sessions->chores, &ch->node);

    ngx_mqtt_free(ch->worker, ch,
                  sizeof(ngx_mqtt_chores_t) + ch->node.key.len);
}


void
ngx_mqtt_chores_detach(ngx_mqtt_chores_t *ch, ngx_mqtt_redis_reply_t *filters)
{
    uint64_t    epoch;
    ngx_uint_t  i;

    for (i = 0; i + 1 < filters->nelts; i += 2) {
        epoch = ngx_mqtt_session_number(&filters->elts[i + 1]->str);

        ngx_mqtt_chores_detach_one(ch, &filters->elts[i]->str, epoch);
    }
}


static void
ngx_mqtt_chores_detach_one(ngx_mqtt_chores_t *ch, ngx_str_t *filter,
    uint64_t epoch)
{
    ngx_mqtt_op_t            *op;
    ngx_mqtt_worker_t        *w;
    ngx_mqtt_chore_reader_t  *reader;

    w = ch->worker;

    if (w->sessions->detach == NULL) {
        ngx_mqtt_chores_note(ch, filter, epoch);
        return;
    }

    reader = ngx_mqtt_alloc(w, sizeof(ngx_mqtt_chore_reader_t) + filter->len);
    if (reader == NULL) {
        return;
    }

    op = ngx_mqtt_op_get(w, NULL, ngx_mqtt_chores_detached, reader);

    if (op == NULL) {
        ngx_mqtt_free(w, reader,
                      sizeof(ngx_mqtt_chore_reader_t) + filter->len);
        return;
    }

    reader->chores = ch;
    reader->epoch = epoch;
    reader->filter.len = filter->len;
    reader->filter.data = (u_char *) reader + sizeof(ngx_mqtt_chore_reader_t);

    ngx_memcpy(reader->filter.data, filter->data, filter->len);

    ch->refs++;

    w->sessions->detach(w, &reader->filter, &ch->node.key, epoch, op);
}


static void
ngx_mqtt_chores_detached(ngx_mqtt_op_t *op)
{
    ngx_mqtt_chores_t        *ch;
    ngx_mqtt_chore_reader_t  *reader;

    reader = op->data;
    ch = reader->chores;

    if (op->rc == NGX_OK) {
        ngx_mqtt_chores_note(ch, &reader->filter, reader->epoch);
    }

    ngx_mqtt_free(op->worker, reader,
                  sizeof(ngx_mqtt_chore_reader_t) + reader->filter.len);

    ngx_mqtt_chores_unref(ch);
}


static void
ngx_mqtt_chores_note(ngx_mqtt_chores_t *ch, ngx_str_t *filter, uint64_t epoch)
{
    u_char              number[NGX_INT64_LEN];
    ngx_str_t           argv[3];
    ngx_mqtt_op_t      *op;
    ngx_mqtt_worker_t  *w;

    w = ch->worker;

    op = ngx_mqtt_op_get(w, NULL, ngx_mqtt_chores_noted, ch);
    if (op == NULL) {
        return;
    }

    if (ngx_mqtt_session_key(w, &ch->node.key, &argv[0]) != NGX_OK) {
        ngx_mqtt_op_cancel(op);
        return;
    }

    argv[1] = *filter;
    argv[2].data = number;
    argv[2].len = ngx_sprintf(number, "%uL", epoch) - number;

    ch->refs++;

    ngx_mqtt_redis_script(w->redis, NGX_MQTT_LUA_SESSION_DONE, 1, 3, argv,
                          NGX_MQTT_REDIS_WAIT, op);

    ngx_mqtt_free(w, argv[0].data, argv[0].len);
}


static void
ngx_mqtt_chores_noted(ngx_mqtt_op_t *op)
{
    ngx_mqtt_chores_unref(op->data);
}
