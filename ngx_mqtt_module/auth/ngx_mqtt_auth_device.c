
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * auth device_credential: a device has a secret of its own, which is looked
 * up in Redis with each CONNECT.
 *
 * (1) A credential belongs to one client id: it proves that id and no other.
 * (2) Whatever Redis does not answer refuses the client: with "server
 *     unavailable" while it is away.
 * (3) The look-up is freed exactly once, when the reply comes.
 *
 * Called from: ngx_mqtt_auth.c, replies of Redis.
 */


#include "ngx_mqtt_auth_int.h"
#include "ngx_mqtt_redis.h"


/* fields of the hash, in the order in which they are asked for */

#define NGX_MQTT_DEVICE_SECRET         0
#define NGX_MQTT_DEVICE_CLIENT_ID      1
#define NGX_MQTT_DEVICE_INSTANCE       2
#define NGX_MQTT_DEVICE_PERMISSIONS    3
#define NGX_MQTT_DEVICE_FIELDS         4


/* what was sent lies behind it */

typedef struct {
    ngx_mqtt_op_t             *op;          /* the caller's */
    size_t                     size;
    ngx_str_t                  client_id;
    ngx_str_t                  instance;
    ngx_str_t                  password;
} ngx_mqtt_device_t;


static ngx_mqtt_device_t *ngx_mqtt_device_create(ngx_mqtt_worker_t *w,
    ngx_mqtt_auth_request_t *req, ngx_str_t *instance, ngx_mqtt_op_t *op);
static ngx_int_t ngx_mqtt_device_lookup(ngx_mqtt_worker_t *w, ngx_str_t *id,
    ngx_mqtt_device_t *device);
static void ngx_mqtt_device_replied(ngx_mqtt_op_t *op);
static ngx_int_t ngx_mqtt_device_check(ngx_mqtt_worker_t *w,
    ngx_mqtt_device_t *device, ngx_mqtt_redis_reply_t *reply,
    ngx_mqtt_auth_result_t *result);
static ngx_uint_t ngx_mqtt_device_is(ngx_mqtt_redis_reply_t *reply,
    ngx_str_t *value);
static ngx_int_t ngx_mqtt_device_grant(ngx_mqtt_worker_t *w,
    ngx_mqtt_redis_reply_t *reply, ngx_mqtt_auth_result_t *result);
static void ngx_mqtt_device_free(ngx_mqtt_worker_t *w,
    ngx_mqtt_device_t *device);


static ngx_str_t  ngx_mqtt_device_mode = ngx_string("DeviceCredential");


char *
ngx_mqtt_device_directive(ngx_conf_t *cf, ngx_mqtt_auth_entry_t *entry)
{
    ngx_uint_t              i;
    ngx_mqtt_auth_entry_t  *other;

    if (cf->args->nelts != 2) {
        return "method \"device_credential\" takes no parameters";
    }

    other = entry->gateway->auth->entries.elts;

    for (i = 0; &other[i] != entry; i++) {

        if (other[i].method == entry->method) {
            return "method \"device_credential\" is duplicate";
        }
    }

    return NGX_CONF_OK;
}


ngx_int_t
ngx_mqtt_device_connect(ngx_mqtt_worker_t *w, ngx_mqtt_auth_entry_t *entry,
    void *state, ngx_mqtt_auth_request_t *req, ngx_mqtt_op_t *op,
    ngx_uint_t *reason)
{
    ngx_mqtt_device_t      *device;
    ngx_mqtt_credential_t   credential;

    if (!ngx_mqtt_auth_mode(req, &ngx_mqtt_device_mode, &credential)) {
        return NGX_MQTT_AUTH_NEXT;
    }

    if (req->password.len != NGX_MQTT_SIGNATURE_LEN) {
        *reason = NGX_MQTT_BAD_USER_NAME_OR_PASSWORD;
        return NGX_DECLINED;
    }

    device = ngx_mqtt_device_create(w, req, &credential.instance, op);
    if (device == NULL) {
        return NGX_ERROR;
    }

    if (ngx_mqtt_device_lookup(w, &credential.key, device) != NGX_OK) {
        ngx_mqtt_device_free(w, device);
        return NGX_ERROR;
    }

    return NGX_AGAIN;
}


static ngx_mqtt_device_t *
ngx_mqtt_device_create(ngx_mqtt_worker_t *w, ngx_mqtt_auth_request_t *req,
    ngx_str_t *instance, ngx_mqtt_op_t *op)
{
    u_char             *p;
    size_t              size;
    ngx_mqtt_device_t  *device;

    size = sizeof(ngx_mqtt_device_t) + req->client_id.len + instance->len
           + req->password.len;

    device = ngx_mqtt_alloc(w, size);
    if (device == NULL) {
        return NULL;
    }

    device->op = op;
    device->size = size;

    p = (u_char *) &device[1];

    device->client_id.data = p;
    device->client_id.len = req->client_id.len;
    p = ngx_cpymem(p, req->client_id.data, req->client_id.len);

    device->instance.data = p;
    device->instance.len = instance->len;
    p = ngx_cpymem(p, instance->data, instance->len);

    device->password.data = p;
    device->password.len = req->password.len;
    ngx_memcpy(p, req->password.data, req->password.len);

    return device;
}


