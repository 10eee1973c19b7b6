
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * The consumer of a worker: its life in the group.
 *
 *     WAITING -> MEMBER -> FINISHING -> LEAVING -> LEFT
 *                  | ^
 *                  v |
 *                  LOST
 *
 * (1) A member has a name of its own in the group (group.instance.id), made of
 *     the node and the number of the worker: who comes back under it gets the
 *     same partitions, without a rebalance.  Two must not have it at a time,
 *     so a new worker WAITs until the old one of its number has LEFT, which
 *     slot->consumer in the zone tells.
 * (2) Should somebody have the name nevertheless, the broker fences the older
 *     one.  It comes back as a member without a name: both are served.
 * (3) Partitions come and go by events; one that is taken away is given back
 *     when its records in flight are done, or after a while without that.
 * (4) Leaving takes nothing more, lets what is in flight complete, commits,
 *     and closes in the background (P16).  Nobody is told to rebalance where
 *     the member has a name: its successor is on its way.
 *
 * Called from: gateway/ (consume, resume, leave), the events of librdkafka.
 */


#include "ngx_mqtt_kafka_core.h"


/* how often a new worker looks whether the old one has left */

#define NGX_MQTT_KAFKA_PREDECESSOR     20

/* what is in flight of a partition to be given back is waited for */

#define NGX_MQTT_KAFKA_REVOKE          5000

/* without a broker that answers there is nobody to be left properly */

#define NGX_MQTT_KAFKA_LEAVE           10000

/* a consumer that was lost is opened again */

#define NGX_MQTT_KAFKA_REOPEN          5000


static void ngx_mqtt_kafka_consumer_wait(ngx_event_t *ev);
static ngx_uint_t ngx_mqtt_kafka_has_predecessor(ngx_mqtt_worker_t *w);
static void ngx_mqtt_kafka_consumer_open(ngx_mqtt_kafka_consumer_t *kc);
static rd_kafka_conf_t *ngx_mqtt_kafka_consumer_properties(
    ngx_mqtt_kafka_consumer_t *kc);
static ngx_int_t ngx_mqtt_kafka_consumer_subscribe(
    ngx_mqtt_kafka_consumer_t *kc);
static void ngx_mqtt_kafka_consumer_lose(ngx_mqtt_kafka_consumer_t *kc);
static void ngx_mqtt_kafka_consumer_close(ngx_mqtt_kafka_consumer_t *kc);
static void ngx_mqtt_kafka_consumer_fatal(ngx_mqtt_kafka_handle_t *h);
static ngx_int_t ngx_mqtt_kafka_consumer_event(ngx_mqtt_kafka_handle_t *h,
    rd_kafka_event_t *event);
static ngx_int_t ngx_mqtt_kafka_consumer_rebalance(
    ngx_mqtt_kafka_consumer_t *kc, rd_kafka_event_t *event);
static void ngx_mqtt_kafka_consumer_assign(ngx_mqtt_kafka_consumer_t *kc,
    rd_kafka_topic_partition_list_t *list);
static void ngx_mqtt_kafka_consumer_revoke(ngx_mqtt_kafka_consumer_t *kc,
    rd_kafka_topic_partition_list_t *list);
static void ngx_mqtt_kafka_consumer_give_back(ngx_mqtt_kafka_consumer_t *kc);
static void ngx_mqtt_kafka_consumer_error(ngx_mqtt_kafka_consumer_t *kc,
    rd_kafka_error_t *error, const char *what);
static void ngx_mqtt_kafka_consumer_turn(ngx_mqtt_kafka_handle_t *h);
static void ngx_mqtt_kafka_consumer_leave(ngx_mqtt_kafka_consumer_t *kc);
static void ngx_mqtt_kafka_consumer_left(ngx_mqtt_kafka_consumer_t *kc);


#define ngx_mqtt_kafka_consumer_of(h)                                         \
    (&(h)->kafka->consumer)


