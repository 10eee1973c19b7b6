
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * The life of a session that outlives its connection: start, subscriptions,
 * end; the invariants are in ngx_mqtt_client_session.h.
 *
 *     claimed -> fields -> subscriptions, state -> attach readers -> CONNACK
 *     SUBSCRIBE -> field, attach reader -> SUBACK
 *     UNSUBSCRIBE -> detach reader, field -> UNSUBACK
 *
 * Called from: CONNECT, SUBSCRIBE, the end of a client, Redis replies.
 */


#include "ngx_mqtt_client_session.h"
#include "ngx_mqtt_client_auth.h"


/* the value of a subscription's field: options, identifier, number */

#define NGX_MQTT_SESSION_SUB  (1 + 4 + 4)


/* SUBACK or UNSUBACK that waits; its codes are behind the struct */

typedef struct {
    ngx_uint_t                type;
    uint16_t                  packet_id;
    ngx_uint_t                n;
} ngx_mqtt_session_answer_t;


static ngx_mqtt_client_session_t *ngx_mqtt_session_create(
    ngx_mqtt_client_t *mc);
static ngx_int_t ngx_mqtt_session_restore(ngx_mqtt_client_t *mc,
    ngx_mqtt_session_claimed_t *claimed);
static ngx_int_t ngx_mqtt_session_restore_sub(ngx_mqtt_client_t *mc,
    ngx_keyval_t *field);
static ngx_int_t ngx_mqtt_session_write_sub(ngx_mqtt_client_t *mc,
    ngx_mqtt_sub_t *sub, ngx_str_t *share, uint32_t number);
static ngx_int_t ngx_mqtt_session_attach(ngx_mqtt_client_t *mc,
    ngx_mqtt_sub_t *sub, uint32_t number);
static void ngx_mqtt_session_attached(ngx_mqtt_op_t *op);
static void ngx_mqtt_session_strange(ngx_mqtt_reader_t *reader);
static ngx_int_t ngx_mqtt_session_detach(ngx_mqtt_client_t *mc,
    ngx_mqtt_sub_t *sub);
static ngx_int_t ngx_mqtt_session_group(ngx_mqtt_client_t *mc,
    ngx_mqtt_sub_t *sub, ngx_str_t *share, ngx_uint_t attach);
static ngx_mqtt_op_t *ngx_mqtt_session_step(ngx_mqtt_client_t *mc);
static void ngx_mqtt_session_step_done(ngx_mqtt_op_t *op);
static void ngx_mqtt_session_settle(ngx_mqtt_client_t *mc,
    ngx_mqtt_op_t *op);
static void ngx_mqtt_session_send_answer(ngx_mqtt_client_t *mc);
static void ngx_mqtt_session_free_answer(ngx_mqtt_client_t *mc);
static void ngx_mqtt_session_free_reader(ngx_mqtt_client_t *mc,
    ngx_mqtt_reader_t *reader);


ngx_int_t
ngx_mqtt_client_session_start(ngx_mqtt_client_t *mc,
    ngx_mqtt_session_claimed_t *claimed)
{
    ngx_mqtt_client_session_t  *ss;

    if (mc->session_expiry == 0 && !claimed->present) {
        return NGX_OK;
    }

    ss = ngx_mqtt_session_create(mc);
    if (ss == NULL) {
        return NGX_ERROR;
    }

    ss->taken = claimed->taken;

    if (ngx_mqtt_session_restore(mc, claimed) != NGX_OK) {
        return NGX_ERROR;
    }

    return ss->pending ? NGX_AGAIN : NGX_OK;
}


static ngx_mqtt_client_session_t *
ngx_mqtt_session_create(ngx_mqtt_client_t *mc)
{
    ngx_mqtt_client_session_t  *ss;

    ss = ngx_mqtt_calloc(mc->worker, sizeof(ngx_mqtt_client_session_t));
    if (ss == NULL) {
        return NULL;
    }

    ss->client = mc;

    ngx_queue_init(&ss->readers);
    ngx_queue_init(&ss->then);
    ngx_queue_init(&ss->page);

    mc->session = ss;
    mc->acks.guard = ngx_mqtt_publish_guard;

    return ss;
}