static ngx_int_t
ngx_mqtt_device_lookup(ngx_mqtt_worker_t *w, ngx_str_t *id,
    ngx_mqtt_device_t *device)
{
    ngx_str_t       argv[2 + NGX_MQTT_DEVICE_FIELDS];
    ngx_mqtt_op_t  *op;

    op = ngx_mqtt_op_get(w, NULL, ngx_mqtt_device_replied, device);
    if (op == NULL) {
        return NGX_ERROR;
    }

    if (ngx_mqtt_auth_redis_key(w, "d", id, &argv[1]) != NGX_OK) {
        ngx_mqtt_op_cancel(op);
        return NGX_ERROR;
    }

    ngx_str_set(&argv[0], "HMGET");
    ngx_str_set(&argv[2 + NGX_MQTT_DEVICE_SECRET], "s");
    ngx_str_set(&argv[2 + NGX_MQTT_DEVICE_CLIENT_ID], "c");
    ngx_str_set(&argv[2 + NGX_MQTT_DEVICE_INSTANCE], "i");
    ngx_str_set(&argv[2 + NGX_MQTT_DEVICE_PERMISSIONS], "p");

    ngx_mqtt_redis_command(w->redis, 2 + NGX_MQTT_DEVICE_FIELDS, argv, 0, op);

    ngx_mqtt_free(w, argv[1].data, argv[1].len);

    return NGX_OK;
}


static void
ngx_mqtt_device_replied(ngx_mqtt_op_t *op)
{
    ngx_int_t                rc;
    ngx_uint_t               reason;
    ngx_mqtt_worker_t       *w;
    ngx_mqtt_device_t       *device;
    ngx_mqtt_auth_result_t   result;

    w = op->worker;
    device = op->data;

    ngx_memzero(&result, sizeof(ngx_mqtt_auth_result_t));

    rc = NGX_DECLINED;
    reason = NGX_MQTT_SERVER_UNAVAILABLE;

    if (op->rc == NGX_OK) {
        rc = ngx_mqtt_device_check(w, device, op->result, &result);

        if (rc == NGX_OK) {
            reason = NGX_MQTT_SUCCESS;

        } else if (rc == NGX_DECLINED) {
            reason = NGX_MQTT_BAD_USER_NAME_OR_PASSWORD;
        }
    }

    ngx_mqtt_op_complete(device->op, rc, reason, &result);

    ngx_mqtt_grant_free(w, result.grant);
    ngx_mqtt_device_free(w, device);
}


static ngx_int_t
ngx_mqtt_device_check(ngx_mqtt_worker_t *w, ngx_mqtt_device_t *device,
    ngx_mqtt_redis_reply_t *reply, ngx_mqtt_auth_result_t *result)
{
    ngx_str_t   secret;
    ngx_uint_t  known, valid;

    if (reply->type != NGX_MQTT_REDIS_ARRAY
        || reply->nelts != NGX_MQTT_DEVICE_FIELDS)
    {
        ngx_log_error(NGX_LOG_ERR, w->log, 0,
                      "unexpected reply of Redis to a device credential");
        return NGX_ERROR;
    }

    ngx_str_set(&secret, "-");

    known = (reply->elts[NGX_MQTT_DEVICE_SECRET]->type
             == NGX_MQTT_REDIS_STRING
             && reply->elts[NGX_MQTT_DEVICE_SECRET]->str.len);

    if (known) {
        secret = reply->elts[NGX_MQTT_DEVICE_SECRET]->str;
    }

    valid = ngx_mqtt_signature_check(&secret, &device->client_id,
                                     &device->password);

    if (!known || !valid
        || !ngx_mqtt_device_is(reply->elts[NGX_MQTT_DEVICE_CLIENT_ID],
                               &device->client_id)
        || !ngx_mqtt_device_is(reply->elts[NGX_MQTT_DEVICE_INSTANCE],
                               &device->instance))
    {
        return NGX_DECLINED;
    }

    return ngx_mqtt_device_grant(w, reply->elts[NGX_MQTT_DEVICE_PERMISSIONS],
                                 result);
}


static ngx_uint_t
ngx_mqtt_device_is(ngx_mqtt_redis_reply_t *reply, ngx_str_t *value)
{
    return reply->type == NGX_MQTT_REDIS_STRING
           && reply->str.len == value->len
           && ngx_memcmp(reply->str.data, value->data, value->len) == 0;
}


static ngx_int_t
ngx_mqtt_device_grant(ngx_mqtt_worker_t *w, ngx_mqtt_redis_reply_t *reply,
    ngx_mqtt_auth_result_t *result)
{
    ngx_int_t     rc;
    ngx_pool_t   *pool;
    const char   *error;
    ngx_array_t   rules;

    if (reply->type != NGX_MQTT_REDIS_STRING) {
        return NGX_OK;
    }

    pool = ngx_create_pool(1024, w->log);
    if (pool == NULL) {
        return NGX_ERROR;
    }

    rc = NGX_ERROR;

    if (ngx_array_init(&rules, pool, 8, sizeof(ngx_mqtt_grant_rule_t))
        == NGX_OK)
    {
        error = ngx_mqtt_grant_parse(&reply->str, &rules);

        if (error) {
            ngx_log_error(NGX_LOG_ERR, w->log, 0,
                          "device credential in Redis has %s", error);

        } else if (rules.nelts == 0) {
            rc = NGX_OK;

        } else {
            result->grant = ngx_mqtt_grant_create(w, rules.elts, rules.nelts);

            if (result->grant) {
                rc = NGX_OK;
            }
        }
    }

    ngx_destroy_pool(pool);

    return rc;
}


static void
ngx_mqtt_device_free(ngx_mqtt_worker_t *w, ngx_mqtt_device_t *device)
{
    ngx_mqtt_free(w, device, device->size);
}
