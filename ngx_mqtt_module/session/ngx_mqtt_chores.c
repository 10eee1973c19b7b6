
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * Chores: what a script that changed a session leaves to be done elsewhere.
 *
 *     wills -> published             \
 *     ends of connections -> told      } -> noted in the session
 *     filters -> reader detached      /
 *
 * (1) A chore stands in the session until it is done, and the client id in the
 *     list of this worker: whoever takes over from it does what is left.
 * (2) A will in the session carries the owner who publishes it, and the end of
 *     a connection the one who tells it.  Scripts return all that are ours,
 *     also those that are under way already, or done and not noted yet.
 * (3) There is one object for a client id, which lives while something of it
 *     is under way.
 *
 * Called from: session/, replies of Redis.
 */


#include "ngx_mqtt_session_int.h"


/* a will or the end of a connection */

typedef struct {
    ngx_queue_t                 queue;     /* in chores->events */
    ngx_mqtt_chores_t          *chores;
    uint64_t                    number;    /* that of its field; 0: none */
    u_char                      kind;      /* of the field: 'p', 'c' */
} ngx_mqtt_chore_event_t;


/* a reader being detached; the bytes of the filter behind the struct */

typedef struct {
    ngx_mqtt_chores_t          *chores;
    uint64_t                    epoch;
    ngx_str_t                   filter;
} ngx_mqtt_chore_reader_t;


static void ngx_mqtt_chores_will(ngx_mqtt_chores_t *ch, ngx_str_t *number,
    ngx_str_t *message);
static ngx_uint_t ngx_mqtt_chores_is_under_way(ngx_mqtt_chores_t *ch,
    u_char kind, uint64_t number);
static void ngx_mqtt_chores_tell(ngx_mqtt_chores_t *ch, uint64_t epoch,
    ngx_str_t *connection);
static ngx_mqtt_op_t *ngx_mqtt_chores_event(ngx_mqtt_chores_t *ch,
    u_char kind, uint64_t number);
static void ngx_mqtt_chores_event_done(ngx_mqtt_op_t *op);
static void ngx_mqtt_chores_event_noted(ngx_mqtt_op_t *op);
static void ngx_mqtt_chores_event_free(ngx_mqtt_chore_event_t *event);
static void ngx_mqtt_chores_detach(ngx_mqtt_chores_t *ch,
    ngx_str_t *filter, uint64_t epoch);
static void ngx_mqtt_chores_detached(ngx_mqtt_op_t *op);
static ngx_int_t ngx_mqtt_chores_note(ngx_mqtt_chores_t *ch, u_char kind,
    ngx_str_t *name, ngx_str_t *value, ngx_mqtt_op_pt noted, void *data);
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
    ch->kept = 0;
    ngx_queue_init(&ch->events);

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

    if (ch->kept) {
        ch->worker->sessions->left_behind = 1;

    } else {
        ngx_mqtt_session_unlist(ch->worker, &ch->node.key);
    }

    ngx_mqtt_free(ch->worker, ch,
                  sizeof(ngx_mqtt_chores_t) + ch->node.key.len);
}


void
ngx_mqtt_chores_end(ngx_mqtt_chores_t *ch, ngx_str_t *dead, ngx_uint_t how,
    ngx_mqtt_op_t *op)
{
    ngx_str_t           argv[7];
    ngx_mqtt_worker_t  *w;

    w = ch->worker;

    if (ngx_mqtt_session_key_pair(w, &ch->node.key, argv) != NGX_OK) {
        ngx_mqtt_op_post(op, NGX_ERROR, NGX_MQTT_UNSPECIFIED_ERROR);
        return;
    }

    argv[2] = w->sessions->owner;
    ngx_str_null(&argv[3]);
    argv[4] = *dead;
    ngx_str_null(&argv[5]);
    ngx_str_null(&argv[6]);

    if (how != NGX_MQTT_CHORES_TELL) {
        argv[6].data = (u_char *) ((how == NGX_MQTT_CHORES_LOST) ? "1" : "0");
        argv[6].len = 1;
    }

    ngx_mqtt_redis_script(w->redis, NGX_MQTT_LUA_SESSION_END, 2, 7, argv,
                          NGX_MQTT_REDIS_WAIT, op);

    ngx_mqtt_session_key_pair_free(w, argv);
}


