
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
 *
 * Called from: client/ (connected, closed), Kafka's reports.
 */


#include "ngx_mqtt_gateway.h"

#include <ngx_md5.h>
#include <jansson.h>


/* events of other workers are awaited; the producer is full; ms */

#define NGX_MQTT_STATUS_RETRY    5
#define NGX_MQTT_STATUS_FULL     500

#define NGX_MQTT_STATUS_CHANNEL  32      /* hexadecimal digits */


typedef struct {
    ngx_queue_t               queue;        /* in its cell, oldest first */
    ngx_mqtt_worker_t        *worker;
    ngx_mqtt_msg_t           *msg;
    uint64_t                  ticket;
    ngx_uint_t                cell;
    ngx_uint_t                event;
    ngx_str_t                 client_id;    /* bytes behind the struct */
    unsigned                  produced:1;
} ngx_mqtt_status_entry_t;


struct ngx_mqtt_status_s {
    ngx_queue_t               cells[NGX_MQTT_STATUS_CELLS];
    ngx_uint_t                npending;     /* all */
    ngx_uint_t                nwaiting;     /* not with the producer */
    ngx_event_t               timer;
    time_t                    drop_time;    /* of the last line logged */
};


static ngx_mqtt_status_entry_t *ngx_mqtt_status_create(ngx_mqtt_worker_t *w,
    ngx_mqtt_status_event_t *ev);
static ngx_mqtt_msg_t *ngx_mqtt_status_json(ngx_mqtt_worker_t *w,
    ngx_mqtt_status_event_t *ev);
static json_t *ngx_mqtt_status_string(ngx_str_t *s);
static void ngx_mqtt_status_channel(ngx_mqtt_status_event_t *ev,
    u_char *text);
static void ngx_mqtt_status_drop(ngx_mqtt_worker_t *w);
static ngx_int_t ngx_mqtt_status_send(ngx_mqtt_worker_t *w, ngx_uint_t cell);
static ngx_uint_t ngx_mqtt_status_is_next(ngx_mqtt_worker_t *w,
    ngx_mqtt_status_entry_t *e);
static ngx_int_t ngx_mqtt_status_produce(ngx_mqtt_worker_t *w,
    ngx_mqtt_status_entry_t *e);
static void ngx_mqtt_status_acked(ngx_mqtt_op_t *op);
static void ngx_mqtt_status_free(ngx_mqtt_status_entry_t *e);
static void ngx_mqtt_status_retry(ngx_event_t *ev);


static ngx_str_t  ngx_mqtt_status_names[] = {
    ngx_string("connect"),
    ngx_string("disconnect"),
    ngx_string("tcpclean")
};


