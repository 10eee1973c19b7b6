
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * The directives of the Kafka engine, but for "kafka_set".
 *
 * (1) The first of them, whichever it is, makes the configuration; lines may
 *     stand in any order, what needs all of them is checked at the end of the
 *     block.
 * (2) A Kafka topic is an index, whoever asks for it first.
 *
 * Called from: stream/ while a configuration is read.
 */


#include "ngx_mqtt_kafka_core.h"


#define NGX_MQTT_KAFKA_PORT            9092
#define NGX_MQTT_KAFKA_TOPIC_MAX       249

#define NGX_MQTT_KAFKA_QUEUE_SIZE      (64 * 1024 * 1024)
#define NGX_MQTT_KAFKA_QUEUE_MESSAGES  100000


static void ngx_mqtt_kafka_conf_cleanup(void *data);
static char *ngx_mqtt_kafka_server(ngx_conf_t *cf, ngx_str_t *server);
static ngx_int_t ngx_mqtt_kafka_queue_parameter(ngx_conf_t *cf,
    ngx_mqtt_kafka_conf_t *kcf, ngx_str_t *value);
static char *ngx_mqtt_kafka_dead_letter_check(ngx_conf_t *cf,
    ngx_mqtt_kafka_conf_t *kcf);


char *
ngx_mqtt_kafka_directive(ngx_conf_t *cf, ngx_mqtt_gateway_t *gw)
{
    char                    errstr[NGX_MQTT_KAFKA_ERRSTR];
    u_char                 *p;
    size_t                  len;
    ngx_str_t              *value;
    ngx_uint_t              i;
    ngx_mqtt_kafka_conf_t  *kcf;

    kcf = ngx_mqtt_kafka_conf(cf, gw);
    if (kcf == NULL) {
        return NGX_CONF_ERROR;
    }

    if (kcf->servers.len) {
        return "is duplicate";
    }

    value = cf->args->elts;
    len = 0;

    for (i = 1; i < cf->args->nelts; i++) {

        if (ngx_mqtt_kafka_server(cf, &value[i]) != NGX_CONF_OK) {
            return NGX_CONF_ERROR;
        }

        len += value[i].len + 1;
    }

    p = ngx_pnalloc(cf->pool, len);
    if (p == NULL) {
        return NGX_CONF_ERROR;
    }

    kcf->servers.data = p;
    kcf->servers.len = len - 1;

    for (i = 1; i < cf->args->nelts; i++) {
        p = ngx_cpymem(p, value[i].data, value[i].len);
        *p++ = ',';
    }

    *--p = '\0';

    if (rd_kafka_conf_set(kcf->properties, "bootstrap.servers",
                          (char *) kcf->servers.data, errstr, sizeof(errstr))
        != RD_KAFKA_CONF_OK
        || rd_kafka_conf_set(kcf->consumer, "bootstrap.servers",
                             (char *) kcf->servers.data, errstr,
                             sizeof(errstr))
           != RD_KAFKA_CONF_OK)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "%s", errstr);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


/* names are resolved by librdkafka, again and again, on its own threads */

static char *
ngx_mqtt_kafka_server(ngx_conf_t *cf, ngx_str_t *server)
{
    ngx_url_t  u;

    ngx_memzero(&u, sizeof(ngx_url_t));

    u.url = *server;
    u.default_port = NGX_MQTT_KAFKA_PORT;
    u.no_resolve = 1;

    if (ngx_parse_url(cf->pool, &u) == NGX_OK
        && (u.family == AF_UNIX || u.uri.len))
    {
        u.err = "invalid host";
    }

    if (u.err) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "%s in Kafka server \"%V\"",
                           u.err, server);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