ngx_int_t
ngx_mqtt_chores_ended(ngx_mqtt_chores_t *ch, ngx_mqtt_op_t *op,
    ngx_int_t *state, ngx_str_t *when)
{
    ngx_uint_t               i;
    ngx_mqtt_redis_reply_t  *reply, *told;

    reply = op->result;

    if (op->rc != NGX_OK
        || reply->type != NGX_MQTT_REDIS_ARRAY
        || reply->nelts != 5
        || reply->elts[0]->type != NGX_MQTT_REDIS_INTEGER
        || reply->elts[1]->type != NGX_MQTT_REDIS_STRING
        || reply->elts[2]->type != NGX_MQTT_REDIS_ARRAY
        || reply->elts[3]->type != NGX_MQTT_REDIS_ARRAY
        || reply->elts[4]->type != NGX_MQTT_REDIS_ARRAY)
    {
        /* it is still listed, and left to who takes over */

        ch->kept = 1;

        if (op->rc != NGX_ERROR) {
            ngx_log_error(NGX_LOG_ERR, ch->worker->log, 0,
                          "unexpected reply of Redis to the end of a session");
        }

        return NGX_ERROR;
    }

    *state = (ngx_int_t) reply->elts[0]->integer;
    *when = reply->elts[1]->str;

    ngx_mqtt_chores_run(ch, reply->elts[2], reply->elts[3]);

    told = reply->elts[4];

    if (ch->worker->sessions->leaving && told->nelts) {
        ch->kept = 1;
        return NGX_OK;
    }

    for (i = 0; i + 1 < told->nelts; i += 2) {
        ngx_mqtt_chores_tell(ch, ngx_mqtt_session_number(&told->elts[i]->str),
                             &told->elts[i + 1]->str);
    }

    return NGX_OK;
}


void
ngx_mqtt_chores_run(ngx_mqtt_chores_t *ch, ngx_mqtt_redis_reply_t *wills,
    ngx_mqtt_redis_reply_t *filters)
{
    ngx_uint_t  i;

    if (ch->worker->sessions->leaving && (wills->nelts || filters->nelts)) {
        ch->kept = 1;
        return;
    }

    for (i = 0; i + 1 < wills->nelts; i += 2) {
        ngx_mqtt_chores_will(ch, &wills->elts[i]->str,
                             &wills->elts[i + 1]->str);
    }

    for (i = 0; i + 1 < filters->nelts; i += 2) {
        ngx_mqtt_chores_detach(ch, &filters->elts[i]->str,
                         ngx_mqtt_session_number(&filters->elts[i + 1]->str));
    }
}


static void
ngx_mqtt_chores_will(ngx_mqtt_chores_t *ch, ngx_str_t *number,
    ngx_str_t *message)
{
    uint64_t         n;
    ngx_mqtt_msg_t  *m;

    n = ngx_mqtt_session_number(number);

    if (ngx_mqtt_chores_is_under_way(ch, 'p', n)) {
        return;
    }

    m = ngx_mqtt_frame_read_msg(ch->worker, message);

    if (m == NULL) {
        ngx_log_error(NGX_LOG_ERR, ch->worker->log, 0,
                      "cannot read the will of a session");
        ch->kept = 1;
        return;
    }

    ngx_mqtt_chores_publish(ch, n, m);

    ngx_mqtt_msg_unref(m);
}


static ngx_uint_t
ngx_mqtt_chores_is_under_way(ngx_mqtt_chores_t *ch, u_char kind,
    uint64_t number)
{
    ngx_queue_t             *q;
    ngx_mqtt_chore_event_t  *event;

    for (q = ngx_queue_head(&ch->events);
         q != ngx_queue_sentinel(&ch->events);
         q = ngx_queue_next(q))
    {
        event = ngx_queue_data(q, ngx_mqtt_chore_event_t, queue);

        if (event->kind == kind && event->number == number) {
            return 1;
        }
    }

    return 0;
}


