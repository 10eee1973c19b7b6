
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * The partitions that are assigned to the consumer, and their records.
 *
 * (1) Each partition has a queue of its own in librdkafka.  Not to poll it is
 *     the pause: librdkafka fetches no more than queued.min.messages, nothing
 *     fetched is thrown away, and other partitions go on.
 * (2) A record that was taken is in p->inflight until its op completes.  The
 *     offset that is stored is the one behind the last record before which
 *     nothing is in flight: never past an undelivered record.
 * (3) What is stored is committed by librdkafka, every auto.commit.interval.ms
 *     and when the partition is given back.
 * (4) A record whose op outlives the partition completes in silence.
 * (5) Records in flight go one way; whichever goes another one waits for them.
 *
 * Called from: ngx_mqtt_kafka_consumer.c.
 */


#include "ngx_mqtt_kafka_core.h"


/* records taken in one turn of the loop */

#define NGX_MQTT_KAFKA_TAKE            64

/* headers of a record; what is beyond them is as if it were not there */

#define NGX_MQTT_KAFKA_HEADERS         128


typedef struct {
    ngx_queue_t                  queue;       /* in partition->inflight */
    ngx_mqtt_kafka_consumer_t   *consumer;
    ngx_mqtt_kafka_partition_t  *partition;   /* NULL: it is gone */
    int64_t                      offset;
    size_t                       size;
    unsigned                     way:1;       /* counted in partition->nway */
    unsigned                     done:1;
    unsigned                     ended:1;     /* its op has completed */
} ngx_mqtt_kafka_inflight_t;


static ngx_mqtt_kafka_partition_t *ngx_mqtt_kafka_partition_find(
    ngx_mqtt_kafka_consumer_t *kc, const char *topic, int32_t number);
static void ngx_mqtt_kafka_partition_free(ngx_mqtt_kafka_partition_t *p);
static void ngx_mqtt_kafka_partition_stop(ngx_mqtt_kafka_partition_t *p);
static ngx_uint_t ngx_mqtt_kafka_partition_take(ngx_mqtt_kafka_partition_t *p,
    ngx_uint_t max);
static ngx_int_t ngx_mqtt_kafka_partition_record(
    ngx_mqtt_kafka_partition_t *p);
static ngx_int_t ngx_mqtt_kafka_partition_deliver(
    ngx_mqtt_kafka_partition_t *p, rd_kafka_message_t *rkm);
static void ngx_mqtt_kafka_partition_headers(rd_kafka_message_t *rkm,
    ngx_mqtt_kafka_consumed_t *rec);
static void ngx_mqtt_kafka_partition_delivered(ngx_mqtt_op_t *op);
static void ngx_mqtt_kafka_partition_advance(ngx_mqtt_kafka_partition_t *p);
static void ngx_mqtt_kafka_inflight_add(ngx_mqtt_kafka_partition_t *p,
    ngx_mqtt_kafka_inflight_t *fl);
static void ngx_mqtt_kafka_inflight_free(ngx_mqtt_kafka_inflight_t *fl);


#define ngx_mqtt_kafka_inflight_full(kc)                                      \
    ((kc)->messages >= (kc)->kafka->conf->inflight_messages                   \
     || (kc)->size >= (kc)->kafka->conf->inflight_size)

#define ngx_mqtt_kafka_inflight_half(kc)                                      \
    ((kc)->messages <= (kc)->kafka->conf->inflight_messages / 2               \
     && (kc)->size <= (kc)->kafka->conf->inflight_size / 2)


