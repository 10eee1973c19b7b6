
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * Client status events: records that tell the back end who is online.
 *
 * (1) An event gets a ticket of the node when it happens, and waits in a cell,
 *     chosen by the client id, until Kafka has it.
 * (2) It is handed to the producer when no worker of the node has an older one
 *     in the same cell: what different workers have to say about a client goes
 *     to Kafka in the order in which it happened, also when the client moves
 *     between workers faster than a producer sends, or while Kafka is away.
 *     The oldest ticket of each cell stands in the worker's slot of the zone;
 *     other clients of the cell only wait a moment longer.
 * (3) The events of a cell leave in their order.
 * (4) Events that wait for the producer are bounded; one that is over the
 *     bound, or unacknowledged when the worker ends, is counted as dropped.
 * (5) "tcpclean" is not dropped when the worker ends: it stands in the session
 *     until Kafka has it, see ngx_mqtt_status_ends.c.
 *
 * Called from: client/ (connected, closed), Kafka's reports.
 */


#include "ngx_mqtt_status_int.h"


/* events of other workers are awaited; the producer is full; ms */

#define NGX_MQTT_STATUS_RETRY    5
#define NGX_MQTT_STATUS_FULL     500


static ngx_uint_t ngx_mqtt_status_is_next(ngx_mqtt_worker_t *w,
    ngx_mqtt_status_entry_t *e);
static ngx_int_t ngx_mqtt_status_produce(ngx_mqtt_worker_t *w,
    ngx_mqtt_status_entry_t *e);
static void ngx_mqtt_status_acked(ngx_mqtt_op_t *op);
static void ngx_mqtt_status_retry(ngx_event_t *ev);


ngx_int_t
ngx_mqtt_status_start(ngx_mqtt_worker_t *w)
{
    ngx_uint_t          i;
    ngx_mqtt_status_t  *st;

    if (w->gateway->status_topic == NGX_MQTT_KAFKA_NO_TOPIC
        && !w->gateway->status_per_group)
    {
        return NGX_OK;
    }

    st = ngx_pcalloc(w->cycle->pool, sizeof(ngx_mqtt_status_t));
    if (st == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < NGX_MQTT_STATUS_CELLS; i++) {
        ngx_queue_init(&st->cells[i]);
    }

    st->timer.handler = ngx_mqtt_status_retry;
    st->timer.data = &w->ident;
    st->timer.log = w->log;
    st->timer.cancelable = 1;

    w->status = st;

    ngx_mqtt_session_on_ends(w, &ngx_mqtt_status_ends);

    return NGX_OK;
}


/* the producer has given its own ones up already */

void
ngx_mqtt_status_stop(ngx_mqtt_worker_t *w)
{
    ngx_uint_t                i;
    ngx_queue_t              *q;
    ngx_mqtt_status_t        *st;
    ngx_mqtt_status_entry_t  *e;

    st = w->status;

    for (i = 0; i < NGX_MQTT_STATUS_CELLS; i++) {

        while (!ngx_queue_empty(&st->cells[i])) {
            q = ngx_queue_head(&st->cells[i]);
            e = ngx_queue_data(q, ngx_mqtt_status_entry_t, queue);

            if (e->op) {
                ngx_mqtt_op_post(e->op, NGX_ERROR,
                                 NGX_MQTT_SERVER_SHUTTING_DOWN);

            } else if (!e->held) {
                ngx_mqtt_count(w, NGX_MQTT_STAT_status_dropped);
            }

            ngx_mqtt_status_free(e);
        }
    }

    if (st->timer.timer_set) {
        ngx_del_timer(&st->timer);
    }

    w->status = NULL;
}


ngx_uint_t
ngx_mqtt_status_pending(ngx_mqtt_worker_t *w)
{
    return w->status ? w->status->npending : 0;
}