void
ngx_mqtt_chores_publish(ngx_mqtt_chores_t *ch, uint64_t number,
    ngx_mqtt_msg_t *m)
{
    ngx_mqtt_op_t  *op;

    op = ngx_mqtt_chores_event(ch, 'p', number);

    if (op) {
        ch->worker->sessions->publish(ch->worker, m, op);
    }
}


static void
ngx_mqtt_chores_tell(ngx_mqtt_chores_t *ch, uint64_t epoch,
    ngx_str_t *connection)
{
    ngx_mqtt_op_t            *op;
    ngx_mqtt_session_ends_t  *ends;

    if (ngx_mqtt_chores_is_under_way(ch, 'c', epoch)) {
        return;
    }

    op = ngx_mqtt_chores_event(ch, 'c', epoch);
    if (op == NULL) {
        return;
    }

    ends = ch->worker->sessions->ends;

    if (ends == NULL) {

        /* of a configuration in which it was to be told */

        ngx_mqtt_op_post(op, NGX_OK, NGX_MQTT_SUCCESS);
        return;
    }

    ends->tell(ch->worker, &ch->node.key, epoch, connection, op);
}


/* NULL: out of memory, it is left to somebody else */

static ngx_mqtt_op_t *
ngx_mqtt_chores_event(ngx_mqtt_chores_t *ch, u_char kind, uint64_t number)
{
    ngx_mqtt_op_t           *op;
    ngx_mqtt_worker_t       *w;
    ngx_mqtt_chore_event_t  *event;

    w = ch->worker;

    event = ngx_mqtt_alloc(w, sizeof(ngx_mqtt_chore_event_t));
    op = ngx_mqtt_op_get(w, NULL, ngx_mqtt_chores_event_done, event);

    if (event == NULL || op == NULL) {

        if (event) {
            ngx_mqtt_free(w, event, sizeof(ngx_mqtt_chore_event_t));
        }

        if (op) {
            ngx_mqtt_op_cancel(op);
        }

        ch->kept = 1;
        return NULL;
    }

    event->chores = ch;
    event->number = number;
    event->kind = kind;

    ngx_queue_insert_tail(&ch->events, &event->queue);

    ch->refs++;

    if (kind == 'p') {
        w->sessions->nwills++;

    } else {
        w->sessions->nends++;
    }

    return op;
}


static void
ngx_mqtt_chores_event_done(ngx_mqtt_op_t *op)
{
    u_char                   text[NGX_INT64_LEN];
    ngx_str_t                number;
    ngx_mqtt_worker_t       *w;
    ngx_mqtt_chores_t       *ch;
    ngx_mqtt_chore_event_t  *event;

    w = op->worker;
    event = op->data;
    ch = event->chores;

    if (event->kind == 'p') {
        w->sessions->nwills--;

    } else {
        w->sessions->nends--;
    }

    if (op->rc != NGX_OK) {
        ch->kept = 1;

    } else if (event->number) {
        number.data = text;
        number.len = ngx_sprintf(text, "%uL", event->number) - text;

        if (ngx_mqtt_chores_note(ch, event->kind, &number,
                                 &w->sessions->owner,
                                 ngx_mqtt_chores_event_noted, event)
            == NGX_OK)
        {
            return;
        }
    }

    ngx_mqtt_chores_event_free(event);
}


static void
ngx_mqtt_chores_event_noted(ngx_mqtt_op_t *op)
{
    ngx_mqtt_chore_event_t  *event;

    event = op->data;

    if (op->rc != NGX_OK) {
        event->chores->kept = 1;
    }

    ngx_mqtt_chores_event_free(event);
}


static void
ngx_mqtt_chores_event_free(ngx_mqtt_chore_event_t *event)
{
    ngx_mqtt_chores_t  *ch;

    ch = event->chores;

    ngx_queue_remove(&event->queue);
    ngx_mqtt_free(ch->worker, event, sizeof(ngx_mqtt_chore_event_t));

    ngx_mqtt_chores_unref(ch);
}


