
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * The will of a client: kept as the message that it will be, 3.1.2.5 and
 * 3.1.3.2, and handed to the session with the end of the connection.
 *
 * Called from: CONNECT, the end of a client.
 */


#include "ngx_mqtt_client.h"
#include "ngx_mqtt_session.h"


/* the properties of a will that travel with its message, 3.1.3.2 */

#define NGX_MQTT_WILL_PROPS                                                   \
    (ngx_mqtt_prop_bit(NGX_MQTT_PROP_PAYLOAD_FORMAT)                          \
     | ngx_mqtt_prop_bit(NGX_MQTT_PROP_CONTENT_TYPE)                          \
     | ngx_mqtt_prop_bit(NGX_MQTT_PROP_RESPONSE_TOPIC)                        \
     | ngx_mqtt_prop_bit(NGX_MQTT_PROP_CORRELATION_DATA)                      \
     | ngx_mqtt_prop_bit(NGX_MQTT_PROP_USER_PROPERTY))


static ngx_uint_t ngx_mqtt_client_lost(ngx_mqtt_client_t *mc);


ngx_int_t
ngx_mqtt_client_will_check(ngx_mqtt_client_t *mc, ngx_mqtt_connect_t *pkt)
{
    ngx_log_t               *log;
    ngx_mqtt_will_t         *will;
    ngx_mqtt_client_conf_t  *conf;

    log = mc->connection->log;
    conf = mc->conf;
    will = &pkt->will;

    if (!pkt->has_will) {
        return NGX_OK;
    }

    if (will->retain && !conf->retain) {
        ngx_log_error(NGX_LOG_INFO, log, 0, "client sent will with RETAIN");
        return ngx_mqtt_connect_refuse(mc, pkt->version,
                                       NGX_MQTT_RETAIN_NOT_SUPPORTED);
    }

    if (will->topic.len > (size_t) conf->max_topic_length
        || (conf->max_topic_levels
            && ngx_mqtt_topic_levels(&will->topic)
               > (ngx_uint_t) conf->max_topic_levels))
    {
        ngx_log_error(NGX_LOG_INFO, log, 0,
                      "client sent will with too long topic of %uz bytes, "
                      "or of too many levels", will->topic.len);
        return ngx_mqtt_connect_refuse(mc, pkt->version,
                                       NGX_MQTT_TOPIC_NAME_INVALID);
    }

    return NGX_OK;
}


ngx_int_t
ngx_mqtt_client_will_store(ngx_mqtt_client_t *mc, ngx_mqtt_connect_t *pkt)
{
    u_char            *p;
    size_t             len;
    ngx_mqtt_msg_t    *m;
    ngx_mqtt_will_t   *will;
    ngx_mqtt_props_t   props;

    if (!pkt->has_will) {
        return NGX_OK;
    }

    will = &pkt->will;
    props = will->props;
    props.present &= NGX_MQTT_WILL_PROPS;

    len = props.present ? ngx_mqtt_props_raw_len(&props) : 0;

    m = ngx_mqtt_msg_create(mc->worker, will->topic.len + will->payload.len
                                        + len + mc->node.key.len);
    if (m == NULL) {
        return ngx_mqtt_connect_refuse(mc, pkt->version,
                                       NGX_MQTT_SERVER_UNAVAILABLE);
    }

    p = ngx_mqtt_msg_data(m);

    m->topic.data = p;
    m->topic.len = will->topic.len;
    p = ngx_cpymem(p, will->topic.data, will->topic.len);

    m->payload.data = p;
    m->payload.len = will->payload.len;
    p = ngx_cpymem(p, will->payload.data, will->payload.len);

    m->props.data = p;
    m->props.len = len;

    if (len) {
        p = ngx_mqtt_write_props_raw(p, &props);
    }

    m->origin.data = p;
    m->origin.len = mc->node.key.len;
    ngx_memcpy(p, mc->node.key.data, mc->node.key.len);

    m->qos = will->qos;
    m->retain = will->retain;
    m->clean = mc->clean_start
               && (mc->version != NGX_MQTT_V5 || mc->session_expiry == 0);

    if (ngx_mqtt_prop_is_set(&will->props, NGX_MQTT_PROP_MESSAGE_EXPIRY)) {
        m->has_expiry = 1;
        m->expiry = will->props.message_expiry;
    }

    if (ngx_mqtt_prop_is_set(&will->props, NGX_MQTT_PROP_WILL_DELAY)) {
        mc->will_delay = will->props.will_delay;
    }

    mc->will = m;

    return NGX_OK;
}


void
ngx_mqtt_client_release(ngx_mqtt_client_t *mc)
{
    ngx_mqtt_session_release_t  rel;

    rel.client_id = mc->node.key;
    rel.epoch = mc->epoch;
    rel.expiry = mc->session_expiry;
    rel.will = mc->taken ? NULL : mc->will;
    rel.lost = ngx_mqtt_client_lost(mc);
    rel.lasting = mc->lasting;
    rel.told = mc->announced;

    ngx_mqtt_session_release(mc->worker, &rel);
}


/* what is left is to tell that the connection is gone, where that is told */

void
ngx_mqtt_client_lose(ngx_mqtt_client_t *mc)
{
    if (mc->claimed) {
        mc->claimed = 0;
        mc->taken = (mc->worker->status != NULL);
    }
}


/*
 * 3.1.2.5: the connection has ended without DISCONNECT with reason code 0x00.
 * A client that was never told that it is connected has no will, and a planned
 * end of the gateway is not that of its clients.
 */

static ngx_uint_t
ngx_mqtt_client_lost(ngx_mqtt_client_t *mc)
{
    if (!mc->counted) {
        return 0;
    }

    if (mc->disconnected) {
        return mc->reason != NGX_MQTT_SUCCESS;
    }

    return mc->reason != NGX_MQTT_SERVER_SHUTTING_DOWN;
}


/* hooks->fence: others have the sessions of this worker */

void
ngx_mqtt_client_fence(ngx_mqtt_worker_t *w)
{
    ngx_queue_t        *q;
    ngx_mqtt_client_t  *mc;

    for (q = ngx_queue_head(&w->connections);
         q != ngx_queue_sentinel(&w->connections);
         q = ngx_queue_next(q))
    {
        mc = ngx_queue_data(q, ngx_mqtt_client_t, queue);

        if (mc->claimed) {
            ngx_mqtt_client_close(mc, NGX_MQTT_SERVER_BUSY);
        }
    }
}
