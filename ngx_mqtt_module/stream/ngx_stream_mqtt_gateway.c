
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * The mqtt_gateway {} block.  Its directives live in the stream module's
 * table; they find their gateway in a server configuration that exists for
 * the block alone.
 */


#include "ngx_stream_mqtt.h"
#include "ngx_mqtt_acl.h"
#include "ngx_mqtt_auth.h"
#include "ngx_mqtt_kafka.h"
#include "ngx_mqtt_limit.h"
#include "ngx_mqtt_map.h"
#include "ngx_mqtt_redis.h"


#define ngx_stream_mqtt_conf_gateway(conf)                                    \
    (((ngx_stream_mqtt_srv_conf_t *) (conf))->client.gateway)


static ngx_mqtt_gateway_t *ngx_stream_mqtt_gateway_create(ngx_conf_t *cf,
    ngx_str_t *name);
static char *ngx_stream_mqtt_gateway_parse(ngx_conf_t *cf,
    ngx_mqtt_gateway_t *gw);
static char *ngx_stream_mqtt_gateway_init(ngx_conf_t *cf,
    ngx_mqtt_gateway_t *gw);
static char *ngx_stream_mqtt_topic_parent(ngx_conf_t *cf, ngx_str_t *parent);
static char *ngx_stream_mqtt_topic_kafka(ngx_conf_t *cf, ngx_str_t *name);
static ngx_mqtt_map_entry_t *ngx_stream_mqtt_topic_add(ngx_conf_t *cf,
    ngx_mqtt_map_t *map);


ngx_conf_enum_t  ngx_stream_mqtt_refused_publish[] = {
    { ngx_string("close"), NGX_MQTT_REFUSED_CLOSE },
    { ngx_string("acknowledge"), NGX_MQTT_REFUSED_ACKNOWLEDGE },
    { ngx_null_string, 0 }
};