char *
ngx_mqtt_kafka_queue_directive(ngx_conf_t *cf, ngx_mqtt_gateway_t *gw)
{
    ssize_t                 size;
    ngx_str_t              *value;
    ngx_uint_t              i;
    ngx_mqtt_kafka_conf_t  *kcf;

    kcf = ngx_mqtt_kafka_conf(cf, gw);
    if (kcf == NULL) {
        return NGX_CONF_ERROR;
    }

    if (kcf->queue_size != NGX_CONF_UNSET_SIZE) {
        return "is duplicate";
    }

    value = cf->args->elts;
    size = ngx_parse_size(&value[1]);

    if (size == NGX_ERROR || size == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid size \"%V\"",
                           &value[1]);
        return NGX_CONF_ERROR;
    }

    kcf->queue_size = size;

    for (i = 2; i < cf->args->nelts; i++) {

        if (ngx_mqtt_kafka_queue_parameter(cf, kcf, &value[i]) != NGX_OK) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid parameter \"%V\"", &value[i]);
            return NGX_CONF_ERROR;
        }
    }

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_mqtt_kafka_queue_parameter(ngx_conf_t *cf, ngx_mqtt_kafka_conf_t *kcf,
    ngx_str_t *value)
{
    ssize_t    size;
    ngx_int_t  n;
    ngx_str_t  s;

    if (ngx_strncmp(value->data, "messages=", 9) == 0) {
        n = ngx_atoi(value->data + 9, value->len - 9);

        if (n == NGX_ERROR || n == 0) {
            return NGX_ERROR;
        }

        kcf->queue_messages = n;

        return NGX_OK;
    }

    if (ngx_strncmp(value->data, "qos0=", 5) == 0) {
        s.data = value->data + 5;
        s.len = value->len - 5;

        size = ngx_parse_size(&s);

        if (size == NGX_ERROR || (size_t) size > kcf->queue_size) {
            return NGX_ERROR;
        }

        kcf->qos0_size = size;

        return NGX_OK;
    }

    return NGX_ERROR;
}


char *
ngx_mqtt_kafka_dead_letter_directive(ngx_conf_t *cf, ngx_mqtt_gateway_t *gw)
{
    ngx_str_t              *value, name;
    ngx_mqtt_kafka_conf_t  *kcf;

    kcf = ngx_mqtt_kafka_conf(cf, gw);
    if (kcf == NULL) {
        return NGX_CONF_ERROR;
    }

    if (kcf->dead_letter != NGX_MQTT_KAFKA_NO_TOPIC) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (ngx_strncmp(value[1].data, "kafka=", 6) != 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid parameter \"%V\"",
                           &value[1]);
        return NGX_CONF_ERROR;
    }

    name.data = value[1].data + 6;
    name.len = value[1].len - 6;

    kcf->dead_letter = ngx_mqtt_kafka_conf_topic(cf, gw, &name);

    if (kcf->dead_letter == NGX_MQTT_KAFKA_NO_TOPIC) {
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


ngx_uint_t
ngx_mqtt_kafka_conf_topic(ngx_conf_t *cf, ngx_mqtt_gateway_t *gw,
    ngx_str_t *name)
{
    ngx_str_t              *topic;
    ngx_uint_t              i;
    ngx_mqtt_kafka_conf_t  *kcf;

    kcf = ngx_mqtt_kafka_conf(cf, gw);
    if (kcf == NULL) {
        return NGX_MQTT_KAFKA_NO_TOPIC;
    }

    if (ngx_mqtt_kafka_topic_check(name) != NGX_OK) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid name of a Kafka topic \"%V\"", name);
        return NGX_MQTT_KAFKA_NO_TOPIC;
    }

    topic = kcf->topics.elts;

    for (i = 0; i < kcf->topics.nelts; i++) {

        if (topic[i].len == name->len
            && ngx_strncmp(topic[i].data, name->data, name->len) == 0)
        {
            return i;
        }
    }

    topic = ngx_array_push(&kcf->topics);
    if (topic == NULL) {
        return NGX_MQTT_KAFKA_NO_TOPIC;
    }

    /* librdkafka wants a C string */

    topic->len = name->len;
    topic->data = ngx_pnalloc(cf->pool, name->len + 1);

    if (topic->data == NULL) {
        return NGX_MQTT_KAFKA_NO_TOPIC;
    }

    (void) ngx_cpystrn(topic->data, name->data, name->len + 1);

    return i;
}


ngx_int_t
ngx_mqtt_kafka_topic_check(ngx_str_t *name)
{
    u_char  ch, *p;

    if (name->len == 0 || name->len > NGX_MQTT_KAFKA_TOPIC_MAX) {
        return NGX_ERROR;
    }

    for (p = name->data; p < name->data + name->len; p++) {
        ch = (u_char) (*p | 0x20);

        if ((ch >= 'a' && ch <= 'z') || (*p >= '0' && *p <= '9')
            || *p == '.' || *p == '_' || *p == '-')
        {
            continue;
        }

        return NGX_ERROR;
    }

    if (name->data[0] == '.'
        && (name->len == 1 || (name->len == 2 && name->data[1] == '.')))
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}


char *
ngx_mqtt_kafka_conf_need(ngx_conf_t *cf, ngx_mqtt_gateway_t *gw)
{
    return ngx_mqtt_kafka_conf(cf, gw) ? NGX_CONF_OK : NGX_CONF_ERROR;
}


