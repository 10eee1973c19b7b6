
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * The properties of librdkafka: "kafka_set" and what stands without it.
 *
 * (1) Every property goes through librdkafka's own check when its line is
 *     read, and all of them together when the block ends: "nginx -t" says
 *     what a worker would say.  No thread is started for that.
 * (2) Properties that would break a promise of the gateway, or that it sets
 *     itself, are refused.
 * (3) The values of secrets are never logged.
 *
 * Called from: stream/ while a configuration is read.
 */


#include "ngx_mqtt_kafka_core.h"


/* a property and its value, or why it cannot be set */

typedef struct {
    const char                *name;
    const char                *text;
} ngx_mqtt_kafka_property_t;


static char *ngx_mqtt_kafka_property_check(ngx_conf_t *cf,
    ngx_mqtt_kafka_conf_t *kcf, ngx_str_t *name, ngx_str_t *value);
static ngx_uint_t ngx_mqtt_kafka_property_is(ngx_str_t *name,
    const char **list);
static ngx_int_t ngx_mqtt_kafka_property_file(ngx_conf_t *cf,
    ngx_str_t *value);
static char *ngx_mqtt_kafka_properties_try(ngx_conf_t *cf,
    rd_kafka_type_t type, rd_kafka_conf_t *conf);
static char *ngx_mqtt_kafka_sasl_check(ngx_conf_t *cf,
    rd_kafka_conf_t *properties);


/* "kafka_set" overrides these, except for those refused below */

static ngx_mqtt_kafka_property_t  ngx_mqtt_kafka_defaults[] = {

    /* an acknowledged record is on every replica in sync, once, in order */

    { "acks", "all" },
    { "enable.idempotence", "true" },

    /* a broker that is away is waited for */

    { "message.timeout.ms", "0" },
    { "reconnect.backoff.max.ms", "2000" },
    { "socket.keepalive.enable", "true" },

    /* the key chooses the partition as in the Java client */

    { "partitioner", "murmur2_random" },

    { "linger.ms", "5" },
    { "socket.nagle.disable", "true" },

    /* a packet of 1 MiB and its headers */

    { "message.max.bytes", "2000000" },

    /* "kafka_queue" is the bound */

    { "queue.buffering.max.messages", "0" },
    { "queue.buffering.max.kbytes", "2147483647" },

    { "log.queue", "true" },

    { NULL, NULL }
};


/* since 2.5; anything before does not know it */

static ngx_mqtt_kafka_property_t  ngx_mqtt_kafka_optional[] = {
    { "enable.metrics.push", "false" },
    { NULL, NULL }
};


static ngx_mqtt_kafka_property_t  ngx_mqtt_kafka_refused[] = {
    { "bootstrap.servers", "is set by the \"kafka\" directive" },
    { "metadata.broker.list", "is set by the \"kafka\" directive" },
    { "queue.buffering.max.messages",
      "is replaced by the \"kafka_queue\" directive" },
    { "queue.buffering.max.kbytes",
      "is replaced by the \"kafka_queue\" directive" },
    { "plugin.library.paths", "would load foreign code into the workers" },
    { "internal.termination.signal", "would take a signal away from nginx" },
    { "enabled_events", "belongs to the gateway" },
    { "log.queue", "belongs to the gateway" },
    { "transactional.id", "is not supported" },
    { "enable.gapless.guarantee",
      "would stop the producer at each refused record" },
    { "delivery.report.only.error",
      "would leave every publish unacknowledged" },
    { "message.timeout.ms",
      "would give up records that wait for Kafka and break their order" },
    { "delivery.timeout.ms",
      "would give up records that wait for Kafka and break their order" },
    { "retries",
      "would give up records that wait for Kafka and break their order" },
    { "message.send.max.retries",
      "would give up records that wait for Kafka and break their order" },
    { NULL, NULL }
};


static const char  *ngx_mqtt_kafka_acks[] = {
    "acks", "request.required.acks", NULL
};

static const char  *ngx_mqtt_kafka_secrets[] = {
    "sasl.password", "sasl.oauthbearer.config",
    "sasl.oauthbearer.client.secret", "ssl.key.password", "ssl.key.pem",
    "ssl.keystore.password", NULL
};

static const char  *ngx_mqtt_kafka_mechanisms[] = {
    "PLAIN", "SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER",
    "GSSAPI", NULL
};

static const char  *ngx_mqtt_kafka_files[] = {
    "ssl.ca.location", "ssl.certificate.location", "ssl.key.location",
    "ssl.keystore.location", "ssl.crl.location", NULL
};