ngx_int_t
ngx_mqtt_kafka_partition_add(ngx_mqtt_kafka_consumer_t *kc, const char *topic,
    int32_t number)
{
    ngx_str_t                   *source;
    ngx_uint_t                   i;
    ngx_mqtt_worker_t           *w;
    ngx_mqtt_kafka_partition_t  *p;

    w = kc->kafka->worker;
    source = kc->kafka->conf->sources.elts;

    for (i = 0; i < kc->kafka->conf->sources.nelts; i++) {

        if (ngx_strcmp(source[i].data, topic) == 0) {
            break;
        }
    }

    if (i == kc->kafka->conf->sources.nelts
        || ngx_mqtt_kafka_partition_find(kc, topic, number))
    {
        return NGX_OK;
    }

    /* of the worker, not of a message or a client: not counted */

    p = ngx_calloc(sizeof(ngx_mqtt_kafka_partition_t), kc->kafka->log);
    if (p == NULL) {
        return NGX_ERROR;
    }

    p->records = rd_kafka_queue_get_partition(kc->handle.client, topic,
                                              number);
    if (p->records == NULL) {
        ngx_free(p);
        return NGX_ERROR;
    }

    p->consumer = kc;
    p->source = i;
    p->number = number;

    ngx_queue_init(&p->inflight);
    ngx_queue_insert_tail(&kc->partitions, &p->queue);
    kc->npartitions++;

    ngx_mqtt_count(w, NGX_MQTT_STAT_kafka_partitions);

    /* before it is assigned: its records never enter the common queue */

    rd_kafka_queue_forward(p->records, NULL);
    ngx_mqtt_kafka_watch_queue(&kc->handle, p->records);

    return NGX_OK;
}


static ngx_mqtt_kafka_partition_t *
ngx_mqtt_kafka_partition_find(ngx_mqtt_kafka_consumer_t *kc,
    const char *topic, int32_t number)
{
    ngx_str_t                   *source;
    ngx_queue_t                 *q;
    ngx_mqtt_kafka_partition_t  *p;

    source = kc->kafka->conf->sources.elts;

    for (q = ngx_queue_head(&kc->partitions);
         q != ngx_queue_sentinel(&kc->partitions);
         q = ngx_queue_next(q))
    {
        p = ngx_queue_data(q, ngx_mqtt_kafka_partition_t, queue);

        if (p->number == number && !p->revoking
            && ngx_strcmp(source[p->source].data, topic) == 0)
        {
            return p;
        }
    }

    return NULL;
}


void
ngx_mqtt_kafka_partition_revoke(ngx_mqtt_kafka_consumer_t *kc,
    const char *topic, int32_t number)
{
    ngx_mqtt_kafka_partition_t  *p;

    p = ngx_mqtt_kafka_partition_find(kc, topic, number);

    if (p) {
        ngx_mqtt_kafka_partition_stop(p);
    }
}


void
ngx_mqtt_kafka_partitions_revoke(ngx_mqtt_kafka_consumer_t *kc)
{
    ngx_queue_t  *q;

    for (q = ngx_queue_head(&kc->partitions);
         q != ngx_queue_sentinel(&kc->partitions);
         q = ngx_queue_next(q))
    {
        ngx_mqtt_kafka_partition_stop(
                        ngx_queue_data(q, ngx_mqtt_kafka_partition_t, queue));
    }
}


/* a record that nobody has taken belongs to whoever comes next */

static void
ngx_mqtt_kafka_partition_stop(ngx_mqtt_kafka_partition_t *p)
{
    p->revoking = 1;
    p->busy = 0;

    if (p->event) {
        rd_kafka_event_destroy(p->event);
        p->event = NULL;
        p->record = NULL;
    }
}


ngx_uint_t
ngx_mqtt_kafka_partitions_pending(ngx_mqtt_kafka_consumer_t *kc)
{
    ngx_queue_t                 *q;
    ngx_mqtt_kafka_partition_t  *p;

    for (q = ngx_queue_head(&kc->partitions);
         q != ngx_queue_sentinel(&kc->partitions);
         q = ngx_queue_next(q))
    {
        p = ngx_queue_data(q, ngx_mqtt_kafka_partition_t, queue);

        if (p->revoking && !ngx_queue_empty(&p->inflight)) {
            return 1;
        }
    }

    return 0;
}


void
ngx_mqtt_kafka_partitions_remove(ngx_mqtt_kafka_consumer_t *kc)
{
    ngx_queue_t                 *q, *next;
    ngx_mqtt_kafka_partition_t  *p;

    for (q = ngx_queue_head(&kc->partitions);
         q != ngx_queue_sentinel(&kc->partitions);
         q = next)
    {
        next = ngx_queue_next(q);
        p = ngx_queue_data(q, ngx_mqtt_kafka_partition_t, queue);

        if (p->revoking) {
            ngx_mqtt_kafka_partition_free(p);
        }
    }
}