static ngx_int_t
ngx_mqtt_session_restore(ngx_mqtt_client_t *mc,
    ngx_mqtt_session_claimed_t *claimed)
{
    ngx_uint_t     i;
    ngx_keyval_t  *field, *state;

    state = NULL;

    for (i = 0; i < claimed->nfields; i++) {
        field = &claimed->fields[i];

        if (field->key.len == 1 && field->key.data[0] == 'v') {
            state = field;

        } else if (field->key.len == 1 && field->key.data[0] == 'n') {

            if (ngx_mqtt_client_inbox_restore(mc, &field->value) != NGX_OK) {
                return NGX_ERROR;
            }

        } else if (field->key.data[0] == 's'
                   && ngx_mqtt_session_restore_sub(mc, field) != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    /* it names readers, which are there now */

    if (state && ngx_mqtt_client_state_read(mc, &state->value) != NGX_OK) {

        if (mc->closing) {
            return NGX_ERROR;
        }

        ngx_log_error(NGX_LOG_ERR, mc->connection->log, 0,
                      "state of the session was not understood");
    }

    if (ngx_mqtt_client_settle_restore(mc, claimed) != NGX_OK) {
        return NGX_ERROR;
    }

    mc->session->restored = 1;

    return ngx_mqtt_client_inbox_start(mc);
}


static ngx_int_t
ngx_mqtt_session_restore_sub(ngx_mqtt_client_t *mc, ngx_keyval_t *field)
{
    u_char                     *p, *end;
    uint32_t                    id, number;
    ngx_str_t                   filter, share;
    ngx_uint_t                  existed, options;
    ngx_mqtt_sub_t             *sub;
    ngx_mqtt_client_session_t  *ss;

    ss = mc->session;

    filter.data = field->key.data + 1;
    filter.len = field->key.len - 1;

    if (field->value.len != NGX_MQTT_SESSION_SUB
        || ngx_mqtt_topic_filter_check(&filter, &share) != NGX_OK)
    {
        ngx_log_error(NGX_LOG_ERR, mc->connection->log, 0,
                      "subscription of the session was not understood");
        return NGX_OK;
    }

    p = field->value.data;
    end = p + field->value.len;

    options = *p++;
    id = 0;
    number = 0;

    p = ngx_mqtt_read_u32(p, end, &id);
    (void) ngx_mqtt_read_u32(p, end, &number);

    ss->last_number = ngx_max(ss->last_number, number);

    /*
     * What the credentials of today or a changed rule do not allow is not
     * delivered; it stays in the session, for those that do.
     */

    if (ngx_mqtt_client_may_subscribe(mc, &filter) != NGX_OK) {
        return NGX_OK;
    }

    sub = ngx_mqtt_route_subscribe(mc->worker, &mc->subscriber, &filter,
                                   &share, options, id, &existed);
    if (sub == NULL) {
        return NGX_ERROR;
    }

    if ((options & NGX_MQTT_SUB_QOS) == 0) {
        return NGX_OK;
    }

    return share.len ? ngx_mqtt_session_group(mc, sub, &share, 1)
                     : ngx_mqtt_session_attach(mc, sub, number);
}


void
ngx_mqtt_client_session_ready(ngx_mqtt_client_t *mc)
{
    ngx_mqtt_client_session_t  *ss;

    ss = mc->session;

    if (ss == NULL) {
        return;
    }

    if (ngx_mqtt_client_session_prune(mc) != NGX_OK) {
        ngx_mqtt_client_abort(mc, NGX_MQTT_UNSPECIFIED_ERROR);
        return;
    }

    ss->ready = 1;

    if (ss->nsettled > NGX_MQTT_SETTLE_SAVE) {
        (void) ngx_mqtt_client_save(mc);
    }

    if (mc->extra) {
        ngx_mqtt_window_resend(mc);
    }

    ngx_mqtt_client_made_room(mc);
}


/*
 * What was acknowledged, but not in the state that was saved last: the owner
 * before us was stale by then, and his cursors were not.  So PUBREC has come,
 * and the client may still wait for PUBREL, which keeps the packet id in use.
 * Or what no log has any more.
 */

ngx_int_t
ngx_mqtt_client_session_prune(ngx_mqtt_client_t *mc)
{
    uint16_t                    id;
    ngx_uint_t                  i, qos;
    ngx_mqtt_reader_t          *reader;
    ngx_mqtt_session_mark_t    *mark;
    ngx_mqtt_client_session_t  *ss;

    ss = mc->session;
    i = 0;

    while (i < ss->resumed.n) {
        mark = &ss->resumed.marks[i];
        reader = ngx_mqtt_client_session_reader(ss, mark->reader);

        if (reader && mark->number > reader->read && !reader->strange) {
            i++;
            continue;
        }

        id = mark->packet_id;
        qos = mark->qos;

        ngx_mqtt_session_mark_remove(&ss->resumed, mark);

        /* unless it comes again from another log */

        if (qos != 2 || ngx_mqtt_client_session_has_id(mc, id)) {
            continue;
        }

        if (ngx_mqtt_client_state_released(mc, id) != NGX_OK) {
            return NGX_ERROR;
        }

        if (ss->ready) {
            ngx_mqtt_client_send_ack(mc, NGX_MQTT_PUBREL, id,
                                     NGX_MQTT_SUCCESS);
        }
    }

    return NGX_OK;
}


ngx_int_t
ngx_mqtt_client_session_subscribe(ngx_mqtt_client_t *mc, ngx_mqtt_sub_t *sub,
    ngx_str_t *share)
{
    uint32_t                    number;
    ngx_mqtt_client_session_t  *ss;

    ss = mc->session;

    number = sub->reader ? sub->reader->number : ++ss->last_number;

    /* first: a reader without a subscription would be there for ever */

    if (ngx_mqtt_session_write_sub(mc, sub, share, number) != NGX_OK) {
        return NGX_ERROR;
    }

    if (share->len) {
        return ngx_mqtt_session_group(mc, sub, share,
                                      sub->options & NGX_MQTT_SUB_QOS);
    }

    if ((sub->options & NGX_MQTT_SUB_QOS) == 0) {
        return sub->reader ? ngx_mqtt_session_detach(mc, sub) : NGX_OK;
    }

    if (sub->reader) {
        return NGX_OK;
    }

    return ngx_mqtt_session_attach(mc, sub, number);
}


ngx_int_t
ngx_mqtt_client_session_unsubscribe(ngx_mqtt_client_t *mc,
    ngx_mqtt_sub_t *sub, ngx_str_t *share)
{
    if (sub->reader && ngx_mqtt_session_detach(mc, sub) != NGX_OK) {
        return NGX_ERROR;
    }

    if (share->len && ngx_mqtt_session_group(mc, sub, share, 0) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_mqtt_session_write_sub(mc, sub, share, 0);
}


/* the field of a subscription; number 0: it goes */

static ngx_int_t
ngx_mqtt_session_write_sub(ngx_mqtt_client_t *mc, ngx_mqtt_sub_t *sub,
    ngx_str_t *share, uint32_t number)
{
    u_char         *p, value[NGX_MQTT_SESSION_SUB];
    size_t          len;
    ngx_str_t      *filter;
    ngx_keyval_t    field;
    ngx_mqtt_op_t  *op;

    filter = &sub->filter->node.key;

    len = 1 + filter->len
          + (share->len ? sizeof("$share//") - 1 + share->len : 0);

    p = ngx_mqtt_alloc(mc->worker, len);
    op = p ? ngx_mqtt_session_step(mc) : NULL;

    if (op == NULL) {
        ngx_mqtt_free(mc->worker, p, len);
        return NGX_ERROR;
    }

    field.key.data = p;
    field.key.len = len;

    *p++ = 's';

    if (share->len) {
        p = ngx_sprintf(p, "$share/%V/", share);
    }

    ngx_memcpy(p, filter->data, filter->len);

    ngx_str_null(&field.value);

    if (number) {
        field.value.data = value;
        field.value.len = NGX_MQTT_SESSION_SUB;

        p = value;
        *p++ = sub->options;
        p = ngx_mqtt_write_u32(p, sub->id);
        (void) ngx_mqtt_write_u32(p, number);
    }

    ngx_mqtt_session_save(mc->worker, &mc->node.key, mc->epoch, &field, 1, op);

    ngx_mqtt_free(mc->worker, field.key.data, len);

    return NGX_OK;
}


static ngx_int_t
ngx_mqtt_session_attach(ngx_mqtt_client_t *mc, ngx_mqtt_sub_t *sub,
    uint32_t number)
{
    ngx_mqtt_op_t              *op;
    ngx_mqtt_reader_t          *reader;
    ngx_mqtt_client_session_t  *ss;

    ss = mc->session;

    reader = ngx_mqtt_calloc(mc->worker, sizeof(ngx_mqtt_reader_t));
    if (reader == NULL) {
        return NGX_ERROR;
    }

    op = ngx_mqtt_op_get(mc->worker, &mc->ops, ngx_mqtt_session_attached,
                         reader);
    if (op == NULL) {
        ngx_mqtt_free(mc->worker, reader, sizeof(ngx_mqtt_reader_t));
        return NGX_ERROR;
    }

    reader->client = mc;
    reader->sub = sub;
    reader->op = op;
    reader->number = number;

    ngx_queue_insert_tail(&ss->readers, &reader->queue);
    sub->reader = reader;

    ss->pending++;

    ngx_mqtt_client_attach(mc, &sub->filter->node.key, op);

    return NGX_OK;
}


static void
ngx_mqtt_session_attached(ngx_mqtt_op_t *op)
{
    ngx_mqtt_reader_t        *reader;
    ngx_mqtt_log_attached_t  *attached;

    reader = op->data;
    reader->op = NULL;

    if (op->rc == NGX_OK) {
        attached = op->result;

        /* what was pushed meanwhile is known by "end" */

        reader->attached = 1;
        reader->cursor = attached->cursor;
        reader->end = ngx_max(reader->end, attached->last);

        if (reader->client->session->taken) {
            reader->doubt = attached->last;
        }

        if (!attached->known) {
            ngx_mqtt_session_strange(reader);
        }

        /* the state is written more often; but not of a log that is new */

        reader->read = (reader->done <= attached->last)
                       ? ngx_max(attached->cursor, reader->done)
                       : attached->cursor;
    }

    ngx_mqtt_session_settle(reader->client, op);
}


/*
 * An UNSUBSCRIBE may have been cut off when the log knew of it, and the
 * session did not: what the state has of the reader is of another log, or of
 * messages that nobody reads any more.
 */

static void
ngx_mqtt_session_strange(ngx_mqtt_reader_t *reader)
{
    ngx_uint_t                 i;
    ngx_mqtt_session_marks_t  *done;

    reader->done = 0;
    reader->strange = 1;

    done = &reader->client->session->done;
    i = 0;

    while (i < done->n) {

        if (done->marks[i].reader == reader->number) {
            ngx_mqtt_session_mark_remove(done, &done->marks[i]);

        } else {
            i++;
        }
    }
}


static ngx_int_t
ngx_mqtt_session_detach(ngx_mqtt_client_t *mc, ngx_mqtt_sub_t *sub)
{
    ngx_mqtt_op_t  *op;

    op = ngx_mqtt_session_step(mc);
    if (op == NULL) {
        return NGX_ERROR;
    }

    ngx_mqtt_log_detach(mc->worker, &sub->filter->node.key, &mc->node.key,
                        mc->epoch, op);

    ngx_mqtt_client_session_forget(mc, sub->reader);
    ngx_mqtt_session_free_reader(mc, sub->reader);

    return NGX_OK;
}


/* the session is a reader of the group's log; what is read, route/ knows */

static ngx_int_t
ngx_mqtt_session_group(ngx_mqtt_client_t *mc, ngx_mqtt_sub_t *sub,
    ngx_str_t *share, ngx_uint_t attach)
{
    size_t              size;
    ngx_str_t           log, *filter;
    ngx_mqtt_op_t      *op;
    ngx_mqtt_worker_t  *w;

    w = mc->worker;
    filter = &sub->filter->node.key;

    size = sizeof("$share//") - 1 + share->len + filter->len;

    log.data = ngx_mqtt_alloc(w, size);
    op = log.data ? ngx_mqtt_session_step(mc) : NULL;

    if (op == NULL) {
        ngx_mqtt_free(w, log.data, size);
        return NGX_ERROR;
    }

    log.len = size;
    ngx_sprintf(log.data, "$share/%V/%V", share, filter);

    if (attach) {
        ngx_mqtt_client_attach(mc, &log, op);

    } else {
        ngx_mqtt_log_detach(w, &log, &mc->node.key, mc->epoch, op);
    }

    ngx_mqtt_free(w, log.data, size);

    return NGX_OK;
}


static ngx_mqtt_op_t *
ngx_mqtt_session_step(ngx_mqtt_client_t *mc)
{
    ngx_mqtt_op_t  *op;

    op = ngx_mqtt_op_get(mc->worker, &mc->ops, ngx_mqtt_session_step_done, mc);

    if (op) {
        mc->session->pending++;
    }

    return op;
}


static void
ngx_mqtt_session_step_done(ngx_mqtt_op_t *op)
{
    ngx_mqtt_session_settle(op->data, op);
}


/* one of the pending steps is over; the last one brings the answer */

static void
ngx_mqtt_session_settle(ngx_mqtt_client_t *mc, ngx_mqtt_op_t *op)
{
    ngx_mqtt_client_session_t  *ss;

    ss = mc->session;
    ss->pending--;

    if (mc->state == NGX_MQTT_CLIENT_CONNECTING) {

        if (op->rc != NGX_OK || ss->pending == 0) {
            ngx_mqtt_connect_restored(mc, op->rc);
        }

        return;
    }

    if (op->rc != NGX_OK) {

        /* better than a subscription that is only half there */

        ngx_mqtt_client_session_lost(mc, op);
        return;
    }

    if (ss->pending == 0) {
        ngx_mqtt_session_send_answer(mc);
    }
}


void
ngx_mqtt_client_session_lost(ngx_mqtt_client_t *mc, ngx_mqtt_op_t *op)
{
    if (op->rc == NGX_DECLINED) {
        ngx_mqtt_client_lose(mc);
    }

    ngx_log_error(NGX_LOG_INFO, mc->connection->log, 0,
                  "session could not be saved: %s",
                  ngx_mqtt_reason_name(op->reason));

    ngx_mqtt_client_close(mc, op->reason);
}


ngx_int_t
ngx_mqtt_client_session_answer(ngx_mqtt_client_t *mc, ngx_uint_t type,
    ngx_mqtt_suback_t *ack)
{
    ngx_mqtt_session_answer_t  *answer;
    ngx_mqtt_client_session_t  *ss;

    ss = mc->session;

    if (ss->pending == 0) {
        return NGX_OK;
    }

    answer = ngx_mqtt_alloc(mc->worker, sizeof(ngx_mqtt_session_answer_t)
                                        + ack->codes.len);
    if (answer == NULL) {
        return NGX_ERROR;
    }

    answer->type = type;
    answer->packet_id = ack->packet_id;
    answer->n = ack->codes.len;

    ngx_memcpy((u_char *) answer + sizeof(ngx_mqtt_session_answer_t),
               ack->codes.data, ack->codes.len);

    ss->answer = answer;
    mc->subscribing = 1;

    return NGX_AGAIN;
}


static void
ngx_mqtt_session_send_answer(ngx_mqtt_client_t *mc)
{
    ngx_mqtt_suback_t           ack;
    ngx_mqtt_session_answer_t  *answer;

    answer = mc->session->answer;

    if (answer == NULL) {
        return;
    }

    ack.packet_id = answer->packet_id;
    ngx_mqtt_props_reset(&ack.props);

    ack.codes.len = answer->n;
    ack.codes.data = (u_char *) answer + sizeof(ngx_mqtt_session_answer_t);

    (void) ngx_mqtt_subscribe_answer(mc, answer->type, &ack);

    ngx_mqtt_session_free_answer(mc);

    mc->subscribing = 0;

    ngx_mqtt_client_made_room(mc);
    ngx_mqtt_client_resume(mc);
}


static void
ngx_mqtt_session_free_answer(ngx_mqtt_client_t *mc)
{
    ngx_mqtt_session_answer_t  *answer;

    answer = mc->session->answer;

    if (answer) {
        mc->session->answer = NULL;

        ngx_mqtt_free(mc->worker, answer,
                      sizeof(ngx_mqtt_session_answer_t) + answer->n);
    }
}


void
ngx_mqtt_client_session_leave(ngx_mqtt_client_t *mc)
{
    ngx_mqtt_client_session_t  *ss;

    ss = mc->session;

    if (ss == NULL) {
        return;
    }

    /* of a session that ends here Redis detaches the readers */

    if (mc->session_expiry && ss->restored) {
        ngx_mqtt_client_share_keep(mc);
        ngx_mqtt_client_save_now(mc, mc->claimed);
    }

    while (!ngx_queue_empty(&ss->readers)) {
        ngx_mqtt_session_free_reader(mc,
                                     ngx_queue_data(
                                         ngx_queue_head(&ss->readers),
                                         ngx_mqtt_reader_t, queue));
    }

    ngx_mqtt_client_save_free(mc);
    ngx_mqtt_client_pull_free(mc);
    ngx_mqtt_session_free_answer(mc);

    if (mc->session_expiry && ss->restored) {
        ngx_mqtt_client_settle(mc);
    }

    ngx_mqtt_client_settle_free(mc);

    mc->acks.guard = NULL;
}


void
ngx_mqtt_client_session_free(ngx_mqtt_client_t *mc)
{
    ngx_mqtt_client_session_t  *ss;

    ss = mc->session;

    if (ss) {
        mc->session = NULL;
        ngx_mqtt_free(mc->worker, ss, sizeof(ngx_mqtt_client_session_t));
    }
}


ngx_mqtt_reader_t *
ngx_mqtt_client_session_reader(ngx_mqtt_client_session_t *ss, uint32_t number)
{
    ngx_queue_t        *q;
    ngx_mqtt_reader_t  *reader;

    for (q = ngx_queue_head(&ss->readers);
         q != ngx_queue_sentinel(&ss->readers);
         q = ngx_queue_next(q))
    {
        reader = ngx_queue_data(q, ngx_mqtt_reader_t, queue);

        if (reader->number == number) {
            return reader;
        }
    }

    return NULL;
}


static void
ngx_mqtt_session_free_reader(ngx_mqtt_client_t *mc, ngx_mqtt_reader_t *reader)
{
    ngx_queue_remove(&reader->queue);

    if (reader->sub) {
        reader->sub->reader = NULL;

    } else {
        mc->session->inbox = NULL;
    }

    ngx_mqtt_free(mc->worker, reader, sizeof(ngx_mqtt_reader_t));
}
