
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * Whether a client is connected somewhere: whether its session has an owner.
 *
 * Called from: http/.
 */


#include "ngx_mqtt_session_int.h"


static void ngx_mqtt_session_online_replied(ngx_mqtt_op_t *op);


void
ngx_mqtt_session_online(ngx_mqtt_worker_t *w, ngx_str_t *client_id,
    ngx_mqtt_op_t *op)
{
    ngx_str_t       owner;
    ngx_mqtt_op_t  *redis_op;

    redis_op = ngx_mqtt_op_get(w, NULL, ngx_mqtt_session_online_replied, op);

    if (redis_op == NULL) {
        ngx_mqtt_op_post(op, NGX_ERROR, NGX_MQTT_SERVER_UNAVAILABLE);
        return;
    }

    ngx_str_set(&owner, "o");

    ngx_mqtt_session_ask(w, client_id, "HGET", &owner, 0, redis_op);
}


static void
ngx_mqtt_session_online_replied(ngx_mqtt_op_t *op)
{
    ngx_mqtt_op_t           *caller;
    ngx_mqtt_redis_reply_t  *reply;

    caller = op->data;
    reply = op->result;

    if (op->rc != NGX_OK || reply == NULL) {
        ngx_mqtt_op_complete(caller, NGX_ERROR, NGX_MQTT_SERVER_UNAVAILABLE,
                             NULL);
        return;
    }

    ngx_mqtt_op_complete(caller,
                         (reply->type == NGX_MQTT_REDIS_STRING
                          && reply->str.len)
                         ? NGX_OK : NGX_DECLINED,
                         NGX_MQTT_SUCCESS, NULL);
}