static void
ngx_mqtt_kafka_partition_free(ngx_mqtt_kafka_partition_t *p)
{
    ngx_queue_t                *q;
    ngx_mqtt_worker_t          *w;
    ngx_mqtt_kafka_inflight_t  *fl;

    w = p->consumer->kafka->worker;

    while (!ngx_queue_empty(&p->inflight)) {
        q = ngx_queue_head(&p->inflight);
        fl = ngx_queue_data(q, ngx_mqtt_kafka_inflight_t, queue);

        ngx_queue_remove(q);

        if (fl->ended) {
            ngx_mqtt_kafka_inflight_free(fl);

        } else {
            fl->partition = NULL;
        }
    }

    rd_kafka_queue_io_event_enable(p->records, -1, NULL, 0);
    rd_kafka_queue_destroy(p->records);

    ngx_queue_remove(&p->queue);
    p->consumer->npartitions--;

    ngx_mqtt_count_sub(w, NGX_MQTT_STAT_kafka_partitions, 1);
    ngx_free(p);
}


/* each partition in turn; the one that was first is the last the next time */

void
ngx_mqtt_kafka_partitions_take(ngx_mqtt_kafka_consumer_t *kc)
{
    ngx_uint_t    n, i, left;
    ngx_queue_t  *q;

    left = NGX_MQTT_KAFKA_TAKE;

    for (i = kc->npartitions; i && left && !kc->full; i--) {
        q = ngx_queue_head(&kc->partitions);

        ngx_queue_remove(q);
        ngx_queue_insert_tail(&kc->partitions, q);

        n = ngx_mqtt_kafka_partition_take(
                         ngx_queue_data(q, ngx_mqtt_kafka_partition_t, queue),
                         left);
        left -= n;
    }

    if (left == 0) {
        ngx_post_event(kc->handle.connection->read, &ngx_posted_next_events);
    }
}


/* the number of records taken */

static ngx_uint_t
ngx_mqtt_kafka_partition_take(ngx_mqtt_kafka_partition_t *p, ngx_uint_t max)
{
    ngx_int_t                   rc;
    ngx_uint_t                  n;
    ngx_mqtt_kafka_consumer_t  *kc;

    kc = p->consumer;

    for (n = 0; n < max && !p->busy && !p->revoking; n++) {

        if (ngx_mqtt_kafka_inflight_full(kc)) {
            kc->full = 1;
            ngx_mqtt_count(kc->kafka->worker, NGX_MQTT_STAT_kafka_pauses);
            break;
        }

        if (p->event == NULL) {
            p->event = rd_kafka_queue_poll(p->records, 0);
        }

        if (p->event == NULL) {
            break;
        }

        if (rd_kafka_event_type(p->event) == RD_KAFKA_EVENT_FETCH) {
            rc = ngx_mqtt_kafka_partition_record(p);

        } else {
            rc = ngx_mqtt_kafka_event(&kc->handle, p->event);
        }

        if (rc == NGX_BUSY || rc == NGX_DECLINED) {
            p->busy = 1;

            if (rc == NGX_BUSY && !p->paused) {
                p->paused = 1;
                ngx_mqtt_count(kc->kafka->worker, NGX_MQTT_STAT_kafka_pauses);
            }

            break;
        }

        p->paused = 0;

        rd_kafka_event_destroy(p->event);
        p->event = NULL;
        p->record = NULL;
    }

    return n;
}


/* an event has one record, and gives it out once */

static ngx_int_t
ngx_mqtt_kafka_partition_record(ngx_mqtt_kafka_partition_t *p)
{
    if (p->record == NULL) {
        p->record = rd_kafka_event_message_next(p->event);
    }

    if (p->record == NULL || p->record->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
        return NGX_OK;
    }

    return ngx_mqtt_kafka_partition_deliver(p,
                                            (rd_kafka_message_t *) p->record);
}