ngx_int_t
ngx_mqtt_kafka_consume(ngx_mqtt_worker_t *w, ngx_mqtt_kafka_deliver_pt deliver)
{
    ngx_mqtt_kafka_t           *k;
    ngx_mqtt_kafka_consumer_t  *kc;

    k = w->kafka;
    kc = &k->consumer;

    if (k->conf->sources.nelts == 0) {
        return NGX_OK;
    }

    kc->deliver = deliver;
    kc->state = NGX_MQTT_KAFKA_WAITING;

    kc->handle.kafka = k;
    kc->handle.handler = ngx_mqtt_kafka_consumer_event;
    kc->handle.on_fatal = ngx_mqtt_kafka_consumer_fatal;
    kc->handle.on_turn = ngx_mqtt_kafka_consumer_turn;
    kc->handle.events = RD_KAFKA_EVENT_FETCH|RD_KAFKA_EVENT_REBALANCE
                        |RD_KAFKA_EVENT_OFFSET_COMMIT;

    kc->wait.handler = ngx_mqtt_kafka_consumer_wait;
    kc->wait.data = &w->ident;
    kc->wait.log = w->log;
    kc->wait.cancelable = 1;

    ngx_mqtt_kafka_consumer_wait(&kc->wait);

    return NGX_OK;
}


static void
ngx_mqtt_kafka_consumer_wait(ngx_event_t *ev)
{
    ngx_mqtt_worker_t          *w;
    ngx_mqtt_kafka_consumer_t  *kc;

    w = ngx_mqtt_event_worker(ev);
    kc = &w->kafka->consumer;

    if (kc->state != NGX_MQTT_KAFKA_WAITING) {
        return;
    }

    if (ngx_mqtt_kafka_has_predecessor(w)) {
        ngx_add_timer(ev, NGX_MQTT_KAFKA_PREDECESSOR);
        return;
    }

    ngx_mqtt_kafka_consumer_open(kc);
}


/* a worker that was killed while it had the name does not have it anymore */

static ngx_uint_t
ngx_mqtt_kafka_has_predecessor(ngx_mqtt_worker_t *w)
{
    ngx_uint_t             i;
    ngx_mqtt_zone_t       *zone;
    ngx_mqtt_zone_slot_t  *slot;

    zone = ngx_mqtt_zone(w->gateway);

    for (i = 0; i < zone->nslots; i++) {
        slot = &zone->slots[i];

        if (slot->generation == 0 || slot->generation == w->generation
            || slot->worker != w->slot->worker || !slot->consumer)
        {
            continue;
        }

        if (kill(slot->pid, 0) == 0 || ngx_errno != NGX_ESRCH) {
            return 1;
        }
    }

    return 0;
}


static void
ngx_mqtt_kafka_consumer_open(ngx_mqtt_kafka_consumer_t *kc)
{
    ngx_mqtt_kafka_t  *k;

    k = kc->kafka;

    if (ngx_mqtt_kafka_open(&kc->handle, RD_KAFKA_CONSUMER,
                            ngx_mqtt_kafka_consumer_properties(kc))
        != NGX_OK)
    {
        ngx_mqtt_kafka_consumer_lose(kc);
        return;
    }

    if (ngx_mqtt_kafka_consumer_subscribe(kc) != NGX_OK) {
        ngx_mqtt_kafka_close(&kc->handle);
        ngx_mqtt_kafka_consumer_lose(kc);
        return;
    }

    kc->state = NGX_MQTT_KAFKA_MEMBER;
    k->worker->slot->consumer = 1;
}


