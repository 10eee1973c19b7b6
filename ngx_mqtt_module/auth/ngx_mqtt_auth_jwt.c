
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * auth jwt alg=name key=file [claims]: a JSON Web Token of somebody else as
 * the password.
 *
 * (1) Algorithm and key are those of the configuration; what the token says
 *     of them only may be the same.
 * (2) A token without "exp" is refused: the connection ends with the token.
 * (3) Of several such methods that one decides which has the key.  A password
 *     that looks like a token and is of no key is refused by the last.
 *
 * Called from: ngx_mqtt_auth.c.
 */


#include "ngx_mqtt_auth_int.h"
#include "ngx_mqtt_auth_file.h"

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/err.h>
#include <openssl/pem.h>


#define NGX_MQTT_JWT_SECRET  32      /* bytes at least */


typedef struct {
    ngx_mqtt_jwt_key_t         key;
    ngx_str_t                  alg;
    ngx_str_t                  file;
    ngx_str_t                  clientid;    /* names of claims */
    ngx_str_t                  username;
    ngx_str_t                  resources;
    ngx_str_t                  actions;
} ngx_mqtt_jwt_conf_t;


static ngx_int_t ngx_mqtt_jwt_parameter(ngx_conf_t *cf,
    ngx_mqtt_jwt_conf_t *jcf, ngx_str_t *value);
static ngx_int_t ngx_mqtt_jwt_read_key(ngx_conf_t *cf,
    ngx_mqtt_jwt_conf_t *jcf);
static ngx_uint_t ngx_mqtt_jwt_key_type(ngx_mqtt_jwt_conf_t *jcf);
static ngx_uint_t ngx_mqtt_jwt_looks_like(ngx_str_t *password);
static ngx_uint_t ngx_mqtt_jwt_last(ngx_mqtt_auth_entry_t *entry);
static ngx_int_t ngx_mqtt_jwt_accept(ngx_mqtt_worker_t *w,
    ngx_mqtt_jwt_conf_t *jcf, json_t *claims, ngx_mqtt_auth_request_t *req);
static ngx_int_t ngx_mqtt_jwt_names(ngx_mqtt_jwt_conf_t *jcf, json_t *claims,
    ngx_mqtt_auth_request_t *req);
static ngx_int_t ngx_mqtt_jwt_permissions(ngx_mqtt_worker_t *w,
    ngx_mqtt_jwt_conf_t *jcf, json_t *claims, ngx_mqtt_auth_request_t *req);


static ngx_str_t  ngx_mqtt_jwt_off = ngx_string("off");