char *
ngx_stream_mqtt_gateway(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    char                *rv;
    ngx_str_t           *value;
    ngx_uint_t           i;
    ngx_mqtt_gateway_t  *gw;

    value = cf->args->elts;

    if (value[1].len == 0) {
        return "needs a name";
    }

    for (i = 0; i < value[1].len; i++) {

        /* it becomes part of Redis keys and socket names */

        if (value[1].data[i] <= 0x20 || value[1].data[i] >= 0x7f
            || value[1].data[i] == '{' || value[1].data[i] == '}')
        {
            return "has a character in its name that is not allowed";
        }
    }

    if (ngx_mqtt_gateway_find(cf->cycle, &value[1])) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "duplicate mqtt_gateway \"%V\"", &value[1]);
        return NGX_CONF_ERROR;
    }

    gw = ngx_stream_mqtt_gateway_create(cf, &value[1]);
    if (gw == NULL) {
        return NGX_CONF_ERROR;
    }

    rv = ngx_stream_mqtt_gateway_parse(cf, gw);
    if (rv != NGX_CONF_OK) {
        return rv;
    }

    rv = ngx_stream_mqtt_gateway_init(cf, gw);
    if (rv != NGX_CONF_OK) {
        return rv;
    }

    if (ngx_mqtt_gateway_add(cf, gw) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static ngx_mqtt_gateway_t *
ngx_stream_mqtt_gateway_create(ngx_conf_t *cf, ngx_str_t *name)
{
    ngx_mqtt_gateway_t  *gw;

    gw = ngx_pcalloc(cf->pool, sizeof(ngx_mqtt_gateway_t));
    if (gw == NULL) {
        return NULL;
    }

    gw->map = ngx_pcalloc(cf->pool, sizeof(ngx_mqtt_map_t));
    if (gw->map == NULL) {
        return NULL;
    }

    gw->name = *name;
    gw->file_name = cf->conf_file->file.name.data;
    gw->line = cf->conf_file->line;

    gw->refused_publish = NGX_CONF_UNSET_UINT;
    gw->status_topic = NGX_MQTT_KAFKA_NO_TOPIC;
    gw->status_queue = 10000;
    gw->drain_rate = NGX_CONF_UNSET;
    gw->offline_messages = NGX_CONF_UNSET;
    gw->offline_retention = NGX_CONF_UNSET_MSEC;
    gw->takeover_timeout = NGX_CONF_UNSET_MSEC;
    gw->lease_timeout = NGX_CONF_UNSET_MSEC;

    return gw;
}


static char *
ngx_stream_mqtt_gateway_parse(ngx_conf_t *cf, ngx_mqtt_gateway_t *gw)
{
    char                        *rv;
    ngx_conf_t                   pcf;
    ngx_stream_conf_ctx_t       *ctx, *stream_ctx;
    ngx_stream_mqtt_srv_conf_t  *mscf;

    ctx = ngx_pcalloc(cf->pool, sizeof(ngx_stream_conf_ctx_t));
    if (ctx == NULL) {
        return NGX_CONF_ERROR;
    }

    stream_ctx = cf->ctx;
    ctx->main_conf = stream_ctx->main_conf;

    ctx->srv_conf = ngx_pcalloc(cf->pool,
                                sizeof(void *) * ngx_stream_max_module);
    if (ctx->srv_conf == NULL) {
        return NGX_CONF_ERROR;
    }

    mscf = ngx_pcalloc(cf->pool, sizeof(ngx_stream_mqtt_srv_conf_t));
    if (mscf == NULL) {
        return NGX_CONF_ERROR;
    }

    mscf->client.gateway = gw;
    ctx->srv_conf[ngx_stream_mqtt_module.ctx_index] = mscf;

    pcf = *cf;
    cf->ctx = ctx;
    cf->cmd_type = NGX_STREAM_MQTT_CONF;

    rv = ngx_conf_parse(cf, NULL);

    *cf = pcf;

    return rv;
}


/* the block is complete: defaults and what needs the whole of it */

static char *
ngx_stream_mqtt_gateway_init(ngx_conf_t *cf, ngx_mqtt_gateway_t *gw)
{
    char       *rv;
    ngx_str_t   dup;

    ngx_conf_init_uint_value(gw->refused_publish, NGX_MQTT_REFUSED_CLOSE);
    ngx_conf_init_value(gw->drain_rate, 1000);
    ngx_conf_init_value(gw->offline_messages, 1000);
    ngx_conf_init_msec_value(gw->offline_retention, 3 * 24 * 60 * 60 * 1000);
    ngx_conf_init_msec_value(gw->takeover_timeout, 5000);
    ngx_conf_init_msec_value(gw->lease_timeout, 10000);

    if (gw->shm_zone == NULL) {
        gw->shm_zone = ngx_mqtt_zone_add(cf, gw, 32 * 1024 * 1024);

        if (gw->shm_zone == NULL) {
            return NGX_CONF_ERROR;
        }
    }

    if (gw->redis == NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "no \"redis\" is defined for mqtt_gateway \"%V\"",
                           &gw->name);
        return NGX_CONF_ERROR;
    }

    if (ngx_mqtt_map_init(gw->map, &dup) != NGX_OK) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "duplicate \"topic\" \"%V\" in mqtt_gateway \"%V\"",
                           &dup, &gw->name);
        return NGX_CONF_ERROR;
    }

    if (gw->map->nentries && gw->kafka == NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "no \"kafka\" is defined for the topics of "
                           "mqtt_gateway \"%V\"", &gw->name);
        return NGX_CONF_ERROR;
    }

    rv = ngx_mqtt_auth_conf_init(cf, gw);
    if (rv != NGX_CONF_OK) {
        return rv;
    }

    if (gw->kafka) {
        return ngx_mqtt_kafka_conf_init(cf, gw);
    }

    return NGX_CONF_OK;
}


char *
ngx_stream_mqtt_gateway_num(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    return ngx_conf_set_num_slot(cf, cmd, ngx_stream_mqtt_conf_gateway(conf));
}


char *
ngx_stream_mqtt_gateway_msec(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    return ngx_conf_set_msec_slot(cf, cmd, ngx_stream_mqtt_conf_gateway(conf));
}


char *
ngx_stream_mqtt_gateway_enum(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    return ngx_conf_set_enum_slot(cf, cmd, ngx_stream_mqtt_conf_gateway(conf));
}


