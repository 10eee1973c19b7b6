
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * The methods of auth, in the order of the "auth" directives.
 *
 * (1) The first method with an opinion decides.  Without any opinion the
 *     client is refused.
 * (2) A method that accepts everybody is the last one: what comes behind it
 *     would never be asked, which is an error of the configuration.
 * (3) Passwords are neither logged nor kept longer than their check.
 *
 * Called from: stream/ (configuration), gateway/ (life), client/ (CONNECT).
 */


#include "ngx_mqtt_auth_int.h"


#define NGX_MQTT_AUTH_BLOCK  64             /* of SHA-1 */


struct ngx_mqtt_auth_conf_s {
    ngx_array_t                entries;     /* of ngx_mqtt_auth_entry_t */
};


struct ngx_mqtt_auth_s {
    ngx_uint_t                 nentries;
    ngx_mqtt_auth_entry_t     *entries;
    void                     **states;
};


static ngx_mqtt_auth_method_t *ngx_mqtt_auth_method(ngx_str_t *name);
static char *ngx_mqtt_anonymous_directive(ngx_conf_t *cf,
    ngx_mqtt_auth_entry_t *entry);
static ngx_int_t ngx_mqtt_anonymous_connect(ngx_mqtt_worker_t *w,
    ngx_mqtt_auth_entry_t *entry, void *state, ngx_mqtt_auth_request_t *req,
    ngx_mqtt_op_t *op, ngx_uint_t *reason);


static ngx_mqtt_auth_method_t  ngx_mqtt_auth_methods[] = {

    { ngx_string("anonymous"),
      ngx_mqtt_anonymous_directive,
      NULL,
      NULL,
      ngx_mqtt_anonymous_connect },

    { ngx_string("password"),
      ngx_mqtt_password_directive,
      ngx_mqtt_password_start,
      ngx_mqtt_password_stop,
      ngx_mqtt_password_connect },

    { ngx_null_string, NULL, NULL, NULL, NULL }
};


char *
ngx_mqtt_auth_directive(ngx_conf_t *cf, ngx_mqtt_gateway_t *gw)
{
    ngx_str_t               *value;
    ngx_mqtt_auth_conf_t    *conf;
    ngx_mqtt_auth_entry_t   *entry;
    ngx_mqtt_auth_method_t  *method;

    value = cf->args->elts;
    conf = gw->auth;

    if (conf == NULL) {
        conf = ngx_pcalloc(cf->pool, sizeof(ngx_mqtt_auth_conf_t));
        if (conf == NULL) {
            return NGX_CONF_ERROR;
        }

        if (ngx_array_init(&conf->entries, cf->pool, 2,
                           sizeof(ngx_mqtt_auth_entry_t))
            != NGX_OK)
        {
            return NGX_CONF_ERROR;
        }

        gw->auth = conf;
    }

    method = ngx_mqtt_auth_method(&value[1]);

    if (method == NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "unknown auth method \"%V\"", &value[1]);
        return NGX_CONF_ERROR;
    }

    if (conf->entries.nelts) {
        entry = conf->entries.elts;
        entry = &entry[conf->entries.nelts - 1];

        if (entry->method->connect == ngx_mqtt_anonymous_connect) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "auth method \"%V\" after \"anonymous\", "
                               "which accepts everybody", &value[1]);
            return NGX_CONF_ERROR;
        }
    }

    entry = ngx_array_push(&conf->entries);
    if (entry == NULL) {
        return NGX_CONF_ERROR;
    }

    ngx_memzero(entry, sizeof(ngx_mqtt_auth_entry_t));
    entry->method = method;

    return method->directive(cf, entry);
}


static ngx_mqtt_auth_method_t *
ngx_mqtt_auth_method(ngx_str_t *name)
{
    ngx_mqtt_auth_method_t  *method;

    for (method = ngx_mqtt_auth_methods; method->name.len; method++) {

        if (method->name.len == name->len
            && ngx_strncmp(method->name.data, name->data, name->len) == 0)
        {
            return method;
        }
    }

    return NULL;
}


char *
ngx_mqtt_auth_conf_init(ngx_conf_t *cf, ngx_mqtt_gateway_t *gw)
{
    ngx_mqtt_auth_entry_t  *entry;

    if (gw->auth == NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "no \"auth\" is defined for mqtt_gateway \"%V\"",
                           &gw->name);
        return NGX_CONF_ERROR;
    }

    entry = gw->auth->entries.elts;
    entry[gw->auth->entries.nelts - 1].last = 1;

    return NGX_CONF_OK;
}