static void
ngx_mqtt_chores_detach(ngx_mqtt_chores_t *ch, ngx_str_t *filter,
    uint64_t epoch)
{
    ngx_mqtt_op_t            *op;
    ngx_mqtt_worker_t        *w;
    ngx_mqtt_chore_reader_t  *reader;

    w = ch->worker;

    reader = ngx_mqtt_alloc(w, sizeof(ngx_mqtt_chore_reader_t) + filter->len);
    if (reader == NULL) {
        ch->kept = 1;
        return;
    }

    op = ngx_mqtt_op_get(w, NULL, ngx_mqtt_chores_detached, reader);

    if (op == NULL) {
        ngx_mqtt_free(w, reader,
                      sizeof(ngx_mqtt_chore_reader_t) + filter->len);
        ch->kept = 1;
        return;
    }

    reader->chores = ch;
    reader->epoch = epoch;
    reader->filter.len = filter->len;
    reader->filter.data = (u_char *) reader + sizeof(ngx_mqtt_chore_reader_t);

    ngx_memcpy(reader->filter.data, filter->data, filter->len);

    ch->refs++;

    if (w->sessions->detach == NULL) {
        ngx_mqtt_op_post(op, NGX_OK, NGX_MQTT_SUCCESS);
        return;
    }

    w->sessions->detach(w, &reader->filter, &ch->node.key, epoch, op);
}


static void
ngx_mqtt_chores_detached(ngx_mqtt_op_t *op)
{
    u_char                    text[NGX_INT64_LEN];
    ngx_str_t                 number;
    ngx_mqtt_chores_t        *ch;
    ngx_mqtt_chore_reader_t  *reader;

    reader = op->data;
    ch = reader->chores;

    if (op->rc == NGX_OK) {
        number.data = text;
        number.len = ngx_sprintf(text, "%uL", reader->epoch) - text;

        if (ngx_mqtt_chores_note(ch, 'g', &reader->filter, &number,
                                 ngx_mqtt_chores_noted, ch)
            == NGX_OK)
        {
            ch->refs++;
        }

    } else {
        ch->kept = 1;
    }

    ngx_mqtt_free(op->worker, reader,
                  sizeof(ngx_mqtt_chore_reader_t) + reader->filter.len);

    ngx_mqtt_chores_unref(ch);
}


static ngx_int_t
ngx_mqtt_chores_note(ngx_mqtt_chores_t *ch, u_char kind, ngx_str_t *name,
    ngx_str_t *value, ngx_mqtt_op_pt noted, void *data)
{
    ngx_str_t           argv[3], *field;
    ngx_mqtt_op_t      *op;
    ngx_mqtt_worker_t  *w;

    w = ch->worker;
    field = &argv[1];

    field->len = name->len + 1;
    field->data = ngx_mqtt_alloc(w, field->len);

    op = ngx_mqtt_op_get(w, NULL, noted, data);

    if (field->data == NULL || op == NULL
        || ngx_mqtt_session_key(w, &ch->node.key, &argv[0]) != NGX_OK)
    {
        if (field->data) {
            ngx_mqtt_free(w, field->data, field->len);
        }

        if (op) {
            ngx_mqtt_op_cancel(op);
        }

        ch->kept = 1;
        return NGX_ERROR;
    }

    field->data[0] = kind;
    ngx_memcpy(field->data + 1, name->data, name->len);

    argv[2] = *value;

    ngx_mqtt_redis_script(w->redis, NGX_MQTT_LUA_SESSION_DONE, 1, 3, argv,
                          NGX_MQTT_REDIS_WAIT, op);

    ngx_mqtt_free(w, argv[0].data, argv[0].len);
    ngx_mqtt_free(w, field->data, field->len);

    return NGX_OK;
}


static void
ngx_mqtt_chores_noted(ngx_mqtt_op_t *op)
{
    ngx_mqtt_chores_t  *ch;

    ch = op->data;

    if (op->rc != NGX_OK) {
        ch->kept = 1;
    }

    ngx_mqtt_chores_unref(ch);
}
