
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * SUBSCRIBE and UNSUBSCRIBE, sections 3.8 to 3.11.  Every filter has its own
 * code in the answer; the answer stands in the output before any message that
 * the new subscriptions bring.
 *
 * Called from: the dispatch of packets.
 */


#include "ngx_mqtt_client_session.h"
#include "ngx_mqtt_client_auth.h"
#include "ngx_mqtt_retain.h"


static ngx_uint_t ngx_mqtt_subscribe_filter(ngx_mqtt_client_t *mc,
    ngx_mqtt_subscribe_t *pkt, ngx_mqtt_filter_t *filter);
static ngx_uint_t ngx_mqtt_subscribe_wants_retained(ngx_mqtt_client_t *mc,
    ngx_uint_t options, ngx_uint_t existed);
static ngx_uint_t ngx_mqtt_unsubscribe_filter(ngx_mqtt_client_t *mc,
    ngx_mqtt_filter_t *filter);
static ngx_int_t ngx_mqtt_subscribe_check(ngx_mqtt_client_t *mc,
    ngx_str_t *filter, ngx_str_t *share);
static ngx_int_t ngx_mqtt_subscribe_finish(ngx_mqtt_client_t *mc,
    ngx_uint_t type, ngx_mqtt_suback_t *ack);


ngx_int_t
ngx_mqtt_handle_subscribe(ngx_mqtt_client_t *mc, ngx_mqtt_fixed_t *fx,
    u_char *p)
{
    u_char                *pos;
    ngx_int_t              rc;
    ngx_uint_t             n;
    ngx_mqtt_filter_t      filter;
    ngx_mqtt_suback_t      ack;
    ngx_mqtt_subscribe_t   pkt;

    if (ngx_mqtt_decode_subscribe(p, p + fx->remaining, mc->version, fx->type,
                                  &pkt)
        != NGX_OK)
    {
        return ngx_mqtt_client_error(mc, pkt.reason, "client sent invalid %s",
                                     ngx_mqtt_packet_name(fx->type));
    }

    if (fx->type == NGX_MQTT_SUBSCRIBE && mc->conf->retain
        && ngx_mqtt_retain_busy(mc->worker))
    {
        ngx_mqtt_client_pause(mc);
        return NGX_BUSY;
    }

    ack.packet_id = pkt.packet_id;
    ngx_mqtt_props_reset(&ack.props);

    ack.codes.len = pkt.nfilters;
    ack.codes.data = ngx_mqtt_alloc(mc->worker, pkt.nfilters);

    if (ack.codes.data == NULL) {
        ngx_mqtt_client_abort(mc, NGX_MQTT_UNSPECIFIED_ERROR);
        return NGX_ERROR;
    }

    pos = NULL;
    n = 0;

    while (ngx_mqtt_subscribe_next(&pkt, fx->type, &pos, &filter) == NGX_OK) {

        ack.codes.data[n++] = (u_char)
            ((fx->type == NGX_MQTT_SUBSCRIBE)
             ? ngx_mqtt_subscribe_filter(mc, &pkt, &filter)
             : ngx_mqtt_unsubscribe_filter(mc, &filter));

        if (mc->closing) {
            break;
        }
    }

    rc = mc->closing ? NGX_ERROR
                     : ngx_mqtt_subscribe_finish(mc, fx->type, &ack);

    ngx_mqtt_free(mc->worker, ack.codes.data, pkt.nfilters);

    return rc;
}


/* the code of this filter in SUBACK, 3.9.3 */

static ngx_uint_t
ngx_mqtt_subscribe_filter(ngx_mqtt_client_t *mc, ngx_mqtt_subscribe_t *pkt,
    ngx_mqtt_filter_t *filter)
{
    uint32_t         id;
    ngx_str_t        share;
    ngx_uint_t       existed, options;
    ngx_mqtt_sub_t  *sub;

    if (ngx_mqtt_subscribe_check(mc, &filter->filter, &share) != NGX_OK) {
        return NGX_MQTT_TOPIC_FILTER_INVALID;
    }

    if (ngx_mqtt_client_may_subscribe(mc, &filter->filter) != NGX_OK) {
        return NGX_MQTT_NOT_AUTHORIZED;
    }

    if (ngx_mqtt_topic_has_wildcard(&filter->filter)
        && ngx_mqtt_topic_levels(&filter->filter) > NGX_MQTT_TRIE_DEPTH)
    {
        return NGX_MQTT_QUOTA_EXCEEDED;
    }

    id = 0;
    options = filter->options;

    if (mc->version == NGX_MQTT_V5) {

        if (ngx_mqtt_prop_is_set(&pkt->props, NGX_MQTT_PROP_SUBSCRIPTION_ID)) {
            id = pkt->props.subscription_id;
        }

    } else {

        /* there is no such choice before 5.0 */

        options &= NGX_MQTT_SUB_QOS;
    }

    sub = ngx_mqtt_route_subscribe(mc->worker, &mc->subscriber,
                                   &filter->filter, &share, options, id,
                                   &existed);
    if (sub == NULL) {
        return NGX_MQTT_QUOTA_EXCEEDED;
    }

    if (!existed && mc->subscriber.nsubs
                    > (ngx_uint_t) mc->conf->max_subscriptions)
    {
        (void) ngx_mqtt_route_unsubscribe(mc->worker, &mc->subscriber,
                                          &filter->filter, &share);

        ngx_log_error(NGX_LOG_INFO, mc->connection->log, 0,
                      "client exceeded %ui subscriptions",
                      mc->subscriber.nsubs);
        return NGX_MQTT_QUOTA_EXCEEDED;
    }

    if (mc->session
        && ngx_mqtt_client_session_subscribe(mc, sub, &share) != NGX_OK)
    {
        ngx_mqtt_client_abort(mc, NGX_MQTT_UNSPECIFIED_ERROR);
    }

    /* they come in a later turn: SUBACK is first */

    if (share.len == 0
        && ngx_mqtt_subscribe_wants_retained(mc, options, existed)
        && ngx_mqtt_client_retained_start(mc, &filter->filter, options, id)
           != NGX_OK)
    {
        ngx_mqtt_client_abort(mc, NGX_MQTT_UNSPECIFIED_ERROR);
    }

    return options & NGX_MQTT_SUB_QOS;
}