static rd_kafka_conf_t *
ngx_mqtt_kafka_consumer_properties(ngx_mqtt_kafka_consumer_t *kc)
{
    u_char             id[NGX_MQTT_KAFKA_INSTANCE + NGX_INT_T_LEN + 2];
    ngx_mqtt_kafka_t  *k;
    rd_kafka_conf_t   *properties;

    k = kc->kafka;

    properties = rd_kafka_conf_dup(k->conf->consumer);

    if (k->conf->instance.len && !kc->fenced) {
        ngx_sprintf(id, "%V-%ui%Z", &k->conf->instance,
                    k->worker->slot->worker);
        (void) rd_kafka_conf_set(properties, "group.instance.id", (char *) id,
                                 NULL, 0);
    }

    return properties;
}


static ngx_int_t
ngx_mqtt_kafka_consumer_subscribe(ngx_mqtt_kafka_consumer_t *kc)
{
    ngx_str_t                        *source;
    ngx_uint_t                        i;
    rd_kafka_resp_err_t               err;
    rd_kafka_topic_partition_list_t  *list;

    source = kc->kafka->conf->sources.elts;

    list = rd_kafka_topic_partition_list_new(kc->kafka->conf->sources.nelts);

    for (i = 0; i < kc->kafka->conf->sources.nelts; i++) {
        rd_kafka_topic_partition_list_add(list, (char *) source[i].data,
                                          RD_KAFKA_PARTITION_UA);
    }

    err = rd_kafka_subscribe(kc->handle.client, list);

    rd_kafka_topic_partition_list_destroy(list);

    if (err != RD_KAFKA_RESP_ERR_NO_ERROR) {
        ngx_log_error(NGX_LOG_ERR, kc->kafka->log, 0,
                      "Kafka consumer of mqtt gateway \"%V\" could not "
                      "subscribe: %s", &kc->kafka->worker->gateway->name,
                      rd_kafka_err2str(err));
        return NGX_ERROR;
    }

    return NGX_OK;
}


static void
ngx_mqtt_kafka_consumer_lose(ngx_mqtt_kafka_consumer_t *kc)
{
    kc->kafka->worker->slot->consumer = 0;

    kc->state = NGX_MQTT_KAFKA_LOST;
    kc->reopen_time = ngx_current_msec + NGX_MQTT_KAFKA_REOPEN;
}


/* librdkafka gives a consumer up; what it has fetched is fetched again */

static void
ngx_mqtt_kafka_consumer_fatal(ngx_mqtt_kafka_handle_t *h)
{
    char                        errstr[NGX_MQTT_KAFKA_ERRSTR];
    rd_kafka_resp_err_t         err;
    ngx_mqtt_kafka_consumer_t  *kc;

    kc = ngx_mqtt_kafka_consumer_of(h);

    if (kc->state == NGX_MQTT_KAFKA_LOST) {
        return;
    }

    errstr[0] = '\0';
    err = rd_kafka_fatal_error(h->client, errstr, sizeof(errstr));

    ngx_log_error(NGX_LOG_WARN, kc->kafka->log, 0,
                  "Kafka consumer of mqtt gateway \"%V\" is lost: %s: %s",
                  &kc->kafka->worker->gateway->name, rd_kafka_err2name(err),
                  errstr);

    if (err == RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID) {
        kc->fenced = 1;
    }

    ngx_mqtt_kafka_partitions_revoke(kc);

    if (kc->state == NGX_MQTT_KAFKA_MEMBER) {
        ngx_mqtt_kafka_consumer_lose(kc);
    }
}


static void
ngx_mqtt_kafka_consumer_close(ngx_mqtt_kafka_consumer_t *kc)
{
    ngx_mqtt_kafka_partitions_revoke(kc);
    ngx_mqtt_kafka_partitions_remove(kc);

    if (kc->revoked) {
        rd_kafka_topic_partition_list_destroy(kc->revoked);
        kc->revoked = NULL;
    }

    if (kc->leaving) {
        rd_kafka_queue_io_event_enable(kc->leaving, -1, NULL, 0);
        rd_kafka_queue_destroy(kc->leaving);
        kc->leaving = NULL;
    }

    /*
     * A consumer that has joined its group and was not assigned anything yet
     * may not be destroyed: librdkafka asserts that its sticky assignor has a
     * state.  Such a one is left behind, which mostly is at the end of the
     * process.
     */

    if (!kc->assigned) {
        ngx_mqtt_kafka_abandon(&kc->handle);
        return;
    }

    kc->assigned = 0;

    ngx_mqtt_kafka_close(&kc->handle);
}


