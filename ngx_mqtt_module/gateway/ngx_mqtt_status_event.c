
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * One client status event: its topic, its text, and what of it stands in the
 * session while the client is connected.
 *
 * Called from: ngx_mqtt_status.c, ngx_mqtt_status_ends.c, client/.
 */


#include "ngx_mqtt_status_int.h"

#include <ngx_md5.h>
#include <jansson.h>


#define NGX_MQTT_STATUS_CHANNEL  32      /* hexadecimal digits */

/* between a group id and the rest of a client id; behind it in a topic */

#define NGX_MQTT_STATUS_AT       "@@@"
#define NGX_MQTT_STATUS_SUFFIX   "_MQTT"

#define NGX_MQTT_STATUS_NAME     249     /* bytes of a topic of Kafka */


static size_t ngx_mqtt_status_group(ngx_str_t *client_id);
static const char *ngx_mqtt_status_reason(ngx_mqtt_status_event_t *ev);
static json_t *ngx_mqtt_status_string(ngx_str_t *s);
static void ngx_mqtt_status_channel(ngx_mqtt_status_event_t *ev,
    u_char *text);
static void ngx_mqtt_status_cut(ngx_str_t *from, ngx_str_t *field);


ngx_str_t  ngx_mqtt_status_names[] = {
    ngx_string("connect"),
    ngx_string("disconnect"),
    ngx_string("tcpclean")
};


/*
 * CONTRACT: "<GroupID>_MQTT", the group id is what is before the first "@@@".
 * An id that has none, or one that no topic can have, is told to the topic of
 * the configuration, if there is one.
 */

ngx_uint_t
ngx_mqtt_status_topic(ngx_mqtt_worker_t *w, ngx_str_t *client_id)
{
    u_char      text[NGX_MQTT_STATUS_NAME], *p;
    size_t      len;
    ngx_str_t   name;
    ngx_uint_t  topic;

    if (!w->gateway->status_per_group) {
        return w->gateway->status_topic;
    }

    len = ngx_mqtt_status_group(client_id);

    if (len == 0
        || len > NGX_MQTT_STATUS_NAME - (sizeof(NGX_MQTT_STATUS_SUFFIX) - 1))
    {
        return w->gateway->status_topic;
    }

    p = ngx_cpymem(text, client_id->data, len);
    p = ngx_cpymem(p, NGX_MQTT_STATUS_SUFFIX,
                   sizeof(NGX_MQTT_STATUS_SUFFIX) - 1);

    name.data = text;
    name.len = p - text;

    topic = ngx_mqtt_kafka_topic(w->kafka, &name);

    return (topic != NGX_MQTT_KAFKA_NO_TOPIC) ? topic
                                              : w->gateway->status_topic;
}


static size_t
ngx_mqtt_status_group(ngx_str_t *client_id)
{
    size_t   len;
    u_char  *p;

    len = sizeof(NGX_MQTT_STATUS_AT) - 1;

    for (p = client_id->data;
         p + len <= client_id->data + client_id->len;
         p++)
    {
        if (ngx_strncmp(p, NGX_MQTT_STATUS_AT, len) == 0) {
            return p - client_id->data;
        }
    }

    return 0;
}


ngx_mqtt_msg_t *
ngx_mqtt_status_json(ngx_mqtt_worker_t *w, ngx_mqtt_status_event_t *ev)
{
    size_t           len;
    u_char           channel[NGX_MQTT_STATUS_CHANNEL];
    json_t          *json;
    ngx_str_t        channel_id;
    ngx_time_t      *tp;
    ngx_mqtt_msg_t  *m;

    tp = ngx_timeofday();

    ngx_mqtt_status_channel(ev, channel);
    channel_id.data = channel;
    channel_id.len = NGX_MQTT_STATUS_CHANNEL;

    json = json_pack("{s:o, s:o, s:I, s:o, s:o, s:I, s:s, s:o, s:o}",
                     "clientId", ngx_mqtt_status_string(&ev->client_id),
                     "eventType",
                     ngx_mqtt_status_string(&ngx_mqtt_status_names[ev->event]),
                     "time", (json_int_t) tp->sec * 1000 + tp->msec,
                     "channelId", ngx_mqtt_status_string(&channel_id),
                     "clientIp", ngx_mqtt_status_string(&ev->address),
                     "epoch", (json_int_t) ev->epoch,
                     "reason", ngx_mqtt_status_reason(ev),
                     "username", ngx_mqtt_status_string(&ev->username),
                     "node", ngx_mqtt_status_string(&ev->node));
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


static const char *
ngx_mqtt_status_reason(ngx_mqtt_status_event_t *ev)
{
    if (ev->event == NGX_MQTT_STATUS_CONNECT) {
        return "";
    }

    if (ev->reason == NGX_MQTT_STATUS_NO_WORKER) {
        return "Worker process has ended";
    }

    return ngx_mqtt_reason_name(ev->reason);
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


/* address, node and user name, a zero byte behind each of the first two */

ngx_int_t
ngx_mqtt_status_connection(ngx_mqtt_worker_t *w, ngx_mqtt_status_event_t *ev,
    ngx_str_t *connection)
{
    u_char  *p;

    ngx_str_null(connection);

    if (ngx_mqtt_status_topic(w, &ev->client_id) == NGX_MQTT_KAFKA_NO_TOPIC) {
        return NGX_OK;
    }

    connection->len = ev->address.len + 1 + ev->node.len + 1
                      + ev->username.len;
    connection->data = ngx_mqtt_alloc(w, connection->len);

    if (connection->data == NULL) {
        return NGX_ERROR;
    }

    p = ngx_cpymem(connection->data, ev->address.data, ev->address.len);
    *p++ = '\0';
    p = ngx_cpymem(p, ev->node.data, ev->node.len);
    *p++ = '\0';
    ngx_memcpy(p, ev->username.data, ev->username.len);

    return NGX_OK;
}


void
ngx_mqtt_status_read(ngx_str_t *connection, ngx_mqtt_status_event_t *ev)
{
    ev->username = *connection;

    ngx_mqtt_status_cut(&ev->username, &ev->address);
    ngx_mqtt_status_cut(&ev->username, &ev->node);
}


static void
ngx_mqtt_status_cut(ngx_str_t *from, ngx_str_t *field)
{
    u_char  *p, *last;

    last = from->data + from->len;

    p = ngx_strlchr(from->data, last, '\0');
    if (p == NULL) {
        p = last;
    }

    field->data = from->data;
    field->len = p - from->data;

    from->data = (p == last) ? p : p + 1;
    from->len = last - from->data;
}