static ngx_int_t
ngx_mqtt_kafka_partition_deliver(ngx_mqtt_kafka_partition_t *p,
    rd_kafka_message_t *rkm)
{
    ngx_int_t                   rc;
    ngx_keyval_t                headers[NGX_MQTT_KAFKA_HEADERS];
    ngx_mqtt_op_t              *op;
    ngx_mqtt_worker_t          *w;
    rd_kafka_timestamp_type_t   type;
    ngx_mqtt_kafka_consumed_t   rec;
    ngx_mqtt_kafka_inflight_t  *fl;

    w = p->consumer->kafka->worker;

    fl = ngx_mqtt_alloc(w, sizeof(ngx_mqtt_kafka_inflight_t));
    op = ngx_mqtt_op_get(w, NULL, ngx_mqtt_kafka_partition_delivered, fl);

    if (fl == NULL || op == NULL) {
        rc = NGX_BUSY;
        goto done;
    }

    fl->offset = rkm->offset;
    fl->size = sizeof(ngx_mqtt_kafka_inflight_t) + sizeof(ngx_mqtt_msg_t)
               + rkm->len + rkm->key_len;

    rec.source = p->source;
    rec.partition = rkm->partition;
    rec.offset = rkm->offset;
    rec.timestamp = rd_kafka_message_timestamp(rkm, &type);
    rec.key.data = rkm->key;
    rec.key.len = rkm->key_len;
    rec.value.data = rkm->payload;
    rec.value.len = rkm->len;
    rec.headers = headers;
    rec.way = p->nway ? p->way : 0;

    ngx_mqtt_kafka_partition_headers(rkm, &rec);

    rc = p->consumer->deliver(w, &rec, op);

    if (rc == NGX_BUSY || rc == NGX_DECLINED) {
        goto done;
    }

    ngx_mqtt_count(w, NGX_MQTT_STAT_kafka_consumed);

    ngx_mqtt_kafka_inflight_add(p, fl);

    if (rc == NGX_AGAIN) {

        if (rec.way) {
            fl->way = 1;
            p->way = rec.way;
            p->nway++;
        }

        return NGX_OK;
    }

    fl->done = 1;
    fl->ended = 1;
    ngx_mqtt_kafka_partition_advance(p);

    ngx_mqtt_op_cancel(op);

    return NGX_OK;

done:

    if (op) {
        ngx_mqtt_op_cancel(op);
    }

    if (fl) {
        ngx_mqtt_free(w, fl, sizeof(ngx_mqtt_kafka_inflight_t));
    }

    return rc;
}


static void
ngx_mqtt_kafka_partition_headers(rd_kafka_message_t *rkm,
    ngx_mqtt_kafka_consumed_t *rec)
{
    const char          *name;
    const void          *value;
    size_t               size;
    ngx_uint_t           i;
    ngx_keyval_t        *h;
    rd_kafka_headers_t  *headers;

    rec->nheaders = 0;

    if (rd_kafka_message_headers(rkm, &headers)
        != RD_KAFKA_RESP_ERR_NO_ERROR)
    {
        return;
    }

    for (i = 0; i < NGX_MQTT_KAFKA_HEADERS; i++) {

        if (rd_kafka_header_get_all(headers, i, &name, &value, &size)
            != RD_KAFKA_RESP_ERR_NO_ERROR)
        {
            break;
        }

        h = &rec->headers[rec->nheaders++];

        /* librdkafka gives no length of names: they end at their first zero */

        h->key.data = (u_char *) name;
        h->key.len = ngx_strlen(name);

        h->value.data = (u_char *) value;
        h->value.len = value ? size : 0;
    }
}


static void
ngx_mqtt_kafka_partition_delivered(ngx_mqtt_op_t *op)
{
    ngx_event_t                 *rev;
    ngx_mqtt_kafka_consumer_t   *kc;
    ngx_mqtt_kafka_inflight_t   *fl;
    ngx_mqtt_kafka_partition_t  *p;

    fl = op->data;
    p = fl->partition;

    if (p == NULL) {
        ngx_mqtt_kafka_inflight_free(fl);
        return;
    }

    fl->ended = 1;

    if (op->rc == NGX_ERROR) {

        /* the worker ends, and whoever comes next gets the record again */

        return;
    }

    kc = fl->consumer;

    if (fl->way && --p->nway == 0) {
        p->busy = 0;
    }

    fl->done = 1;
    ngx_mqtt_kafka_partition_advance(p);

    /* the offset is stored, and more is taken, once for all of this turn */

    rev = kc->handle.connection->read;

    if (!rev->posted) {
        ngx_post_event(rev, &ngx_posted_events);
    }
}