ngx_mqtt_kafka_conf_t *
ngx_mqtt_kafka_conf(ngx_conf_t *cf, ngx_mqtt_gateway_t *gw)
{
    ngx_pool_cleanup_t     *cln;
    ngx_mqtt_kafka_conf_t  *kcf;

    if (gw->kafka) {
        return gw->kafka;
    }

    kcf = ngx_pcalloc(cf->pool, sizeof(ngx_mqtt_kafka_conf_t));
    if (kcf == NULL) {
        return NULL;
    }

    cln = ngx_pool_cleanup_add(cf->pool, 0);
    if (cln == NULL) {
        return NULL;
    }

    if (ngx_array_init(&kcf->names, cf->pool, 8, sizeof(ngx_str_t)) != NGX_OK
        || ngx_array_init(&kcf->topics, cf->pool, 8, sizeof(ngx_str_t))
           != NGX_OK
        || ngx_array_init(&kcf->sources, cf->pool, 8, sizeof(ngx_str_t))
           != NGX_OK)
    {
        return NULL;
    }

    kcf->dead_letter = NGX_MQTT_KAFKA_NO_TOPIC;
    kcf->queue_size = NGX_CONF_UNSET_SIZE;
    kcf->queue_messages = NGX_CONF_UNSET_UINT;
    kcf->qos0_size = NGX_CONF_UNSET_SIZE;
    kcf->inflight_size = NGX_CONF_UNSET_SIZE;
    kcf->inflight_messages = NGX_CONF_UNSET_UINT;

    kcf->properties = rd_kafka_conf_new();
    kcf->consumer = rd_kafka_conf_new();

    cln->handler = ngx_mqtt_kafka_conf_cleanup;
    cln->data = kcf;

    if (ngx_mqtt_kafka_properties_init(cf, gw, kcf->properties) != NGX_OK
        || ngx_mqtt_kafka_consumer_init(cf, gw, kcf) != NGX_OK)
    {
        return NULL;
    }

    gw->kafka = kcf;

    return kcf;
}


static void
ngx_mqtt_kafka_conf_cleanup(void *data)
{
    ngx_mqtt_kafka_conf_t  *kcf = data;

    rd_kafka_conf_destroy(kcf->properties);
    rd_kafka_conf_destroy(kcf->consumer);
}


/* a dead letter that comes back would become one again, and so on */

static char *
ngx_mqtt_kafka_dead_letter_check(ngx_conf_t *cf, ngx_mqtt_kafka_conf_t *kcf)
{
    ngx_str_t   *topic, *source;
    ngx_uint_t   i;

    if (kcf->dead_letter == NGX_MQTT_KAFKA_NO_TOPIC) {
        return NGX_CONF_OK;
    }

    topic = kcf->topics.elts;
    topic += kcf->dead_letter;
    source = kcf->sources.elts;

    for (i = 0; i < kcf->sources.nelts; i++) {

        if (source[i].len == topic->len
            && ngx_memcmp(source[i].data, topic->data, topic->len) == 0)
        {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "dead-letter topic \"%V\" is mapped downwards",
                               topic);
            return NGX_CONF_ERROR;
        }
    }

    return NGX_CONF_OK;
}


char *
ngx_mqtt_kafka_conf_init(ngx_conf_t *cf, ngx_mqtt_gateway_t *gw)
{
    ngx_mqtt_kafka_conf_t  *kcf;

    kcf = gw->kafka;

    if (kcf == NULL) {
        return NGX_CONF_OK;
    }

    if (kcf->servers.len == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "no \"kafka\" servers in mqtt gateway \"%V\"",
                           &gw->name);
        return NGX_CONF_ERROR;
    }

    ngx_conf_init_size_value(kcf->queue_size, NGX_MQTT_KAFKA_QUEUE_SIZE);
    ngx_conf_init_uint_value(kcf->queue_messages,
                             NGX_MQTT_KAFKA_QUEUE_MESSAGES);
    ngx_conf_init_size_value(kcf->qos0_size, kcf->queue_size / 2);

    kcf->qos0_messages = (ngx_uint_t) ((double) kcf->queue_messages
                                       * kcf->qos0_size / kcf->queue_size);

    ngx_mqtt_kafka_consumer_bounds(kcf);

    if (ngx_mqtt_kafka_dead_letter_check(cf, kcf) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }

    return ngx_mqtt_kafka_properties_check(cf, kcf);
}