static ngx_int_t
ngx_mqtt_kafka_consumer_event(ngx_mqtt_kafka_handle_t *h,
    rd_kafka_event_t *event)
{
    rd_kafka_resp_err_t         err;
    ngx_mqtt_kafka_consumer_t  *kc;

    kc = ngx_mqtt_kafka_consumer_of(h);

    switch (rd_kafka_event_type(event)) {

    case RD_KAFKA_EVENT_REBALANCE:
        return ngx_mqtt_kafka_consumer_rebalance(kc, event);

    case RD_KAFKA_EVENT_OFFSET_COMMIT:
        err = rd_kafka_event_error(event);

        if (err != RD_KAFKA_RESP_ERR_NO_ERROR
            && err != RD_KAFKA_RESP_ERR__NO_OFFSET)
        {
            ngx_log_error(NGX_LOG_INFO, kc->kafka->log, 0,
                          "Kafka consumer of mqtt gateway \"%V\" could not "
                          "commit: %s", &kc->kafka->worker->gateway->name,
                          rd_kafka_err2str(err));
        }

        return NGX_OK;

    default:
        return NGX_OK;
    }
}


static ngx_int_t
ngx_mqtt_kafka_consumer_rebalance(ngx_mqtt_kafka_consumer_t *kc,
    rd_kafka_event_t *event)
{
    rd_kafka_topic_partition_list_t  *list;

    list = rd_kafka_event_topic_partition_list(event);

    switch (rd_kafka_event_error(event)) {

    case RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS:

        kc->assigned = 1;

        /* of two assignments in a row the first one is complete by now */

        if (kc->revoked) {
            ngx_mqtt_kafka_consumer_give_back(kc);
        }

        ngx_mqtt_kafka_consumer_assign(kc, list);
        break;

    case RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS:

        if (kc->revoked) {
            ngx_mqtt_kafka_consumer_give_back(kc);
        }

        ngx_mqtt_kafka_consumer_revoke(kc, list);
        break;

    default:
        ngx_mqtt_kafka_partitions_revoke(kc);
        ngx_mqtt_kafka_partitions_remove(kc);

        (void) rd_kafka_assign(kc->handle.client, NULL);
    }

    return NGX_OK;
}


static void
ngx_mqtt_kafka_consumer_assign(ngx_mqtt_kafka_consumer_t *kc,
    rd_kafka_topic_partition_list_t *list)
{
    int                          i;
    ngx_int_t                    rc;
    rd_kafka_topic_partition_t  *tp;

    for (i = 0; i < list->cnt; i++) {
        tp = &list->elems[i];

        rc = (kc->state == NGX_MQTT_KAFKA_MEMBER)
             ? ngx_mqtt_kafka_partition_add(kc, tp->topic, tp->partition)
             : NGX_OK;

        if (rc != NGX_OK) {

            /* without memory nothing is consumed: everything again, later */

            ngx_mqtt_kafka_partitions_revoke(kc);
            ngx_mqtt_kafka_consumer_lose(kc);
            return;
        }
    }

    if (list->cnt) {
        ngx_log_error(NGX_LOG_INFO, kc->kafka->log, 0,
                      "Kafka consumer of mqtt gateway \"%V\" got %d "
                      "partition(s)", &kc->kafka->worker->gateway->name,
                      list->cnt);
    }

    ngx_mqtt_kafka_consumer_error(kc,
                                  rd_kafka_incremental_assign(
                                                  kc->handle.client, list),
                                  "take partitions");
}


