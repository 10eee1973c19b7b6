
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * How much a client may publish: two buckets, of messages and of bytes, each
 * of which holds what comes in within a second.
 *
 * Called from: the handler of PUBLISH.
 */


#include "ngx_mqtt_client_auth.h"


static ngx_uint_t ngx_mqtt_client_take(uint64_t *level, uint64_t rate,
    uint64_t amount, ngx_msec_t elapsed);


ngx_int_t
ngx_mqtt_client_limit_publish(ngx_mqtt_client_t *mc, size_t len)
{
    ngx_msec_t                elapsed;
    ngx_mqtt_client_conf_t   *conf;
    ngx_mqtt_client_rate_t   *rate;
    ngx_mqtt_client_extra_t  *extra;

    conf = mc->conf;

    if (conf->publish_rate == 0 && conf->publish_bytes_rate == 0) {
        return NGX_OK;
    }

    extra = ngx_mqtt_client_get_extra(mc);

    if (extra == NULL) {
        ngx_mqtt_client_abort(mc, NGX_MQTT_UNSPECIFIED_ERROR);
        return NGX_ERROR;
    }

    rate = &extra->rate;

    if (rate->again) {
        rate->again = 0;
        return NGX_OK;
    }

    elapsed = ngx_current_msec - rate->last;
    rate->last = ngx_current_msec;

    if (ngx_mqtt_client_take(&rate->messages, conf->publish_rate, 1, elapsed)
        && ngx_mqtt_client_take(&rate->bytes, conf->publish_bytes_rate, len,
                                elapsed))
    {
        return NGX_OK;
    }

    ngx_mqtt_count(mc->worker, NGX_MQTT_STAT_publish_rate_exceeded);

    ngx_log_error(NGX_LOG_INFO, mc->connection->log, 0,
                  "client publishes too much");

    return ngx_mqtt_client_close(mc, NGX_MQTT_MESSAGE_RATE_TOO_HIGH);
}


void
ngx_mqtt_client_limit_again(ngx_mqtt_client_t *mc)
{
    if (mc->conf->publish_rate || mc->conf->publish_bytes_rate) {
        mc->extra->rate.again = 1;
    }
}


/*
 * Levels are in thousandths, and say what was taken: a new client has all.
 * One packet of more than a second's worth passes when the bucket is full.
 */

static ngx_uint_t
ngx_mqtt_client_take(uint64_t *level, uint64_t rate, uint64_t amount,
    ngx_msec_t elapsed)
{
    uint64_t  drained;

    if (rate == 0) {
        return 1;
    }

    drained = rate * ngx_min(elapsed, 1000000);

    *level = (*level > drained) ? *level - drained : 0;

    if (*level && *level + amount * 1000 > rate * 1000) {
        return 0;
    }

    *level += amount * 1000;

    return 1;
}
