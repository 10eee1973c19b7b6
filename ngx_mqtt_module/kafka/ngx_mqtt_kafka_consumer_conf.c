
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * The configuration of the consumer: its properties of librdkafka, its topics,
 * its bound.
 *
 * (1) "kafka_set" is for producers and consumers alike.  librdkafka has one
 *     set of names for both and only warns of those that do not fit, so the
 *     names that belong to one of them are listed here.
 * (2) group.instance.id is the name of the node: the workers add their number.
 *     Without it, it is made of what tells this nginx from others and stays
 *     the same when it is restarted.
 *
 * Called from: stream/ while a configuration is read.
 */


#include "ngx_mqtt_kafka_core.h"


#define NGX_MQTT_KAFKA_INFLIGHT_SIZE      (16 * 1024 * 1024)
#define NGX_MQTT_KAFKA_INFLIGHT_MESSAGES  1000


typedef struct {
    const char                *name;
    const char                *text;
} ngx_mqtt_kafka_default_t;


static ngx_int_t ngx_mqtt_kafka_consumer_names(ngx_conf_t *cf,
    ngx_mqtt_gateway_t *gw, ngx_mqtt_kafka_conf_t *kcf);


/* "kafka_set" overrides these, except for those refused below */

static ngx_mqtt_kafka_default_t  ngx_mqtt_kafka_consumer_defaults[] = {

    /* an offset is stored when its record is delivered, then committed */

    { "enable.auto.offset.store", "false" },
    { "enable.auto.commit", "true" },
    { "auto.commit.interval.ms", "1000" },

    /* what was produced while nobody consumed is not lost */

    { "auto.offset.reset", "earliest" },

    { "partition.assignment.strategy", "cooperative-sticky" },

    /*
     * A member that does not come back is given up after so long, the least
     * that a broker takes by default.
     */

    { "session.timeout.ms", "6000" },
    { "heartbeat.interval.ms", "1000" },

    /* a topic that is created, or gets more partitions */

    { "topic.metadata.refresh.interval.ms", "5000" },

    /*
     * Each partition has a queue of its own, and this bounds each of them.
     * Before 2.2 librdkafka looks after a queue that was full only once in a
     * second, so it has to hold what is consumed in that time.
     */

    { "queued.min.messages", "100000" },
    { "queued.max.messages.kbytes", "16384" },

    /* a commit under way is awaited at the end of a worker, in exit_process */

    { "socket.timeout.ms", "5000" },

    { "reconnect.backoff.max.ms", "2000" },
    { "socket.keepalive.enable", "true" },
    { "socket.nagle.disable", "true" },
    { "log.queue", "true" },

    { NULL, NULL }
};


/* since 2.5, since 2.2: anything before does not know them */

static ngx_mqtt_kafka_default_t  ngx_mqtt_kafka_consumer_optional[] = {
    { "enable.metrics.push", "false" },
    { "fetch.queue.backoff.ms", "10" },
    { NULL, NULL }
};


static const char  *ngx_mqtt_kafka_producer_only[] = {
    "acks", "request.required.acks", "request.timeout.ms", "compression.codec",
    "compression.type", "compression.level", "partitioner",
    "queuing.strategy", "enable.idempotence", "linger.ms",
    "queue.buffering.max.ms", "retry.backoff.ms", "retry.backoff.max.ms",
    "queue.buffering.backpressure.threshold", "batch.num.messages",
    "batch.size", "sticky.partitioning.linger.ms", "msg_order_cmp",
    "transaction.timeout.ms", "dr_cb", "dr_msg_cb", NULL
};

static const char  *ngx_mqtt_kafka_consumer_only[] = {
    "group.id", "group.instance.id", "group.protocol", "group.protocol.type",
    "group.remote.assignor", "partition.assignment.strategy",
    "session.timeout.ms", "heartbeat.interval.ms",
    "coordinator.query.interval.ms", "max.poll.interval.ms",
    "enable.auto.commit", "auto.commit.enable", "auto.commit.interval.ms",
    "enable.auto.offset.store", "queued.min.messages",
    "queued.max.messages.kbytes", "fetch.wait.max.ms",
    "fetch.queue.backoff.ms", "fetch.message.max.bytes",
    "max.partition.fetch.bytes", "fetch.max.bytes", "fetch.min.bytes",
    "fetch.error.backoff.ms", "offset.store.method", "offset.store.path",
    "offset.store.sync.interval.ms", "isolation.level", "consume_cb",
    "rebalance_cb", "offset_commit_cb", "enable.partition.eof", "check.crcs",
    "client.rack", "auto.offset.reset", "consume.callback.max.messages",
    "allow.auto.create.topics", NULL
};


