
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * The Kafka engine: instances of librdkafka in nginx's event loop.
 *
 * (1) No code of ours runs on a thread of librdkafka: events instead of
 *     callbacks, logs through the queue too (P10).
 * (2) librdkafka writes to the eventfd when its queue stops being empty, and
 *     not again until it was polled (P8): a wake-up polls until the queue is
 *     empty, or posts itself for the next turn.
 * (3) Nothing here blocks but stop().
 * (4) An instance lives in one worker, from init_process on (P11), and has no
 *     thread left when ngx_mqtt_kafka_close() returns (P15).
 *
 * Called from: gateway/ (start, stop), kafka/.  One worker, no locks.
 */


#include "ngx_mqtt_kafka_core.h"

#include <sys/eventfd.h>


/* events handled in one turn of the loop */

#define NGX_MQTT_KAFKA_BUDGET          64

/* librdkafka wants to be polled even when it has nothing to say (P9) */

#define NGX_MQTT_KAFKA_BEAT            1000

/* lines of librdkafka's own log in a second */

#define NGX_MQTT_KAFKA_LOG_LINES       5


/* an instance that could not be destroyed */

typedef struct ngx_mqtt_kafka_left_s  ngx_mqtt_kafka_left_t;

struct ngx_mqtt_kafka_left_s {
    ngx_mqtt_kafka_left_t  *next;
    rd_kafka_t             *client;
};


static void ngx_mqtt_kafka_beat(ngx_event_t *ev);
static ngx_int_t ngx_mqtt_kafka_watch(ngx_mqtt_kafka_handle_t *h);
static rd_kafka_t *ngx_mqtt_kafka_detach(ngx_mqtt_kafka_handle_t *h);
static void ngx_mqtt_kafka_wake(ngx_event_t *rev);
static void ngx_mqtt_kafka_error(ngx_mqtt_kafka_handle_t *h,
    rd_kafka_event_t *event);
static void ngx_mqtt_kafka_log(ngx_mqtt_kafka_handle_t *h,
    rd_kafka_event_t *event);
static ngx_uint_t ngx_mqtt_kafka_log_limit(ngx_mqtt_kafka_handle_t *h);


/*
 * They live until the process ends, and outlive every cycle.  The list is for
 * leak checkers and debuggers: nothing else refers to them.
 */

static ngx_mqtt_kafka_left_t  *ngx_mqtt_kafka_left;


/* syslog's levels */

static ngx_uint_t  ngx_mqtt_kafka_log_levels[] = {
    NGX_LOG_ERR,
    NGX_LOG_ERR,
    NGX_LOG_ERR,
    NGX_LOG_ERR,
    NGX_LOG_WARN,
    NGX_LOG_NOTICE,
    NGX_LOG_INFO,
    NGX_LOG_DEBUG
};


