
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * Sessions of a worker: names in Redis, release.  Claims are in
 * ngx_mqtt_claim.c; the invariants are in ngx_mqtt_session.h.
 *
 * Called from: client/, gateway/ (life).  One worker, no locks.
 */


#include "ngx_mqtt_session_int.h"


ngx_int_t
ngx_mqtt_session_start(ngx_mqtt_worker_t *w)
{
    ngx_mqtt_zone_t      *zone;
    ngx_mqtt_sessions_t  *ss;

    ss = ngx_pcalloc(w->cycle->pool, sizeof(ngx_mqtt_sessions_t));
    if (ss == NULL) {
        return NGX_ERROR;
    }

    zone = ngx_mqtt_zone(w->gateway);

    ss->node_id = zone->node_id;
    ss->owner.data = ss->owner_text;
    ss->owner.len = ngx_sprintf(ss->owner_text, "%016xL:%ui:%uL",
                                zone->node_id, w->slot_index, w->generation)
                    - ss->owner_text;

    ngx_queue_init(&ss->waiting);

    w->sessions = ss;

    ngx_mqtt_claim_init(w);

    return NGX_OK;
}


void
ngx_mqtt_session_stop(ngx_mqtt_worker_t *w)
{
    ngx_mqtt_claim_fail_all(w);
    ngx_mqtt_hash_free(&w->sessions->claims);

    w->sessions = NULL;
}


ngx_uint_t
ngx_mqtt_session_pending(ngx_mqtt_worker_t *w)
{
    return w->sessions->nclaims;
}


void
ngx_mqtt_session_release(ngx_mqtt_worker_t *w, ngx_str_t *client_id,
    uint64_t epoch, uint32_t expiry)
{
    u_char     number[NGX_INT64_LEN], seconds[NGX_INT64_LEN];
    ngx_str_t  argv[3];

    if (ngx_mqtt_session_key(w, client_id, &argv[0]) != NGX_OK) {
        return;
    }

    argv[1].data = number;
    argv[1].len = ngx_sprintf(number, "%uL", epoch) - number;

    argv[2].data = seconds;
    argv[2].len = ngx_mqtt_session_expiry(seconds, expiry) - seconds;

    ngx_mqtt_redis_script(w->redis, NGX_MQTT_LUA_RELEASE, 1, 3, argv,
                          NGX_MQTT_REDIS_WAIT, NULL);

    ngx_mqtt_free(w, argv[0].data, argv[0].len);
}


/*
 * The hash tag holds "c:" and the client id, so that all keys of one client
 * share a slot of Redis Cluster and no client id makes the tag empty.
 */

ngx_int_t
ngx_mqtt_session_key(ngx_mqtt_worker_t *w, ngx_str_t *client_id,
    ngx_str_t *key)
{
    u_char  *p;

    key->len = w->gateway->redis_prefix.len + sizeof("{c:}") - 1
               + client_id->len;

    key->data = ngx_mqtt_alloc(w, key->len);
    if (key->data == NULL) {
        return NGX_ERROR;
    }

    p = ngx_cpymem(key->data, w->gateway->redis_prefix.data,
                   w->gateway->redis_prefix.len);
    p = ngx_cpymem(p, "{c:", sizeof("{c:") - 1);
    p = ngx_cpymem(p, client_id->data, client_id->len);
    *p = '}';

    return NGX_OK;
}


u_char *
ngx_mqtt_session_expiry(u_char *p, uint32_t expiry)
{
    if (expiry == NGX_MQTT_SESSION_NEVER) {
        return ngx_cpymem(p, "-1", 2);
    }

    return ngx_sprintf(p, "%uD", expiry);
}