ngx_int_t
ngx_mqtt_status_start(ngx_mqtt_worker_t *w)
{
    ngx_uint_t          i;
    ngx_mqtt_status_t  *st;

    if (w->gateway->status_topic == NGX_MQTT_KAFKA_NO_TOPIC) {
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

    return NGX_OK;
}


/* the producer has given its own ones up already */

void
ngx_mqtt_status_stop(ngx_mqtt_worker_t *w)
{
    ngx_uint_t          i;
    ngx_queue_t        *q;
    ngx_mqtt_status_t  *st;

    st = w->status;

    for (i = 0; i < NGX_MQTT_STATUS_CELLS; i++) {

        while (!ngx_queue_empty(&st->cells[i])) {
            q = ngx_queue_head(&st->cells[i]);

            ngx_mqtt_count(w, NGX_MQTT_STAT_status_dropped);
            ngx_mqtt_status_free(ngx_queue_data(q, ngx_mqtt_status_entry_t,
                                                queue));
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


void
ngx_mqtt_status(ngx_mqtt_worker_t *w, ngx_mqtt_status_event_t *ev)
{
    ngx_queue_t              *cell;
    ngx_mqtt_zone_t          *zone;
    ngx_mqtt_status_t        *st;
    ngx_mqtt_status_entry_t  *e;

    st = w->status;

    if (st == NULL) {
        return;
    }

    if (st->nwaiting >= (ngx_uint_t) w->gateway->status_queue) {
        ngx_mqtt_status_drop(w);
        return;
    }

    e = ngx_mqtt_status_create(w, ev);

    if (e == NULL) {
        ngx_mqtt_status_drop(w);
        return;
    }

    zone = ngx_mqtt_zone(w->gateway);
    cell = &st->cells[e->cell];

    e->ticket = ngx_atomic_fetch_add(&zone->tickets, 1) + 1;

    if (ngx_queue_empty(cell)) {
        w->slot->status[e->cell] = e->ticket;
    }

    ngx_queue_insert_tail(cell, &e->queue);

    st->npending++;
    st->nwaiting++;
    ngx_mqtt_count(w, NGX_MQTT_STAT_status_waiting);

    ngx_memory_barrier();

    (void) ngx_mqtt_status_send(w, e->cell);
}


static ngx_mqtt_status_entry_t *
ngx_mqtt_status_create(ngx_mqtt_worker_t *w, ngx_mqtt_status_event_t *ev)
{
    ngx_mqtt_zone_t          *zone;
    ngx_mqtt_status_entry_t  *e;

    zone = ngx_mqtt_zone(w->gateway);

    e = ngx_mqtt_alloc(w, sizeof(ngx_mqtt_status_entry_t)
                          + ev->client_id.len);
    if (e == NULL) {
        return NULL;
    }

    e->msg = ngx_mqtt_status_json(w, ev);

    if (e->msg == NULL) {
        ngx_mqtt_free(w, e, sizeof(ngx_mqtt_status_entry_t)
                            + ev->client_id.len);
        return NULL;
    }

    e->worker = w;
    e->event = ev->event;
    e->produced = 0;

    e->client_id.data = (u_char *) e + sizeof(ngx_mqtt_status_entry_t);
    e->client_id.len = ev->client_id.len;
    ngx_memcpy(e->client_id.data, ev->client_id.data, ev->client_id.len);

    e->cell = ngx_mqtt_hash_seeded(zone->seed, ev->client_id.data,
                                   ev->client_id.len)
              % NGX_MQTT_STATUS_CELLS;

    return e;
}


static ngx_mqtt_msg_t *
ngx_mqtt_status_json(ngx_mqtt_worker_t *w, ngx_mqtt_status_event_t *ev)
{
    size_t           len;
    u_char           channel[NGX_MQTT_STATUS_CHANNEL];
    json_t          *json;
    ngx_str_t        channel_id;
    ngx_time_t      *tp;
    const char      *reason;
    ngx_mqtt_msg_t  *m;

    tp = ngx_timeofday();

    ngx_mqtt_status_channel(ev, channel);
    channel_id.data = channel;
    channel_id.len = NGX_MQTT_STATUS_CHANNEL;

    reason = (ev->event == NGX_MQTT_STATUS_CONNECT)
             ? "" : ngx_mqtt_reason_name(ev->reason);

    json = json_pack("{s:o, s:o, s:I, s:o, s:o, s:I, s:s, s:o, s:o}",
                     "clientId", ngx_mqtt_status_string(&ev->client_id),
                     "eventType",
                     ngx_mqtt_status_string(&ngx_mqtt_status_names[ev->event]),
                     "time", (json_int_t) tp->sec * 1000 + tp->msec,
                     "channelId", ngx_mqtt_status_string(&channel_id),
                     "clientIp", ngx_mqtt_status_string(&ev->address),
                     "epoch", (json_int_t) ev->epoch,
                     "reason", reason,
                     "username", ngx_mqtt_status_string(&ev->username),
                     "node", ngx_mqtt_status_string(&w->cycle->hostname));
    if (json == NULL) {
        return NULL;
    }

    len = json_dumpb(json, NULL, 0, JSON_COMPACT);

    m = len ? ngx_mqtt_msg_create(w, len) : NULL;

    if (m) {
        m->payload.data = ngx_mqtt_msg_data(m);
        m->payload.len = len;
        m->received = (uint64_t) tp->sec * 1000 + tp->msec;

        (void) json_dumpb(json, (char *) m->payload.data, len, JSON_COMPACT);
    }

    json_decref(json);

    return m;
}


/* client ids and user names were checked when they came */

static json_t *
ngx_mqtt_status_string(ngx_str_t *s)
{
    return json_stringn(s->len ? (char *) s->data : "", s->len);
}


/*
 * One for each connection: the epoch is never used twice for a client id.  So
 * whoever cleans up behind a worker that was killed knows it as well.
 */

static void
ngx_mqtt_status_channel(ngx_mqtt_status_event_t *ev, u_char *text)
{
    u_char     hash[16];
    ngx_md5_t  md5;

    ngx_md5_init(&md5);
    ngx_md5_update(&md5, &ev->epoch, sizeof(uint64_t));
    ngx_md5_update(&md5, ev->client_id.data, ev->client_id.len);
    ngx_md5_final(hash, &md5);

    ngx_hex_dump(text, hash, sizeof(hash));
}


static void
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


/* what may go of a cell; NGX_OK, or NGX_AGAIN when the rest has to wait */

static ngx_int_t
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

    rec.topic = w->gateway->status_topic;
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

    if (op->rc != NGX_OK) {
        ngx_mqtt_status_drop(w);
    }

    ngx_mqtt_status_free(e);
}


static void
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

    ngx_mqtt_msg_unref(e->msg);
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