char *
ngx_stream_mqtt_zone(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ssize_t              size;
    ngx_str_t           *value;
    ngx_mqtt_gateway_t  *gw;

    gw = ngx_stream_mqtt_conf_gateway(conf);

    if (gw->shm_zone) {
        return "is duplicate";
    }

    value = cf->args->elts;

    size = ngx_parse_size(&value[1]);

    if (size == NGX_ERROR) {
        return "invalid value";
    }

    gw->shm_zone = ngx_mqtt_zone_add(cf, gw, size);

    return gw->shm_zone ? NGX_CONF_OK : NGX_CONF_ERROR;
}


char *
ngx_stream_mqtt_redis(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    return ngx_mqtt_redis_directive(cf, ngx_stream_mqtt_conf_gateway(conf));
}


char *
ngx_stream_mqtt_kafka(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    return ngx_mqtt_kafka_directive(cf, ngx_stream_mqtt_conf_gateway(conf));
}


char *
ngx_stream_mqtt_kafka_set(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    return ngx_mqtt_kafka_set_directive(cf,
                                        ngx_stream_mqtt_conf_gateway(conf));
}


char *
ngx_stream_mqtt_kafka_queue(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    return ngx_mqtt_kafka_queue_directive(cf,
                                          ngx_stream_mqtt_conf_gateway(conf));
}


char *
ngx_stream_mqtt_kafka_inflight(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    return ngx_mqtt_kafka_inflight_directive(cf,
                                          ngx_stream_mqtt_conf_gateway(conf));
}


char *
ngx_stream_mqtt_dead_letter(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    return ngx_mqtt_kafka_dead_letter_directive(cf,
                                          ngx_stream_mqtt_conf_gateway(conf));
}


/* client_status kafka=topic | per_group [kafka=topic] [queue=number] */

char *
ngx_stream_mqtt_client_status(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_str_t           *value, name;
    ngx_uint_t           i;
    ngx_mqtt_gateway_t  *gw;

    gw = ngx_stream_mqtt_conf_gateway(conf);
    value = cf->args->elts;

    if (gw->status_topic != NGX_MQTT_KAFKA_NO_TOPIC || gw->status_per_group) {
        return "is duplicate";
    }

    for (i = 1; i < cf->args->nelts; i++) {

        if (ngx_strncmp(value[i].data, "kafka=", 6) == 0) {
            name.data = value[i].data + 6;
            name.len = value[i].len - 6;

            gw->status_topic = ngx_mqtt_kafka_conf_topic(cf, gw, &name);

            if (gw->status_topic == NGX_MQTT_KAFKA_NO_TOPIC) {
                return NGX_CONF_ERROR;
            }

            continue;
        }

        if (ngx_strcmp(value[i].data, "per_group") == 0) {
            gw->status_per_group = 1;
            continue;
        }

        if (ngx_strncmp(value[i].data, "queue=", 6) == 0) {
            gw->status_queue = ngx_atoi(value[i].data + 6, value[i].len - 6);

            if (gw->status_queue != NGX_ERROR && gw->status_queue != 0) {
                continue;
            }
        }

        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid parameter \"%V\"",
                           &value[i]);
        return NGX_CONF_ERROR;
    }

    if (gw->status_per_group) {

        /* its topics have no name yet, but there has to be a producer */

        return ngx_mqtt_kafka_conf_need(cf, gw);
    }

    return (gw->status_topic != NGX_MQTT_KAFKA_NO_TOPIC)
           ? NGX_CONF_OK : "needs \"kafka=\" or \"per_group\"";
}


char *
ngx_stream_mqtt_auth(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    return ngx_mqtt_auth_directive(cf, ngx_stream_mqtt_conf_gateway(conf));
}


char *
ngx_stream_mqtt_acl(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    return ngx_mqtt_acl_directive(cf, ngx_stream_mqtt_conf_gateway(conf));
}


char *
ngx_stream_mqtt_connect_rate(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    return ngx_mqtt_limit_rate_directive(cf,
                                         ngx_stream_mqtt_conf_gateway(conf));
}


char *
ngx_stream_mqtt_ban(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    return ngx_mqtt_limit_ban_directive(cf,
                                        ngx_stream_mqtt_conf_gateway(conf));
}


/* topic parent [kafka=name] [uplink] [downlink] */