ngx_int_t
ngx_mqtt_status(ngx_mqtt_worker_t *w, ngx_mqtt_status_event_t *ev)
{
    ngx_uint_t                topic;
    ngx_mqtt_msg_t           *m;
    ngx_mqtt_status_entry_t  *e;

    topic = ngx_mqtt_status_topic(w, &ev->client_id);

    if (topic == NGX_MQTT_KAFKA_NO_TOPIC) {

        if (ev->event == NGX_MQTT_STATUS_CONNECT) {
            ngx_mqtt_count(w, NGX_MQTT_STAT_status_no_topic);
        }

        return NGX_DECLINED;
    }

    if (w->status->nwaiting >= (ngx_uint_t) w->gateway->status_queue) {
        ngx_mqtt_status_drop(w);
        return NGX_ERROR;
    }

    m = ngx_mqtt_status_json(w, ev);
    e = m ? ngx_mqtt_status_add(w, &ev->client_id, topic) : NULL;

    if (e == NULL) {

        if (m) {
            ngx_mqtt_msg_unref(m);
        }

        ngx_mqtt_status_drop(w);
        return NGX_ERROR;
    }

    e->msg = m;
    e->event = ev->event;
    e->epoch = ev->epoch;
    e->held = (ev->event == NGX_MQTT_STATUS_TCPCLEAN);

    (void) ngx_mqtt_status_send(w, e->cell);

    return NGX_OK;
}


ngx_mqtt_status_entry_t *
ngx_mqtt_status_add(ngx_mqtt_worker_t *w, ngx_str_t *client_id,
    ngx_uint_t topic)
{
    ngx_queue_t              *cell;
    ngx_mqtt_status_t        *st;
    ngx_mqtt_status_entry_t  *e;

    st = w->status;

    e = ngx_mqtt_calloc(w, sizeof(ngx_mqtt_status_entry_t) + client_id->len);
    if (e == NULL) {
        return NULL;
    }

    e->worker = w;
    e->topic = topic;
    e->event = NGX_MQTT_STATUS_TCPCLEAN;

    e->client_id.data = (u_char *) e + sizeof(ngx_mqtt_status_entry_t);
    e->client_id.len = client_id->len;
    ngx_memcpy(e->client_id.data, client_id->data, client_id->len);

    e->cell = ngx_mqtt_status_cell(w, client_id);
    e->ticket = ngx_atomic_fetch_add(&ngx_mqtt_zone(w->gateway)->tickets, 1)
                + 1;

    cell = &st->cells[e->cell];

    if (ngx_queue_empty(cell)) {
        w->slot->status[e->cell] = e->ticket;
    }

    ngx_queue_insert_tail(cell, &e->queue);

    st->npending++;
    st->nwaiting++;
    ngx_mqtt_count(w, NGX_MQTT_STAT_status_waiting);

    ngx_memory_barrier();

    return e;
}


ngx_uint_t
ngx_mqtt_status_cell(ngx_mqtt_worker_t *w, ngx_str_t *client_id)
{
    return ngx_mqtt_hash_seeded(ngx_mqtt_zone(w->gateway)->seed,
                                client_id->data, client_id->len)
           % NGX_MQTT_STATUS_CELLS;
}


void
ngx_mqtt_status_drop(ngx_mqtt_worker_t *w)
{
    ngx_mqtt_count(w, NGX_MQTT_STAT_status_dropped);

    if (w->status->drop_time == ngx_time()) {
        return;
    }

    w->status->drop_time = ngx_time();

    ngx_log_error(NGX_LOG_WARN, w->log, 0,
                  "client status events of mqtt gateway \"%V\" are dropped, "
                  "%ui wait", &w->gateway->name, w->status->nwaiting);
}


ngx_int_t
ngx_mqtt_status_send(ngx_mqtt_worker_t *w, ngx_uint_t cell)
{
    ngx_msec_t                wait;
    ngx_queue_t              *q, *head;
    ngx_mqtt_status_entry_t  *e;

    head = &w->status->cells[cell];

    for (q = ngx_queue_head(head); q != head; q = ngx_queue_next(q)) {
        e = ngx_queue_data(q, ngx_mqtt_status_entry_t, queue);

        if (e->produced) {
            continue;
        }

        if (e->held || e->msg == NULL) {
            return NGX_AGAIN;
        }

        wait = 0;

        if (!ngx_mqtt_status_is_next(w, e)) {
            wait = NGX_MQTT_STATUS_RETRY;

        } else if (ngx_mqtt_status_produce(w, e) != NGX_OK) {
            wait = NGX_MQTT_STATUS_FULL;
        }

        if (wait) {

            if (!w->status->timer.timer_set) {
                ngx_add_timer(&w->status->timer, wait);
            }

            return NGX_AGAIN;
        }
    }

    return NGX_OK;
}