#define ngx_mqtt_jwt_param(name)                                              \
    { ngx_string(#name "="), offsetof(ngx_mqtt_jwt_conf_t, name) }


static struct {
    ngx_str_t   name;
    size_t      offset;
} ngx_mqtt_jwt_params[] = {
    ngx_mqtt_jwt_param(alg),
    { ngx_string("key="), offsetof(ngx_mqtt_jwt_conf_t, file) },
    ngx_mqtt_jwt_param(clientid),
    ngx_mqtt_jwt_param(username),
    ngx_mqtt_jwt_param(resources),
    ngx_mqtt_jwt_param(actions),
    { ngx_null_string, 0 }
};


char *
ngx_mqtt_jwt_directive(ngx_conf_t *cf, ngx_mqtt_auth_entry_t *entry)
{
    ngx_str_t            *value;
    ngx_uint_t            i;
    ngx_mqtt_jwt_conf_t  *jcf;

    jcf = ngx_pcalloc(cf->pool, sizeof(ngx_mqtt_jwt_conf_t));
    if (jcf == NULL) {
        return NGX_CONF_ERROR;
    }

    value = cf->args->elts;

    for (i = 2; i < cf->args->nelts; i++) {

        if (ngx_mqtt_jwt_parameter(cf, jcf, &value[i]) != NGX_OK) {
            return NGX_CONF_ERROR;
        }
    }

    if (jcf->alg.len == 0 || jcf->file.len == 0) {
        return "method \"jwt\" needs \"alg=\" and \"key=\"";
    }

    if (jcf->clientid.len == 0) {
        ngx_str_set(&jcf->clientid, "sub");
    }

    if (jcf->resources.len == 0) {
        ngx_str_set(&jcf->resources, "resources");
    }

    if (jcf->actions.len == 0) {
        ngx_str_set(&jcf->actions, "actions");
    }

    if (ngx_mqtt_jwt_algorithm(&jcf->alg, &jcf->key.alg) != NGX_OK) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "unknown algorithm \"%V\"", &jcf->alg);
        return NGX_CONF_ERROR;
    }

    if (ngx_mqtt_jwt_read_key(cf, jcf) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    entry->conf = jcf;

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_mqtt_jwt_parameter(ngx_conf_t *cf, ngx_mqtt_jwt_conf_t *jcf,
    ngx_str_t *value)
{
    ngx_str_t   *name, *field;
    ngx_uint_t   i;

    for (i = 0; ngx_mqtt_jwt_params[i].name.len; i++) {
        name = &ngx_mqtt_jwt_params[i].name;

        if (value->len > name->len
            && ngx_strncmp(value->data, name->data, name->len) == 0)
        {
            field = (ngx_str_t *) ((u_char *) jcf
                                   + ngx_mqtt_jwt_params[i].offset);

            field->data = value->data + name->len;
            field->len = value->len - name->len;

            return NGX_OK;
        }
    }

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid parameter \"%V\"",
                       value);

    return NGX_ERROR;
}


static ngx_int_t
ngx_mqtt_jwt_read_key(ngx_conf_t *cf, ngx_mqtt_jwt_conf_t *jcf)
{
    ngx_str_t  *key;

    key = &jcf->key.key;

    if (ngx_mqtt_auth_file_read(cf, &jcf->file, key) != NGX_OK) {
        return NGX_ERROR;
    }

    while (key->len && (key->data[key->len - 1] == LF
                        || key->data[key->len - 1] == CR))
    {
        key->len--;
    }

    if (!ngx_mqtt_jwt_key_type(jcf)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "no key for \"%V\" in \"%V\"", &jcf->alg,
                           &jcf->file);
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* a secret that is long enough, or a public key of the right type */

static ngx_uint_t
ngx_mqtt_jwt_key_type(ngx_mqtt_jwt_conf_t *jcf)
{
    int         type;
    BIO        *bio;
    EVP_PKEY   *pkey;

    if (ngx_mqtt_jwt_symmetric(jcf->key.alg)) {
        return jcf->key.key.len >= NGX_MQTT_JWT_SECRET;
    }

    bio = BIO_new_mem_buf(jcf->key.key.data, (int) jcf->key.key.len);
    if (bio == NULL) {
        return 0;
    }

    pkey = PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL);

    BIO_free(bio);

    if (pkey == NULL) {
        ERR_clear_error();
        return 0;
    }

    type = EVP_PKEY_base_id(pkey);

    EVP_PKEY_free(pkey);

    return type == ((jcf->alg.data[0] == 'E') ? EVP_PKEY_EC : EVP_PKEY_RSA);
}


ngx_int_t
ngx_mqtt_jwt_connect(ngx_mqtt_worker_t *w, ngx_mqtt_auth_entry_t *entry,
    void *state, ngx_mqtt_auth_request_t *req, ngx_mqtt_op_t *op,
    ngx_uint_t *reason)
{
    json_t               *claims;
    ngx_int_t             rc;
    ngx_mqtt_jwt_conf_t  *jcf;

    jcf = entry->conf;

    if (!req->has_password || !ngx_mqtt_jwt_looks_like(&req->password)) {
        return NGX_MQTT_AUTH_NEXT;
    }

    rc = ngx_mqtt_jwt_verify(&jcf->key, &req->password, &claims);

    if (rc == NGX_OK) {
        rc = ngx_mqtt_jwt_accept(w, jcf, claims, req);
        json_decref(claims);

        *reason = NGX_MQTT_NOT_AUTHORIZED;

        return rc;
    }

    if (!ngx_mqtt_jwt_last(entry)) {
        return NGX_MQTT_AUTH_NEXT;
    }

    *reason = NGX_MQTT_BAD_USER_NAME_OR_PASSWORD;

    return NGX_DECLINED;
}


/* three parts, the first of which is a JSON object in Base64 */

static ngx_uint_t
ngx_mqtt_jwt_looks_like(ngx_str_t *password)
{
    size_t      i;
    ngx_uint_t  dots;

    if (password->len < 3 || ngx_strncmp(password->data, "eyJ", 3) != 0) {
        return 0;
    }

    for (i = 0, dots = 0; i < password->len; i++) {
        dots += (password->data[i] == '.');
    }

    return dots == 2;
}


static ngx_uint_t
ngx_mqtt_jwt_last(ngx_mqtt_auth_entry_t *entry)
{
    ngx_array_t            *entries;
    ngx_mqtt_auth_entry_t  *other, *end;

    entries = &entry->gateway->auth->entries;

    end = entries->elts;
    end += entries->nelts;

    for (other = entry + 1; other < end; other++) {

        if (other->method == entry->method) {
            return 0;
        }
    }

    return 1;
}


/* the signature is right */

static ngx_int_t
ngx_mqtt_jwt_accept(ngx_mqtt_worker_t *w, ngx_mqtt_jwt_conf_t *jcf,
    json_t *claims, ngx_mqtt_auth_request_t *req)
{
    time_t   now;
    json_t  *exp, *nbf;

    now = ngx_time();

    exp = json_object_get(claims, "exp");
    nbf = json_object_get(claims, "nbf");

    if (!json_is_number(exp) || json_number_value(exp) <= now) {
        ngx_log_error(NGX_LOG_INFO, req->connection->log, 0,
                      "JWT of client has expired, or never does");
        return NGX_DECLINED;
    }

    if (nbf && (!json_is_number(nbf) || json_number_value(nbf) > now)) {
        ngx_log_error(NGX_LOG_INFO, req->connection->log, 0,
                      "JWT of client is not valid yet");
        return NGX_DECLINED;
    }

    if (ngx_mqtt_jwt_names(jcf, claims, req) != NGX_OK) {
        ngx_log_error(NGX_LOG_INFO, req->connection->log, 0,
                      "JWT of client is of another client or user");
        return NGX_DECLINED;
    }

    return ngx_mqtt_jwt_permissions(w, jcf, claims, req);
}


static ngx_int_t
ngx_mqtt_jwt_names(ngx_mqtt_jwt_conf_t *jcf, json_t *claims,
    ngx_mqtt_auth_request_t *req)
{
    ngx_str_t  name;

    if (jcf->clientid.len != ngx_mqtt_jwt_off.len
        || ngx_strcmp(jcf->clientid.data, ngx_mqtt_jwt_off.data) != 0)
    {
        if (ngx_mqtt_jwt_string(claims, &jcf->clientid, &name) != NGX_OK
            || name.len != req->client_id.len
            || ngx_memcmp(name.data, req->client_id.data, name.len) != 0)
        {
            return NGX_DECLINED;
        }
    }

    if (jcf->username.len == 0) {
        req->result.any_user = 1;
        return NGX_OK;
    }

    if (ngx_mqtt_jwt_string(claims, &jcf->username, &name) != NGX_OK
        || (req->has_username
            && (name.len != req->username.len
                || ngx_memcmp(name.data, req->username.data, name.len) != 0)))
    {
        return NGX_DECLINED;
    }

    return ngx_mqtt_auth_set_username(req, &name);
}


/* without resources there is no restriction, and yet an end */

static ngx_int_t
ngx_mqtt_jwt_permissions(ngx_mqtt_worker_t *w, ngx_mqtt_jwt_conf_t *jcf,
    json_t *claims, ngx_mqtt_auth_request_t *req)
{
    json_t            *resources;
    time_t             expires;
    ngx_str_t          text;
    ngx_uint_t         actions;
    ngx_mqtt_grant_t  *grant;

    resources = json_object_get(claims, (char *) jcf->resources.data);

    if (resources == NULL) {
        grant = ngx_mqtt_grant_create(w, NULL, 0);

    } else {
        actions = NGX_MQTT_GRANT_BOTH;

        if (json_object_get(claims, (char *) jcf->actions.data)) {
            actions = 0;

            if (ngx_mqtt_jwt_string(claims, &jcf->actions, &text) == NGX_OK) {
                actions = ngx_mqtt_jwt_actions(&text);
            }
        }

        if (actions == 0) {
            return NGX_DECLINED;
        }

        grant = ngx_mqtt_jwt_grant(w, resources, actions);
    }

    if (grant == NULL) {
        return NGX_DECLINED;
    }

    /* far more than the time that anything here can tell */

    expires = (time_t) ngx_min(json_number_value(json_object_get(claims,
                                                                 "exp")),
                               (double) NGX_MQTT_JWT_FOREVER);

    grant->term = ngx_mqtt_term_create(w, expires, NULL, 0);

    if (grant->term == NULL) {
        ngx_mqtt_grant_free(w, grant);
        return NGX_ERROR;
    }

    req->result.grant = grant;

    return NGX_OK;
}