/* Retain Handling, 3.8.3.1; none for shared subscriptions, 4.8.2 */

static ngx_uint_t
ngx_mqtt_subscribe_wants_retained(ngx_mqtt_client_t *mc, ngx_uint_t options,
    ngx_uint_t existed)
{
    if (!mc->conf->retain) {
        return 0;
    }

    switch ((options & NGX_MQTT_SUB_RETAIN_HANDLING) >> 4) {

    case 0:
        return 1;

    case 1:
        return !existed;

    default:
        return 0;
    }
}


static ngx_uint_t
ngx_mqtt_unsubscribe_filter(ngx_mqtt_client_t *mc, ngx_mqtt_filter_t *filter)
{
    ngx_str_t        share;
    ngx_mqtt_sub_t  *sub;

    if (ngx_mqtt_subscribe_check(mc, &filter->filter, &share) != NGX_OK) {
        return NGX_MQTT_TOPIC_FILTER_INVALID;
    }

    if (mc->session) {
        sub = ngx_mqtt_route_find(&mc->subscriber, &filter->filter, &share);

        if (sub
            && ngx_mqtt_client_session_unsubscribe(mc, sub, &share) != NGX_OK)
        {
            ngx_mqtt_client_abort(mc, NGX_MQTT_UNSPECIFIED_ERROR);
            return NGX_MQTT_UNSPECIFIED_ERROR;
        }
    }

    if (ngx_mqtt_route_unsubscribe(mc->worker, &mc->subscriber,
                                   &filter->filter, &share)
        != NGX_OK)
    {
        return NGX_MQTT_NO_SUBSCRIPTION_EXISTED;
    }

    if (share.len == 0) {
        ngx_mqtt_client_retained_cancel(mc, &filter->filter);

    } else {
        ngx_mqtt_client_share_unsubscribed(mc, &filter->filter, &share);
    }

    return NGX_MQTT_SUCCESS;
}


/*
 * 4.7: takes a "$share/name/" prefix off.  A malformed filter has a code in
 * 5.0; before, it is a violation of the protocol.
 */

static ngx_int_t
ngx_mqtt_subscribe_check(ngx_mqtt_client_t *mc, ngx_str_t *filter,
    ngx_str_t *share)
{
    if (ngx_mqtt_topic_filter_check(filter, share) == NGX_OK
        && filter->len <= (size_t) mc->conf->max_topic_length
        && (mc->conf->max_topic_levels == 0
            || ngx_mqtt_topic_levels(filter)
               <= (ngx_uint_t) mc->conf->max_topic_levels))
    {
        return NGX_OK;
    }

    if (mc->version != NGX_MQTT_V5) {
        (void) ngx_mqtt_client_error(mc, NGX_MQTT_TOPIC_FILTER_INVALID,
                                     "client sent invalid topic filter");
    }

    return NGX_ERROR;
}


/* the answer of a persistent session waits until Redis has what it says */

static ngx_int_t
ngx_mqtt_subscribe_finish(ngx_mqtt_client_t *mc, ngx_uint_t type,
    ngx_mqtt_suback_t *ack)
{
    ngx_int_t  rc;

    if (mc->session) {
        rc = ngx_mqtt_client_session_answer(mc, type, ack);

        if (rc == NGX_ERROR) {
            ngx_mqtt_client_abort(mc, NGX_MQTT_UNSPECIFIED_ERROR);
        }

        if (rc != NGX_OK) {
            return (rc == NGX_AGAIN) ? NGX_OK : NGX_ERROR;
        }
    }

    return ngx_mqtt_subscribe_answer(mc, type, ack);
}


/* SUBACK and UNSUBACK; before 5.0 every refusal is 0x80, without a string */

ngx_int_t
ngx_mqtt_subscribe_answer(ngx_mqtt_client_t *mc, ngx_uint_t type,
    ngx_mqtt_suback_t *ack)
{
    u_char      *p, buf[128];
    ngx_str_t    text;
    ngx_uint_t   i;

    type = (type == NGX_MQTT_SUBSCRIBE) ? NGX_MQTT_SUBACK : NGX_MQTT_UNSUBACK;

    ngx_str_null(&text);

    for (i = 0; i < ack->codes.len; i++) {

        if (ack->codes.data[i] < NGX_MQTT_UNSPECIFIED_ERROR) {
            continue;
        }

        if (mc->version != NGX_MQTT_V5) {
            ack->codes.data[i] = NGX_MQTT_UNSPECIFIED_ERROR;

        } else if (text.len == 0) {
            text.data = buf;
            text.len = ngx_snprintf(buf, sizeof(buf), "filter %ui: %s", i + 1,
                                    ngx_mqtt_reason_name(ack->codes.data[i]))
                       - buf;
        }
    }

    ngx_mqtt_client_reason_string(mc, &ack->props,
                                  ngx_mqtt_suback_len(mc->version, type, ack),
                                  &text);

    p = ngx_mqtt_client_room(mc, ngx_mqtt_suback_len(mc->version, type, ack));
    if (p == NULL) {
        return NGX_ERROR;
    }

    (void) ngx_mqtt_write_suback(p, mc->version, type, ack);

    return NGX_OK;
}
