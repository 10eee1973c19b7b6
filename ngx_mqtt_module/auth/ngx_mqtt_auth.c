
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

    { ngx_string("signature"),
      ngx_mqtt_keys_directive,
      NULL,
      NULL,
      ngx_mqtt_keys_connect },

    { ngx_string("device_credential"),
      ngx_mqtt_device_directive,
      NULL,
      NULL,
      ngx_mqtt_device_connect },

    { ngx_string("token"),
      ngx_mqtt_token_directive,
      NULL,
      NULL,
      ngx_mqtt_token_connect },

    { ngx_string("jwt"),
      ngx_mqtt_jwt_directive,
      NULL,
      NULL,
      ngx_mqtt_jwt_connect },

    { ngx_string("certificate"),
      ngx_mqtt_certificate_directive,
      NULL,
      NULL,
      ngx_mqtt_certificate_connect },

    { ngx_string("http"),
      ngx_mqtt_ask_directive,
      ngx_mqtt_ask_start,
      ngx_mqtt_ask_stop,
      ngx_mqtt_ask_connect },

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
    entry->gateway = gw;

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

    if (gw->auth->tokens && gw->auth->keys == NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"auth token\" without \"auth signature\" in "
                           "mqtt_gateway \"%V\"", &gw->name);
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

    ngx_mqtt_terms_init(w);
    ngx_mqtt_revoke_init(w);

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

    ngx_mqtt_revoke_stop(w);
    ngx_mqtt_terms_stop(w);

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
    req->result.any_user = 1;

    return NGX_OK;
}


ngx_uint_t
ngx_mqtt_auth_mode(ngx_mqtt_auth_request_t *req, ngx_str_t *mode,
    ngx_mqtt_credential_t *credential)
{
    return req->has_username
           && ngx_mqtt_credential_parse(&req->username, credential) == NGX_OK
           && credential->mode.len == mode->len
           && ngx_memcmp(credential->mode.data, mode->data, mode->len) == 0;
}


ngx_int_t
ngx_mqtt_auth_set_username(ngx_mqtt_auth_request_t *req, ngx_str_t *name)
{
    if (name->len > NGX_MQTT_AUTH_NAME) {
        return NGX_DECLINED;
    }

    ngx_memcpy(req->name, name->data, name->len);

    req->result.username.data = req->name;
    req->result.username.len = name->len;

    return NGX_OK;
}


ngx_int_t
ngx_mqtt_auth_redis_key(ngx_mqtt_worker_t *w, const char *tag, ngx_str_t *id,
    ngx_str_t *key)
{
    u_char     *p;
    ngx_str_t  *prefix;

    prefix = &w->gateway->redis_prefix;

    key->len = prefix->len + ngx_strlen(tag) + id->len + sizeof("{:}") - 1;

    key->data = ngx_mqtt_alloc(w, key->len);
    if (key->data == NULL) {
        return NGX_ERROR;
    }

    p = ngx_cpymem(key->data, prefix->data, prefix->len);
    *p++ = '{';
    p = ngx_cpymem(p, tag, ngx_strlen(tag));
    *p++ = ':';
    p = ngx_cpymem(p, id->data, id->len);
    *p = '}';

    return NGX_OK;
}