char *
ngx_stream_mqtt_topic(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    char                  *rv;
    ngx_str_t             *value, kafka;
    ngx_uint_t             i, direction;
    ngx_mqtt_gateway_t    *gw;
    ngx_mqtt_map_entry_t  *entry;

    gw = ngx_stream_mqtt_conf_gateway(conf);
    value = cf->args->elts;

    rv = ngx_stream_mqtt_topic_parent(cf, &value[1]);
    if (rv != NGX_CONF_OK) {
        return rv;
    }

    kafka = value[1];
    direction = 0;

    for (i = 2; i < cf->args->nelts; i++) {

        if (ngx_strncmp(value[i].data, "kafka=", 6) == 0) {
            kafka.data = value[i].data + 6;
            kafka.len = value[i].len - 6;
            continue;
        }

        if (ngx_strcmp(value[i].data, "uplink") == 0) {
            direction |= NGX_MQTT_MAP_UPLINK;
            continue;
        }

        if (ngx_strcmp(value[i].data, "downlink") == 0) {
            direction |= NGX_MQTT_MAP_DOWNLINK;
            continue;
        }

        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid parameter \"%V\"", &value[i]);
        return NGX_CONF_ERROR;
    }

    rv = ngx_stream_mqtt_topic_kafka(cf, &kafka);
    if (rv != NGX_CONF_OK) {
        return rv;
    }

    entry = ngx_stream_mqtt_topic_add(cf, gw->map);
    if (entry == NULL) {
        return NGX_CONF_ERROR;
    }

    entry->parent = value[1];
    entry->kafka = kafka;
    entry->direction = direction ? direction
                                 : NGX_MQTT_MAP_UPLINK|NGX_MQTT_MAP_DOWNLINK;
    entry->index = NGX_MQTT_KAFKA_NO_TOPIC;
    entry->source = NGX_MQTT_KAFKA_NO_TOPIC;

    if (entry->direction & NGX_MQTT_MAP_UPLINK) {
        entry->index = ngx_mqtt_kafka_conf_topic(cf, gw, &kafka);

        if (entry->index == NGX_MQTT_KAFKA_NO_TOPIC) {
            return NGX_CONF_ERROR;
        }
    }

    if (entry->direction & NGX_MQTT_MAP_DOWNLINK) {
        entry->source = ngx_mqtt_kafka_conf_source(cf, gw, &kafka);

        if (entry->source == NGX_MQTT_KAFKA_NO_TOPIC) {
            return NGX_CONF_ERROR;
        }
    }

    return NGX_CONF_OK;
}


/* one level of a topic name that clients may publish to */

static char *
ngx_stream_mqtt_topic_parent(ngx_conf_t *cf, ngx_str_t *parent)
{
    if (parent->len == 0
        || parent->data[0] == '$'
        || ngx_strlchr(parent->data, parent->data + parent->len, '/')
        || ngx_mqtt_utf8_check(parent) != NGX_OK
        || ngx_mqtt_topic_name_check(parent) != NGX_OK)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid parent topic \"%V\", it must be the first "
                           "level of a topic name", parent);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


/* what Kafka takes as the name of a topic */

static char *
ngx_stream_mqtt_topic_kafka(ngx_conf_t *cf, ngx_str_t *name)
{
    u_char  *p, *last;

    if (name->len == 0 || name->len > 249
        || (name->len == 1 && name->data[0] == '.')
        || (name->len == 2 && ngx_memcmp(name->data, "..", 2) == 0))
    {
        goto invalid;
    }

    last = name->data + name->len;

    for (p = name->data; p < last; p++) {

        if ((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z')
            || (*p >= '0' && *p <= '9')
            || *p == '.' || *p == '_' || *p == '-')
        {
            continue;
        }

        goto invalid;
    }

    return NGX_CONF_OK;

invalid:

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "invalid Kafka topic \"%V\"", name);
    return NGX_CONF_ERROR;
}


/* mapping/ is pure: the array grows here */

static ngx_mqtt_map_entry_t *
ngx_stream_mqtt_topic_add(ngx_conf_t *cf, ngx_mqtt_map_t *map)
{
    ngx_mqtt_map_entry_t  *entries;

    entries = ngx_pcalloc(cf->pool,
                          (map->nentries + 1) * sizeof(ngx_mqtt_map_entry_t));
    if (entries == NULL) {
        return NULL;
    }

    if (map->nentries) {
        ngx_memcpy(entries, map->entries,
                   map->nentries * sizeof(ngx_mqtt_map_entry_t));
    }

    map->entries = entries;

    return &entries[map->nentries++];
}