ngx_int_t
ngx_mqtt_kafka_start(ngx_mqtt_worker_t *w,
    void (*on_drained)(ngx_mqtt_worker_t *w))
{
    ngx_mqtt_kafka_t  *k;

    if (w->gateway->kafka == NULL) {
        return NGX_OK;
    }

    k = ngx_pcalloc(w->cycle->pool, sizeof(ngx_mqtt_kafka_t));
    if (k == NULL) {
        return NGX_ERROR;
    }

    k->worker = w;
    k->conf = w->gateway->kafka;
    k->log = w->log;
    k->on_drained = on_drained;

    w->kafka = k;

    k->beat.handler = ngx_mqtt_kafka_beat;
    k->beat.data = &w->ident;
    k->beat.log = w->log;
    k->beat.cancelable = 1;

    k->consumer.kafka = k;
    ngx_queue_init(&k->consumer.partitions);

    if (ngx_mqtt_kafka_producer_start(k) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_add_timer(&k->beat, NGX_MQTT_KAFKA_BEAT);

    return NGX_OK;
}


void
ngx_mqtt_kafka_stop(ngx_mqtt_worker_t *w)
{
    ngx_mqtt_kafka_t  *k;

    k = w->kafka;

    if (k == NULL) {
        return;
    }

    if (k->beat.timer_set) {
        ngx_del_timer(&k->beat);
    }

    ngx_mqtt_kafka_consumer_stop(k);
    ngx_mqtt_kafka_producer_stop(k);

    w->kafka = NULL;
}


static void
ngx_mqtt_kafka_beat(ngx_event_t *ev)
{
    ngx_mqtt_kafka_t  *k;

    k = ngx_mqtt_event_worker(ev)->kafka;

    ngx_mqtt_kafka_producer_beat(k);
    ngx_mqtt_kafka_consumer_beat(k);

    ngx_add_timer(ev, NGX_MQTT_KAFKA_BEAT);
}


ngx_int_t
ngx_mqtt_kafka_open(ngx_mqtt_kafka_handle_t *h, rd_kafka_type_t type,
    rd_kafka_conf_t *properties)
{
    char               errstr[NGX_MQTT_KAFKA_ERRSTR];
    ngx_mqtt_kafka_t  *k;

    k = h->kafka;
    h->opened = ngx_current_msec;

    rd_kafka_conf_set_events(properties, h->events
                                         |RD_KAFKA_EVENT_ERROR
                                         |RD_KAFKA_EVENT_LOG
                                         |RD_KAFKA_EVENT_STATS);

    h->client = rd_kafka_new(type, properties, errstr, sizeof(errstr));

    if (h->client == NULL) {
        rd_kafka_conf_destroy(properties);

        ngx_log_error(NGX_LOG_EMERG, k->log, 0,
                      "Kafka client of mqtt gateway \"%V\" failed to start: "
                      "%s", &k->worker->gateway->name, errstr);
        return NGX_DECLINED;
    }

    /* a consumer has one more queue, with which everything else goes */

    if (type == RD_KAFKA_CONSUMER) {
        (void) rd_kafka_poll_set_consumer(h->client);
        h->queue = rd_kafka_queue_get_consumer(h->client);

    } else {
        h->queue = rd_kafka_queue_get_main(h->client);
    }

    (void) rd_kafka_set_log_queue(h->client, h->queue);

    h->down = 0;

    if (ngx_mqtt_kafka_watch(h) != NGX_OK) {
        ngx_mqtt_kafka_close(h);
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_mqtt_kafka_watch(ngx_mqtt_kafka_handle_t *h)
{
    int                fd;
    ngx_event_t       *rev;
    ngx_connection_t  *c;
    ngx_mqtt_kafka_t  *k;

    k = h->kafka;

    fd = eventfd(0, EFD_NONBLOCK|EFD_CLOEXEC);

    if (fd == -1) {
        ngx_log_error(NGX_LOG_EMERG, k->log, ngx_errno, "eventfd() failed");
        return NGX_ERROR;
    }

    c = ngx_get_connection(fd, k->log);

    if (c == NULL) {
        ngx_log_error(NGX_LOG_EMERG, k->log, 0,
                      "no connection left for the Kafka client of mqtt "
                      "gateway \"%V\"", &k->worker->gateway->name);
        (void) close(fd);
        return NGX_ERROR;
    }

    c->data = h;
    c->log = k->log;

    rev = c->read;
    rev->handler = ngx_mqtt_kafka_wake;
    rev->log = k->log;

    c->write->handler = ngx_mqtt_kafka_wake;
    c->write->log = k->log;

    /* not a connection to close or to wait for at the end of a worker */

    rev->channel = 1;
    c->write->channel = 1;

    h->connection = c;

    if (ngx_add_event(rev, NGX_READ_EVENT, 0) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_mqtt_kafka_watch_queue(h, h->queue);

    /* what was queued before */

    ngx_post_event(rev, &ngx_posted_events);

    return NGX_OK;
}


void
ngx_mqtt_kafka_watch_queue(ngx_mqtt_kafka_handle_t *h, rd_kafka_queue_t *queue)
{
    static uint64_t  one = 1;

    rd_kafka_queue_io_event_enable(queue, h->connection->fd, &one,
                                   sizeof(uint64_t));
}


void
ngx_mqtt_kafka_close(ngx_mqtt_kafka_handle_t *h)
{
    rd_kafka_t  *client;

    client = ngx_mqtt_kafka_detach(h);

    if (client) {
        rd_kafka_destroy_flags(client, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    }
}


void
ngx_mqtt_kafka_abandon(ngx_mqtt_kafka_handle_t *h)
{
    rd_kafka_t             *client;
    ngx_mqtt_kafka_left_t  *left;

    client = ngx_mqtt_kafka_detach(h);

    if (client == NULL) {
        return;
    }

    left = ngx_alloc(sizeof(ngx_mqtt_kafka_left_t), h->kafka->log);
    if (left == NULL) {
        return;
    }

    left->client = client;
    left->next = ngx_mqtt_kafka_left;
    ngx_mqtt_kafka_left = left;
}


static rd_kafka_t *
ngx_mqtt_kafka_detach(ngx_mqtt_kafka_handle_t *h)
{
    rd_kafka_t  *client;

    client = h->client;

    if (client == NULL) {
        return NULL;
    }

    if (h->event) {
        rd_kafka_event_destroy(h->event);
        h->event = NULL;
    }

    rd_kafka_queue_io_event_enable(h->queue, -1, NULL, 0);
    rd_kafka_queue_destroy(h->queue);

    h->queue = NULL;
    h->client = NULL;

    if (h->connection) {
        ngx_close_connection(h->connection);
        h->connection = NULL;
    }

    return client;
}


static void
ngx_mqtt_kafka_wake(ngx_event_t *rev)
{
    ssize_t                   n;
    uint64_t                  count;
    ngx_connection_t         *c;
    ngx_mqtt_kafka_handle_t  *h;

    c = rev->data;
    h = c->data;

    do {
        n = read(c->fd, &count, sizeof(uint64_t));
    } while (n == -1 && ngx_errno == NGX_EINTR);

    ngx_mqtt_kafka_pump(h);
}


void
ngx_mqtt_kafka_pump(ngx_mqtt_kafka_handle_t *h)
{
    ngx_uint_t  n;

    for (n = 0; n < NGX_MQTT_KAFKA_BUDGET; n++) {

        if (h->event == NULL) {
            h->event = rd_kafka_queue_poll(h->queue, 0);
        }

        if (h->event == NULL) {
            h->on_turn(h);
            return;
        }

        if (ngx_mqtt_kafka_event(h, h->event) == NGX_AGAIN) {
            break;
        }

        rd_kafka_event_destroy(h->event);
        h->event = NULL;
    }

    ngx_post_event(h->connection->read, &ngx_posted_next_events);

    h->on_turn(h);
}


ngx_int_t
ngx_mqtt_kafka_drain(ngx_mqtt_kafka_handle_t *h, ngx_msec_t timeout)
{
    if (h->event == NULL) {
        h->event = rd_kafka_queue_poll(h->queue, (int) timeout);

        if (h->event == NULL) {
            return NGX_AGAIN;
        }
    }

    if (ngx_mqtt_kafka_event(h, h->event) != NGX_AGAIN) {
        rd_kafka_event_destroy(h->event);
        h->event = NULL;
    }

    return NGX_OK;
}


ngx_int_t
ngx_mqtt_kafka_event(ngx_mqtt_kafka_handle_t *h, rd_kafka_event_t *event)
{
    switch (rd_kafka_event_type(event)) {

    case RD_KAFKA_EVENT_LOG:
        ngx_mqtt_kafka_log(h, event);
        return NGX_OK;

    case RD_KAFKA_EVENT_ERROR:
        ngx_mqtt_kafka_error(h, event);
        return NGX_OK;

    case RD_KAFKA_EVENT_STATS:
        return NGX_OK;

    default:
        return h->handler(h, event);
    }
}


/*
 * Without brokers librdkafka goes on trying for ever: one line tells when the
 * last one went, one when the first is back.
 */

static void
ngx_mqtt_kafka_error(ngx_mqtt_kafka_handle_t *h, rd_kafka_event_t *event)
{
    ngx_str_t            *name;
    ngx_uint_t            level;
    ngx_mqtt_kafka_t     *k;
    rd_kafka_resp_err_t   err;

    k = h->kafka;
    name = &k->worker->gateway->name;
    err = rd_kafka_event_error(event);

    ngx_mqtt_count(k->worker, NGX_MQTT_STAT_kafka_errors);

    if (err == RD_KAFKA_RESP_ERR__FATAL
        || rd_kafka_event_error_is_fatal(event))
    {
        h->on_fatal(h);
        return;
    }

    if (err == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN) {

        /* one line of two clients: the producer of the worker says it too */

        if (h->down || h != &k->producer) {
            return;
        }

        h->down = 1;

        ngx_log_error(NGX_LOG_ERR, k->log, 0,
                      "Kafka of mqtt gateway \"%V\" is down: %s", name,
                      rd_kafka_event_error_string(event));
        return;
    }

    if (ngx_mqtt_kafka_log_limit(h)) {
        return;
    }

    level = k->producer.down ? NGX_LOG_INFO : NGX_LOG_WARN;

    ngx_log_error(level, k->log, 0,
                  "Kafka of mqtt gateway \"%V\": %s", name,
                  rd_kafka_event_error_string(event));
}


void
ngx_mqtt_kafka_up(ngx_mqtt_kafka_handle_t *h)
{
    if (!h->down) {
        return;
    }

    h->down = 0;

    ngx_log_error(NGX_LOG_NOTICE, h->kafka->log, 0,
                  "Kafka of mqtt gateway \"%V\" is back",
                  &h->kafka->worker->gateway->name);
}


static void
ngx_mqtt_kafka_log(ngx_mqtt_kafka_handle_t *h, rd_kafka_event_t *event)
{
    int          syslog;
    ngx_uint_t   level;
    const char  *facility, *text;

    if (rd_kafka_event_log(event, &facility, &text, &syslog) != 0) {
        return;
    }

    level = ngx_mqtt_kafka_log_levels[syslog & 7];

    if (ngx_strcmp(facility, "FAIL") == 0
        || ngx_strcmp(facility, "FATAL") == 0)
    {
        /* there is an error event too */

        level = NGX_LOG_DEBUG;

    } else if (level < NGX_LOG_INFO
               && (h->kafka->producer.down
                   || ngx_strcmp(facility, "CONFWARN") == 0))
    {
        level = NGX_LOG_INFO;
    }

    if (level != NGX_LOG_DEBUG && ngx_mqtt_kafka_log_limit(h)) {
        return;
    }

    ngx_log_error(level, h->kafka->log, 0,
                  "Kafka of mqtt gateway \"%V\": %s: %s",
                  &h->kafka->worker->gateway->name, facility, text);
}


static ngx_uint_t
ngx_mqtt_kafka_log_limit(ngx_mqtt_kafka_handle_t *h)
{
    if (h->log_time != ngx_time()) {
        h->log_time = ngx_time();
        h->log_lines = 0;
    }

    return h->log_lines++ >= NGX_MQTT_KAFKA_LOG_LINES;
}