static ngx_uint_t
ngx_mqtt_status_is_next(ngx_mqtt_worker_t *w, ngx_mqtt_status_entry_t *e)
{
    uint64_t               oldest;
    ngx_uint_t             i;
    ngx_mqtt_zone_t       *zone;
    ngx_mqtt_zone_slot_t  *slot;

    zone = ngx_mqtt_zone(w->gateway);

    for (i = 0; i < zone->nslots; i++) {
        slot = &zone->slots[i];
        oldest = slot->status[e->cell];

        if (oldest && oldest < e->ticket && slot->generation
            && slot->generation != w->generation)
        {
            return 0;
        }
    }

    return 1;
}


static ngx_int_t
ngx_mqtt_status_produce(ngx_mqtt_worker_t *w, ngx_mqtt_status_entry_t *e)
{
    ngx_keyval_t              tag;
    ngx_mqtt_op_t            *op;
    ngx_mqtt_kafka_record_t   rec;

    op = ngx_mqtt_op_get(w, NULL, ngx_mqtt_status_acked, e);
    if (op == NULL) {
        return NGX_BUSY;
    }

    ngx_str_set(&tag.key, "tag");
    tag.value = ngx_mqtt_status_names[e->event];

    rec.topic = e->topic;
    rec.key = e->client_id;
    rec.msg = e->msg;
    rec.headers = &tag;
    rec.nheaders = 1;
    rec.timestamp = e->msg->received;

    if (ngx_mqtt_kafka_produce(w->kafka, &rec, 0, op) != NGX_OK) {
        ngx_mqtt_op_cancel(op);
        return NGX_BUSY;
    }

    e->produced = 1;
    w->status->nwaiting--;

    ngx_mqtt_count_sub(w, NGX_MQTT_STAT_status_waiting, 1);
    ngx_mqtt_count(w, NGX_MQTT_STAT_status_events);

    return NGX_OK;
}


static void
ngx_mqtt_status_acked(ngx_mqtt_op_t *op)
{
    ngx_mqtt_worker_t        *w;
    ngx_mqtt_status_entry_t  *e;

    e = op->data;
    w = e->worker;

    if (e->op && op->rc == NGX_ERROR) {
        ngx_mqtt_op_post(e->op, NGX_ERROR, op->reason);

    } else {

        if (op->rc != NGX_OK) {
            ngx_mqtt_status_drop(w);
        }

        if (e->op) {
            ngx_mqtt_op_post(e->op, NGX_OK, NGX_MQTT_SUCCESS);
        }
    }

    ngx_mqtt_status_free(e);
}


void
ngx_mqtt_status_free(ngx_mqtt_status_entry_t *e)
{
    uint64_t                  oldest;
    ngx_queue_t              *cell;
    ngx_mqtt_worker_t        *w;
    ngx_mqtt_status_t        *st;
    ngx_mqtt_status_entry_t  *first;

    w = e->worker;
    st = w->status;
    cell = &st->cells[e->cell];

    ngx_queue_remove(&e->queue);
    st->npending--;

    if (!e->produced) {
        st->nwaiting--;
        ngx_mqtt_count_sub(w, NGX_MQTT_STAT_status_waiting, 1);
    }

    oldest = 0;

    if (!ngx_queue_empty(cell)) {
        first = ngx_queue_data(ngx_queue_head(cell), ngx_mqtt_status_entry_t,
                               queue);
        oldest = first->ticket;
    }

    w->slot->status[e->cell] = oldest;

    if (e->msg) {
        ngx_mqtt_msg_unref(e->msg);
    }

    ngx_mqtt_free(w, e, sizeof(ngx_mqtt_status_entry_t) + e->client_id.len);
}


static void
ngx_mqtt_status_retry(ngx_event_t *ev)
{
    ngx_mqtt_status_resume(ngx_mqtt_event_worker(ev));
}


void
ngx_mqtt_status_resume(ngx_mqtt_worker_t *w)
{
    ngx_uint_t  i;

    if (w->status == NULL || w->status->nwaiting == 0) {
        return;
    }

    for (i = 0; i < NGX_MQTT_STATUS_CELLS; i++) {
        (void) ngx_mqtt_status_send(w, i);
    }
}