/* the records that are done before the first that is not */

static void
ngx_mqtt_kafka_partition_advance(ngx_mqtt_kafka_partition_t *p)
{
    ngx_queue_t                *q;
    ngx_mqtt_kafka_inflight_t  *fl;

    while (!ngx_queue_empty(&p->inflight)) {
        q = ngx_queue_head(&p->inflight);
        fl = ngx_queue_data(q, ngx_mqtt_kafka_inflight_t, queue);

        if (!fl->done) {
            return;
        }

        p->done = fl->offset + 1;
        p->store = 1;

        ngx_queue_remove(q);
        ngx_mqtt_kafka_inflight_free(fl);
    }
}


static void
ngx_mqtt_kafka_inflight_add(ngx_mqtt_kafka_partition_t *p,
    ngx_mqtt_kafka_inflight_t *fl)
{
    ngx_mqtt_kafka_consumer_t  *kc;

    kc = p->consumer;

    fl->consumer = kc;
    fl->partition = p;
    fl->way = 0;
    fl->done = 0;
    fl->ended = 0;

    ngx_queue_insert_tail(&p->inflight, &fl->queue);

    kc->messages++;
    kc->size += fl->size;

    ngx_mqtt_count(kc->kafka->worker, NGX_MQTT_STAT_kafka_inflight);
}


static void
ngx_mqtt_kafka_inflight_free(ngx_mqtt_kafka_inflight_t *fl)
{
    ngx_mqtt_kafka_consumer_t  *kc;

    kc = fl->consumer;

    kc->messages--;
    kc->size -= fl->size;

    if (kc->full && ngx_mqtt_kafka_inflight_half(kc)) {
        kc->full = 0;
    }

    ngx_mqtt_count_sub(kc->kafka->worker, NGX_MQTT_STAT_kafka_inflight, 1);

    ngx_mqtt_free(kc->kafka->worker, fl, sizeof(ngx_mqtt_kafka_inflight_t));
}


void
ngx_mqtt_kafka_partitions_store(ngx_mqtt_kafka_consumer_t *kc)
{
    ngx_str_t                        *source;
    ngx_queue_t                      *q;
    rd_kafka_resp_err_t               err;
    ngx_mqtt_kafka_partition_t       *p;
    rd_kafka_topic_partition_list_t  *list;

    list = NULL;
    source = kc->kafka->conf->sources.elts;

    for (q = ngx_queue_head(&kc->partitions);
         q != ngx_queue_sentinel(&kc->partitions);
         q = ngx_queue_next(q))
    {
        p = ngx_queue_data(q, ngx_mqtt_kafka_partition_t, queue);

        if (!p->store) {
            continue;
        }

        p->store = 0;

        if (list == NULL) {
            list = rd_kafka_topic_partition_list_new(kc->npartitions);
        }

        rd_kafka_topic_partition_list_add(list,
                                          (char *) source[p->source].data,
                                          p->number)->offset = p->done;
    }

    if (list == NULL) {
        return;
    }

    /* of a partition that was lost meanwhile nothing can be stored */

    err = rd_kafka_offsets_store(kc->handle.client, list);

    ngx_log_debug1(NGX_LOG_DEBUG_STREAM, kc->kafka->log, 0,
                   "mqtt kafka offsets stored: %d", err);

    (void) err;

    rd_kafka_topic_partition_list_destroy(list);
}


void
ngx_mqtt_kafka_partitions_resume(ngx_mqtt_kafka_consumer_t *kc)
{
    ngx_queue_t                 *q;
    ngx_mqtt_kafka_partition_t  *p;

    for (q = ngx_queue_head(&kc->partitions);
         q != ngx_queue_sentinel(&kc->partitions);
         q = ngx_queue_next(q))
    {
        p = ngx_queue_data(q, ngx_mqtt_kafka_partition_t, queue);
        p->busy = 0;
    }
}