ngx_int_t
ngx_mqtt_auth_start(ngx_mqtt_worker_t *w)
{
    ngx_uint_t              i;
    ngx_mqtt_auth_t        *auth;
    ngx_mqtt_auth_entry_t  *entry;

    auth = ngx_pcalloc(w->cycle->pool, sizeof(ngx_mqtt_auth_t));
    if (auth == NULL) {
        return NGX_ERROR;
    }

    auth->nentries = w->gateway->auth->entries.nelts;
    auth->entries = w->gateway->auth->entries.elts;

    auth->states = ngx_pcalloc(w->cycle->pool,
                               auth->nentries * sizeof(void *));
    if (auth->states == NULL) {
        return NGX_ERROR;
    }

    w->auth = auth;

    for (i = 0; i < auth->nentries; i++) {
        entry = &auth->entries[i];

        if (entry->method->start
            && entry->method->start(w, entry, &auth->states[i]) != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


void
ngx_mqtt_auth_stop(ngx_mqtt_worker_t *w)
{
    ngx_uint_t        i;
    ngx_mqtt_auth_t  *auth;

    auth = w->auth;

    for (i = 0; i < auth->nentries; i++) {

        if (auth->states[i]) {
            auth->entries[i].method->stop(w, auth->states[i]);
        }
    }

    w->auth = NULL;
}


ngx_int_t
ngx_mqtt_auth_connect(ngx_mqtt_worker_t *w, ngx_mqtt_auth_request_t *req,
    ngx_mqtt_op_t *op, ngx_uint_t *reason)
{
    ngx_int_t               rc;
    ngx_uint_t              i;
    ngx_mqtt_auth_t        *auth;
    ngx_mqtt_auth_entry_t  *entry;

    auth = w->auth;

    for (i = 0; i < auth->nentries; i++) {
        entry = &auth->entries[i];

        rc = entry->method->connect(w, entry, auth->states[i], req, op,
                                    reason);

        if (rc != NGX_MQTT_AUTH_NEXT) {
            return rc;
        }
    }

    *reason = req->has_username ? NGX_MQTT_BAD_USER_NAME_OR_PASSWORD
                                : NGX_MQTT_NOT_AUTHORIZED;
    return NGX_DECLINED;
}


static char *
ngx_mqtt_anonymous_directive(ngx_conf_t *cf, ngx_mqtt_auth_entry_t *entry)
{
    if (cf->args->nelts != 2) {
        return "method \"anonymous\" takes no parameters";
    }

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_mqtt_anonymous_connect(ngx_mqtt_worker_t *w, ngx_mqtt_auth_entry_t *entry,
    void *state, ngx_mqtt_auth_request_t *req, ngx_mqtt_op_t *op,
    ngx_uint_t *reason)
{
    return NGX_OK;
}


ngx_uint_t
ngx_mqtt_auth_equal(u_char *a, u_char *b, size_t len)
{
    size_t           i;
    volatile u_char  diff;

    diff = 0;

    for (i = 0; i < len; i++) {
        diff |= a[i] ^ b[i];
    }

    return diff == 0;
}


void
ngx_mqtt_auth_hmac_sha1(ngx_str_t *key, ngx_str_t *parts, ngx_uint_t nparts,
    u_char digest[NGX_MQTT_AUTH_DIGEST])
{
    u_char      block[NGX_MQTT_AUTH_BLOCK];
    ngx_uint_t  i;
    ngx_sha1_t  sha1;

    ngx_memzero(block, NGX_MQTT_AUTH_BLOCK);

    if (key->len > NGX_MQTT_AUTH_BLOCK) {
        ngx_sha1_init(&sha1);
        ngx_sha1_update(&sha1, key->data, key->len);
        ngx_sha1_final(block, &sha1);

    } else {
        ngx_memcpy(block, key->data, key->len);
    }

    for (i = 0; i < NGX_MQTT_AUTH_BLOCK; i++) {
        block[i] ^= 0x36;
    }

    ngx_sha1_init(&sha1);
    ngx_sha1_update(&sha1, block, NGX_MQTT_AUTH_BLOCK);

    for (i = 0; i < nparts; i++) {
        ngx_sha1_update(&sha1, parts[i].data, parts[i].len);
    }

    ngx_sha1_final(digest, &sha1);

    for (i = 0; i < NGX_MQTT_AUTH_BLOCK; i++) {
        block[i] ^= 0x36 ^ 0x5c;
    }

    ngx_sha1_init(&sha1);
    ngx_sha1_update(&sha1, block, NGX_MQTT_AUTH_BLOCK);
    ngx_sha1_update(&sha1, digest, NGX_MQTT_AUTH_DIGEST);
    ngx_sha1_final(digest, &sha1);

    ngx_explicit_memzero(&sha1, sizeof(ngx_sha1_t));
    ngx_explicit_memzero(block, NGX_MQTT_AUTH_BLOCK);
}