static ngx_mqtt_kafka_default_t  ngx_mqtt_kafka_consumer_refused[] = {
    { "enable.auto.commit", "belongs to the gateway" },
    { "auto.commit.enable", "belongs to the gateway" },
    { "enable.auto.offset.store",
      "would commit records that are not delivered" },
    { "partition.assignment.strategy",
      "is \"cooperative-sticky\" and cannot be changed" },
    { "group.protocol", "is not supported" },
    { "group.remote.assignor", "is not supported" },
    { "offset.store.method", "is not supported" },
    { NULL, NULL }
};


ngx_uint_t
ngx_mqtt_kafka_property_scope(ngx_str_t *name)
{
    const char  **p;

    for (p = ngx_mqtt_kafka_producer_only; *p; p++) {

        if (ngx_strcmp(name->data, *p) == 0) {
            return NGX_MQTT_KAFKA_PRODUCER_ONLY;
        }
    }

    for (p = ngx_mqtt_kafka_consumer_only; *p; p++) {

        if (ngx_strcmp(name->data, *p) == 0) {
            return NGX_MQTT_KAFKA_CONSUMER_ONLY;
        }
    }

    return 0;
}


ngx_int_t
ngx_mqtt_kafka_consumer_init(ngx_conf_t *cf, ngx_mqtt_gateway_t *gw,
    ngx_mqtt_kafka_conf_t *kcf)
{
    char                       errstr[NGX_MQTT_KAFKA_ERRSTR];
    ngx_mqtt_kafka_default_t  *property;

    for (property = ngx_mqtt_kafka_consumer_defaults;
         property->name;
         property++)
    {
        if (rd_kafka_conf_set(kcf->consumer, property->name, property->text,
                              errstr, sizeof(errstr))
            != RD_KAFKA_CONF_OK)
        {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "%s", errstr);
            return NGX_ERROR;
        }
    }

    for (property = ngx_mqtt_kafka_consumer_optional;
         property->name;
         property++)
    {
        (void) rd_kafka_conf_set(kcf->consumer, property->name,
                                 property->text, errstr, sizeof(errstr));
    }

    return ngx_mqtt_kafka_consumer_names(cf, gw, kcf);
}


/* client.id, group.id and the first part of group.instance.id */

static ngx_int_t
ngx_mqtt_kafka_consumer_names(ngx_conf_t *cf, ngx_mqtt_gateway_t *gw,
    ngx_mqtt_kafka_conf_t *kcf)
{
    char         errstr[NGX_MQTT_KAFKA_ERRSTR];
    u_char      *id, *p;
    uint32_t     hash;
    ngx_str_t   *host, *file;
    ngx_uint_t   i;

    static const char  *names[] = { "client.id", "group.id" };

    id = ngx_pnalloc(cf->pool, sizeof("ngx_mqtt-") + gw->name.len);
    if (id == NULL) {
        return NGX_ERROR;
    }

    ngx_sprintf(id, "ngx_mqtt-%V%Z", &gw->name);

    for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {

        if (rd_kafka_conf_set(kcf->consumer, names[i], (char *) id, errstr,
                              sizeof(errstr))
            != RD_KAFKA_CONF_OK)
        {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "%s", errstr);
            return NGX_ERROR;
        }
    }

    /* several nginx may run on one host, each with a configuration */

    host = &cf->cycle->hostname;
    file = &cf->cycle->conf_file;

    hash = ngx_crc32_long(file->data, file->len);

    p = ngx_pnalloc(cf->pool, NGX_MQTT_KAFKA_INSTANCE);
    if (p == NULL) {
        return NGX_ERROR;
    }

    kcf->instance.data = p;
    kcf->instance.len = ngx_snprintf(p, NGX_MQTT_KAFKA_INSTANCE,
                                     "%V-%08xD", host, hash)
                        - p;

    for (i = 0; i < kcf->instance.len; i++) {

        if (p[i] <= ' ' || p[i] >= 0x7f) {
            p[i] = '_';
        }
    }

    return NGX_OK;
}