static void
ngx_mqtt_kafka_consumer_revoke(ngx_mqtt_kafka_consumer_t *kc,
    rd_kafka_topic_partition_list_t *list)
{
    int                          i;
    rd_kafka_topic_partition_t  *tp;

    for (i = 0; i < list->cnt; i++) {
        tp = &list->elems[i];
        ngx_mqtt_kafka_partition_revoke(kc, tp->topic, tp->partition);
    }

    if (list->cnt) {
        ngx_log_error(NGX_LOG_INFO, kc->kafka->log, 0,
                      "Kafka consumer of mqtt gateway \"%V\" gives %d "
                      "partition(s) back", &kc->kafka->worker->gateway->name,
                      list->cnt);
    }

    kc->revoked = rd_kafka_topic_partition_list_copy(list);
    kc->revoke_time = ngx_current_msec + NGX_MQTT_KAFKA_REVOKE;

    if (rd_kafka_assignment_lost(kc->handle.client)
        || !ngx_mqtt_kafka_partitions_pending(kc))
    {
        ngx_mqtt_kafka_consumer_give_back(kc);
    }
}


/* what is done of them is committed, the rest comes again elsewhere */

static void
ngx_mqtt_kafka_consumer_give_back(ngx_mqtt_kafka_consumer_t *kc)
{
    ngx_mqtt_kafka_partitions_store(kc);
    ngx_mqtt_kafka_partitions_remove(kc);

    ngx_mqtt_kafka_consumer_error(kc,
                                  rd_kafka_incremental_unassign(
                                           kc->handle.client, kc->revoked),
                                  "give partitions back");

    rd_kafka_topic_partition_list_destroy(kc->revoked);
    kc->revoked = NULL;
}


static void
ngx_mqtt_kafka_consumer_error(ngx_mqtt_kafka_consumer_t *kc,
    rd_kafka_error_t *error, const char *what)
{
    if (error == NULL) {
        return;
    }

    ngx_log_error(NGX_LOG_ERR, kc->kafka->log, 0,
                  "Kafka consumer of mqtt gateway \"%V\" could not %s: %s",
                  &kc->kafka->worker->gateway->name, what,
                  rd_kafka_error_string(error));

    rd_kafka_error_destroy(error);
}


/* the end of a turn of the pump */

static void
ngx_mqtt_kafka_consumer_turn(ngx_mqtt_kafka_handle_t *h)
{
    ngx_mqtt_kafka_consumer_t  *kc;

    kc = ngx_mqtt_kafka_consumer_of(h);

    if (kc->state == NGX_MQTT_KAFKA_MEMBER) {
        ngx_mqtt_kafka_partitions_take(kc);
    }

    ngx_mqtt_kafka_partitions_store(kc);

    if (kc->revoked
        && (!ngx_mqtt_kafka_partitions_pending(kc)
            || (ngx_msec_int_t) (ngx_current_msec - kc->revoke_time) >= 0))
    {
        ngx_mqtt_kafka_consumer_give_back(kc);
    }

    if (kc->state == NGX_MQTT_KAFKA_FINISHING
        && !ngx_mqtt_kafka_partitions_pending(kc))
    {
        ngx_mqtt_kafka_consumer_leave(kc);
    }

    if (kc->state == NGX_MQTT_KAFKA_LEAVING
        && (rd_kafka_consumer_closed(h->client)
            || (ngx_msec_int_t) (ngx_current_msec - kc->leave_time) >= 0))
    {
        ngx_mqtt_kafka_consumer_left(kc);
    }
}


void
ngx_mqtt_kafka_consume_resume(ngx_mqtt_kafka_t *k)
{
    if (k->consumer.state != NGX_MQTT_KAFKA_MEMBER) {
        return;
    }

    ngx_mqtt_kafka_partitions_resume(&k->consumer);

    ngx_post_event(k->consumer.handle.connection->read, &ngx_posted_events);
}


/* once a second */