char *
ngx_mqtt_kafka_set_directive(ngx_conf_t *cf, ngx_mqtt_gateway_t *gw)
{
    char                    errstr[NGX_MQTT_KAFKA_ERRSTR];
    ngx_str_t              *value, *name;
    ngx_uint_t              scope;
    rd_kafka_conf_res_t     res;
    ngx_mqtt_kafka_conf_t  *kcf;

    kcf = ngx_mqtt_kafka_conf(cf, gw);
    if (kcf == NULL) {
        return NGX_CONF_ERROR;
    }

    value = cf->args->elts;

    if (ngx_mqtt_kafka_property_check(cf, kcf, &value[1], &value[2])
        != NGX_CONF_OK)
    {
        return NGX_CONF_ERROR;
    }

    name = ngx_array_push(&kcf->names);
    if (name == NULL) {
        return NGX_CONF_ERROR;
    }

    *name = value[1];

    if (ngx_strcmp(name->data, "group.instance.id") == 0) {

        /* each worker makes its own of it */

        return NGX_CONF_OK;
    }

    scope = ngx_mqtt_kafka_property_scope(name);
    res = RD_KAFKA_CONF_OK;

    if (scope != NGX_MQTT_KAFKA_CONSUMER_ONLY) {
        res = rd_kafka_conf_set(kcf->properties, (char *) value[1].data,
                                (char *) value[2].data, errstr,
                                sizeof(errstr));
    }

    if (scope != NGX_MQTT_KAFKA_PRODUCER_ONLY && res == RD_KAFKA_CONF_OK) {
        res = rd_kafka_conf_set(kcf->consumer, (char *) value[1].data,
                                (char *) value[2].data, errstr,
                                sizeof(errstr));
    }

    if (res == RD_KAFKA_CONF_OK) {
        return NGX_CONF_OK;
    }

    if (ngx_mqtt_kafka_property_is(name, ngx_mqtt_kafka_secrets)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid value of Kafka property \"%V\"", name);
        return NGX_CONF_ERROR;
    }

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "Kafka property \"%V\": %s",
                       name, errstr);

    return NGX_CONF_ERROR;
}


static char *
ngx_mqtt_kafka_property_check(ngx_conf_t *cf, ngx_mqtt_kafka_conf_t *kcf,
    ngx_str_t *name, ngx_str_t *value)
{
    ngx_str_t                  *set;
    ngx_uint_t                  i;
    ngx_mqtt_kafka_property_t  *property;

    for (property = ngx_mqtt_kafka_refused; property->name; property++) {

        if (ngx_strcmp(name->data, property->name) == 0) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "Kafka property \"%V\" %s", name,
                               property->text);
            return NGX_CONF_ERROR;
        }
    }

    if (ngx_mqtt_kafka_consumer_check(cf, kcf, name, value) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }

    if (ngx_mqtt_kafka_property_is(name, ngx_mqtt_kafka_acks)
        && ngx_strcmp(value->data, "all") != 0
        && ngx_strcmp(value->data, "-1") != 0)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "Kafka property \"%V\" must be \"all\": fewer "
                           "acknowledgements could lose acknowledged "
                           "messages", name);
        return NGX_CONF_ERROR;
    }

    if (ngx_strcmp(name->data, "enable.idempotence") == 0
        && ngx_strcmp(value->data, "true") != 0)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "Kafka property \"%V\" must be \"true\": retries "
                           "could change the order of messages", name);
        return NGX_CONF_ERROR;
    }

    set = kcf->names.elts;

    for (i = 0; i < kcf->names.nelts; i++) {

        if (set[i].len == name->len
            && ngx_strncmp(set[i].data, name->data, name->len) == 0)
        {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "duplicate Kafka property \"%V\"", name);
            return NGX_CONF_ERROR;
        }
    }

    if (ngx_mqtt_kafka_property_is(name, ngx_mqtt_kafka_files)
        && ngx_mqtt_kafka_property_file(cf, value) != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static ngx_uint_t
ngx_mqtt_kafka_property_is(ngx_str_t *name, const char **list)
{
    for ( /* void */ ; *list; list++) {

        if (ngx_strcmp(name->data, *list) == 0) {
            return 1;
        }
    }

    return 0;
}


/* a path is relative to nginx.conf, as everywhere in nginx */

static ngx_int_t
ngx_mqtt_kafka_property_file(ngx_conf_t *cf, ngx_str_t *value)
{
    ngx_file_info_t  fi;

    if (ngx_strcmp(value->data, "probe") == 0) {
        return NGX_OK;
    }

    if (ngx_conf_full_name(cf->cycle, value, 1) != NGX_OK) {
        return NGX_ERROR;
    }

    if (ngx_file_info(value->data, &fi) == NGX_FILE_ERROR) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           ngx_file_info_n " \"%V\" failed", value);
        return NGX_ERROR;
    }

    return NGX_OK;
}