/* NGX_CONF_OK, or NGX_CONF_ERROR after logging */

char *
ngx_mqtt_kafka_consumer_check(ngx_conf_t *cf, ngx_mqtt_kafka_conf_t *kcf,
    ngx_str_t *name, ngx_str_t *value)
{
    ngx_mqtt_kafka_default_t  *property;

    for (property = ngx_mqtt_kafka_consumer_refused;
         property->name;
         property++)
    {
        if (ngx_strcmp(name->data, property->name) == 0) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "Kafka property \"%V\" %s", name,
                               property->text);
            return NGX_CONF_ERROR;
        }
    }

    if (ngx_strcmp(name->data, "group.instance.id") == 0) {

        if (value->len > NGX_MQTT_KAFKA_INSTANCE) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "Kafka property \"%V\" is too long", name);
            return NGX_CONF_ERROR;
        }

        kcf->instance = *value;
    }

    return NGX_CONF_OK;
}


char *
ngx_mqtt_kafka_inflight_directive(ngx_conf_t *cf, ngx_mqtt_gateway_t *gw)
{
    ssize_t                 size;
    ngx_int_t               n;
    ngx_str_t              *value;
    ngx_mqtt_kafka_conf_t  *kcf;

    kcf = ngx_mqtt_kafka_conf(cf, gw);
    if (kcf == NULL) {
        return NGX_CONF_ERROR;
    }

    if (kcf->inflight_size != NGX_CONF_UNSET_SIZE) {
        return "is duplicate";
    }

    value = cf->args->elts;
    size = ngx_parse_size(&value[1]);

    if (size == NGX_ERROR || size == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid size \"%V\"",
                           &value[1]);
        return NGX_CONF_ERROR;
    }

    kcf->inflight_size = size;

    if (cf->args->nelts == 2) {
        return NGX_CONF_OK;
    }

    n = NGX_ERROR;

    if (ngx_strncmp(value[2].data, "messages=", 9) == 0) {
        n = ngx_atoi(value[2].data + 9, value[2].len - 9);
    }

    if (n == NGX_ERROR || n == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid parameter \"%V\"",
                           &value[2]);
        return NGX_CONF_ERROR;
    }

    kcf->inflight_messages = n;

    return NGX_CONF_OK;
}


ngx_uint_t
ngx_mqtt_kafka_conf_source(ngx_conf_t *cf, ngx_mqtt_gateway_t *gw,
    ngx_str_t *name)
{
    ngx_str_t              *source;
    ngx_uint_t              i;
    ngx_mqtt_kafka_conf_t  *kcf;

    kcf = ngx_mqtt_kafka_conf(cf, gw);
    if (kcf == NULL) {
        return NGX_MQTT_KAFKA_NO_TOPIC;
    }

    source = kcf->sources.elts;

    for (i = 0; i < kcf->sources.nelts; i++) {

        if (source[i].len == name->len
            && ngx_strncmp(source[i].data, name->data, name->len) == 0)
        {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "Kafka topic \"%V\" is mapped downwards "
                               "twice", name);
            return NGX_MQTT_KAFKA_NO_TOPIC;
        }
    }

    source = ngx_array_push(&kcf->sources);
    if (source == NULL) {
        return NGX_MQTT_KAFKA_NO_TOPIC;
    }

    /* librdkafka wants a C string */

    source->len = name->len;
    source->data = ngx_pnalloc(cf->pool, name->len + 1);

    if (source->data == NULL) {
        return NGX_MQTT_KAFKA_NO_TOPIC;
    }

    (void) ngx_cpystrn(source->data, name->data, name->len + 1);

    return i;
}


void
ngx_mqtt_kafka_consumer_bounds(ngx_mqtt_kafka_conf_t *kcf)
{
    ngx_conf_init_size_value(kcf->inflight_size,
                             NGX_MQTT_KAFKA_INFLIGHT_SIZE);
    ngx_conf_init_uint_value(kcf->inflight_messages,
                             NGX_MQTT_KAFKA_INFLIGHT_MESSAGES);
}
