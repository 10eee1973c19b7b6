
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * Who owns a session, for whoever has something for its client.
 *
 * The answer is of the moment in which Redis gave it: the owner may have lost
 * the session since, and says so when it is asked.
 *
 * Called from: gateway/ (P2P).
 */


#include "ngx_mqtt_session_int.h"


void
ngx_mqtt_session_owner(ngx_mqtt_worker_t *w, ngx_str_t *client_id,
    ngx_mqtt_op_t *op)
{
    ngx_str_t  owner;

    ngx_str_set(&owner, "o");

    ngx_mqtt_session_ask(w, client_id, "HGET", &owner,
                         NGX_MQTT_REDIS_WAIT|NGX_MQTT_REDIS_READ, op);
}


ngx_int_t
ngx_mqtt_session_owner_peer(ngx_mqtt_worker_t *w, ngx_mqtt_op_t *op,
    ngx_mqtt_peer_t *peer)
{
    ngx_mqtt_redis_reply_t  *reply;

    reply = op->result;

    if (op->rc != NGX_OK || reply == NULL
        || reply->type != NGX_MQTT_REDIS_STRING)
    {
        return NGX_DECLINED;
    }

    return ngx_mqtt_peer_parse(w, &reply->str, peer);
}