ngx_int_t
ngx_mqtt_kafka_properties_init(ngx_conf_t *cf, ngx_mqtt_gateway_t *gw,
    rd_kafka_conf_t *properties)
{
    char                        errstr[NGX_MQTT_KAFKA_ERRSTR];
    u_char                     *id;
    ngx_mqtt_kafka_property_t  *property;

    for (property = ngx_mqtt_kafka_defaults; property->name; property++) {

        if (rd_kafka_conf_set(properties, property->name, property->text,
                              errstr, sizeof(errstr))
            != RD_KAFKA_CONF_OK)
        {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "%s", errstr);
            return NGX_ERROR;
        }
    }

    for (property = ngx_mqtt_kafka_optional; property->name; property++) {
        (void) rd_kafka_conf_set(properties, property->name, property->text,
                                 errstr, sizeof(errstr));
    }

    id = ngx_pnalloc(cf->pool, sizeof("ngx_mqtt-") + gw->name.len);
    if (id == NULL) {
        return NGX_ERROR;
    }

    ngx_sprintf(id, "ngx_mqtt-%V%Z", &gw->name);

    if (rd_kafka_conf_set(properties, "client.id", (char *) id, errstr,
                          sizeof(errstr))
        != RD_KAFKA_CONF_OK)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "%s", errstr);
        return NGX_ERROR;
    }

    return NGX_OK;
}


/*
 * Some combinations are checked by rd_kafka_new() only, which starts threads
 * when it is content, and threads do not survive the fork of the workers.  It
 * looks at the combinations first, then at the names of the strategies of
 * consumer groups, then does everything else: a strategy that does not exist
 * makes it stop in between.
 */

char *
ngx_mqtt_kafka_properties_check(ngx_conf_t *cf, ngx_mqtt_kafka_conf_t *kcf)
{
    if (ngx_mqtt_kafka_properties_try(cf, RD_KAFKA_PRODUCER, kcf->properties)
        != NGX_CONF_OK
        || ngx_mqtt_kafka_properties_try(cf, RD_KAFKA_CONSUMER, kcf->consumer)
           != NGX_CONF_OK)
    {
        return NGX_CONF_ERROR;
    }

    return ngx_mqtt_kafka_sasl_check(cf, kcf->properties);
}


static char *
ngx_mqtt_kafka_properties_try(ngx_conf_t *cf, rd_kafka_type_t type,
    rd_kafka_conf_t *conf)
{
    char              errstr[NGX_MQTT_KAFKA_ERRSTR];
    rd_kafka_t       *client;
    rd_kafka_conf_t  *properties;

    properties = rd_kafka_conf_dup(conf);

    (void) rd_kafka_conf_set(properties, "partition.assignment.strategy",
                             "nginx", errstr, sizeof(errstr));

    client = rd_kafka_new(type, properties, errstr, sizeof(errstr));

    if (client) {
        rd_kafka_destroy(client);
        return NGX_CONF_OK;
    }

    rd_kafka_conf_destroy(properties);

    if (ngx_strstr(errstr, "partition.assignment.strategy")) {
        return NGX_CONF_OK;
    }

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "Kafka properties: %s", errstr);

    return NGX_CONF_ERROR;
}


static char *
ngx_mqtt_kafka_sasl_check(ngx_conf_t *cf, rd_kafka_conf_t *properties)
{
    char          protocol[32], mechanism[32];
    size_t        plen, mlen, ulen, wlen;
    const char  **m;

    plen = sizeof(protocol);
    mlen = sizeof(mechanism);
    ulen = 0;
    wlen = 0;

    if (rd_kafka_conf_get(properties, "security.protocol", protocol, &plen)
           != RD_KAFKA_CONF_OK
        || ngx_strncmp(protocol, "sasl", 4) != 0)
    {
        return NGX_CONF_OK;
    }

    if (rd_kafka_conf_get(properties, "sasl.mechanisms", mechanism, &mlen)
        != RD_KAFKA_CONF_OK)
    {
        return NGX_CONF_OK;
    }

    for (m = ngx_mqtt_kafka_mechanisms; *m; m++) {

        if (ngx_strcmp(mechanism, *m) == 0) {
            break;
        }
    }

    if (*m == NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "unsupported Kafka SASL mechanism \"%s\"",
                           mechanism);
        return NGX_CONF_ERROR;
    }

    if (ngx_strcmp(mechanism, "PLAIN") != 0
        && ngx_strncmp(mechanism, "SCRAM-", 6) != 0)
    {
        return NGX_CONF_OK;
    }

    /* with their final zeros */

    (void) rd_kafka_conf_get(properties, "sasl.username", NULL, &ulen);
    (void) rd_kafka_conf_get(properties, "sasl.password", NULL, &wlen);

    if (ulen <= 1 || wlen <= 1) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "Kafka SASL mechanism \"%s\" needs "
                           "\"sasl.username\" and \"sasl.password\"",
                           mechanism);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}