void
ngx_mqtt_kafka_consumer_beat(ngx_mqtt_kafka_t *k)
{
    ngx_mqtt_kafka_consumer_t  *kc;

    kc = &k->consumer;

    if (kc->state == NGX_MQTT_KAFKA_LOST) {

        if ((ngx_msec_int_t) (ngx_current_msec - kc->reopen_time) < 0) {
            return;
        }

        ngx_mqtt_kafka_consumer_close(kc);
        ngx_mqtt_kafka_consumer_open(kc);
    }

    if (kc->handle.client == NULL) {
        return;
    }

    ngx_mqtt_kafka_partitions_resume(kc);
    ngx_mqtt_kafka_pump(&kc->handle);
}


void
ngx_mqtt_kafka_leave(ngx_mqtt_kafka_t *k)
{
    ngx_mqtt_kafka_consumer_t  *kc;

    kc = &k->consumer;

    switch (kc->state) {

    case NGX_MQTT_KAFKA_WAITING:
    case NGX_MQTT_KAFKA_LOST:
        kc->state = NGX_MQTT_KAFKA_LEFT;
        return;

    case NGX_MQTT_KAFKA_MEMBER:
        kc->state = NGX_MQTT_KAFKA_FINISHING;
        ngx_mqtt_kafka_partitions_revoke(kc);

        ngx_post_event(kc->handle.connection->read, &ngx_posted_events);
        return;

    default:
        return;
    }
}


static void
ngx_mqtt_kafka_consumer_leave(ngx_mqtt_kafka_consumer_t *kc)
{
    rd_kafka_error_t  *error;

    kc->leaving = rd_kafka_queue_new(kc->handle.client);

    /* the queue of the consumer goes on into this one */

    ngx_mqtt_kafka_watch_queue(&kc->handle, kc->leaving);

    error = rd_kafka_consumer_close_queue(kc->handle.client, kc->leaving);

    kc->state = NGX_MQTT_KAFKA_LEAVING;
    kc->leave_time = ngx_current_msec + NGX_MQTT_KAFKA_LEAVE;

    if (error) {

        /* a fatal error, fenced mostly: there is nothing to leave */

        rd_kafka_error_destroy(error);
        ngx_mqtt_kafka_consumer_left(kc);
        return;
    }

    ngx_post_event(kc->handle.connection->read, &ngx_posted_next_events);
}


static void
ngx_mqtt_kafka_consumer_left(ngx_mqtt_kafka_consumer_t *kc)
{
    kc->state = NGX_MQTT_KAFKA_LEFT;

    ngx_memory_barrier();
    kc->kafka->worker->slot->consumer = 0;

    ngx_log_error(NGX_LOG_NOTICE, kc->kafka->log, 0,
                  "Kafka consumer of mqtt gateway \"%V\" has left its group",
                  &kc->kafka->worker->gateway->name);
}


ngx_uint_t
ngx_mqtt_kafka_consuming(ngx_mqtt_kafka_t *k)
{
    return k->consumer.state != NGX_MQTT_KAFKA_IDLE
           && k->consumer.state != NGX_MQTT_KAFKA_LEFT;
}


/* what is not stored by now is consumed again */

void
ngx_mqtt_kafka_consumer_stop(ngx_mqtt_kafka_t *k)
{
    ngx_mqtt_kafka_consumer_t  *kc;

    kc = &k->consumer;

    if (kc->wait.timer_set) {
        ngx_del_timer(&kc->wait);
    }

    ngx_mqtt_kafka_consumer_close(kc);

    if (kc->state != NGX_MQTT_KAFKA_IDLE) {
        kc->state = NGX_MQTT_KAFKA_LEFT;
    }

    k->worker->slot->consumer = 0;
}


ngx_str_t *
ngx_mqtt_kafka_source_name(ngx_mqtt_kafka_t *k, ngx_uint_t source)
{
    ngx_str_t  *name;

    name = k->conf->sources.elts;

    return &name[source];
}
