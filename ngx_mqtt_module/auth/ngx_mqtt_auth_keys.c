
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * auth signature FILE: access keys, and devices that sign their client id
 * with one.
 *
 * (1) The file is read with the configuration, by the master, and every line
 *     is checked then; nothing is read at run time.
 * (2) The keys are an array sorted by id, read-only once the cycle runs; all
 *     strings point into one copy of the file.
 * (3) A user name "Signature|...|..." is the business of this method alone:
 *     whatever is wrong with it refuses the client.
 *
 * Called from: ngx_mqtt_auth.c; the token service, for its own signatures.
 */


#include "ngx_mqtt_auth_int.h"
#include "ngx_mqtt_auth_file.h"


static ngx_int_t ngx_mqtt_keys_parse(ngx_conf_t *cf, ngx_mqtt_keys_t *keys,
    ngx_str_t *text);
static const char *ngx_mqtt_keys_line(ngx_conf_t *cf, ngx_str_t *line,
    ngx_mqtt_access_key_t *key);
static ngx_int_t ngx_mqtt_keys_sort(ngx_conf_t *cf, ngx_mqtt_keys_t *keys);
static int ngx_libc_cdecl ngx_mqtt_keys_cmp(const void *one, const void *two);


static ngx_str_t  ngx_mqtt_keys_mode = ngx_string("Signature");


char *
ngx_mqtt_keys_directive(ngx_conf_t *cf, ngx_mqtt_auth_entry_t *entry)
{
    ngx_str_t        *value, text;
    ngx_mqtt_keys_t  *keys;

    if (cf->args->nelts != 3) {
        return "method \"signature\" takes one parameter, the file";
    }

    if (entry->gateway->auth->keys) {
        return "method \"signature\" is duplicate";
    }

    value = cf->args->elts;

    keys = ngx_pcalloc(cf->pool, sizeof(ngx_mqtt_keys_t));
    if (keys == NULL) {
        return NGX_CONF_ERROR;
    }

    keys->file = value[2];

    if (ngx_mqtt_auth_file_read(cf, &keys->file, &text) != NGX_OK
        || ngx_mqtt_keys_parse(cf, keys, &text) != NGX_OK
        || ngx_mqtt_keys_sort(cf, keys) != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    entry->conf = keys;
    entry->gateway->auth->keys = keys;

    return NGX_CONF_OK;
}


ngx_int_t
ngx_mqtt_keys_connect(ngx_mqtt_worker_t *w, ngx_mqtt_auth_entry_t *entry,
    void *state, ngx_mqtt_auth_request_t *req, ngx_mqtt_op_t *op,
    ngx_uint_t *reason)
{
    ngx_str_t               secret;
    ngx_uint_t              valid;
    ngx_mqtt_access_key_t  *key;
    ngx_mqtt_credential_t   credential;

    if (!ngx_mqtt_auth_mode(req, &ngx_mqtt_keys_mode, &credential)) {
        return NGX_MQTT_AUTH_NEXT;
    }

    key = ngx_mqtt_keys_find(entry->conf, &credential.key);

    /* an unknown key takes the same time */

    ngx_str_set(&secret, "-");

    if (key) {
        secret = key->secret;
    }

    valid = ngx_mqtt_signature_check(&secret, &req->client_id,
                                     &req->password);

    if (!valid || key == NULL
        || key->instance.len != credential.instance.len
        || ngx_memcmp(key->instance.data, credential.instance.data,
                      key->instance.len)
           != 0)
    {
        *reason = NGX_MQTT_BAD_USER_NAME_OR_PASSWORD;
        return NGX_DECLINED;
    }

    req->result.grant = key->grant.nrules ? &key->grant : NULL;

    return NGX_OK;
}


ngx_mqtt_access_key_t *
ngx_mqtt_keys_find(ngx_mqtt_keys_t *keys, ngx_str_t *id)
{
    ngx_int_t               rc;
    ngx_uint_t              low, high, middle;
    ngx_mqtt_access_key_t  *key;

    low = 0;
    high = keys->nkeys;

    while (low < high) {
        middle = low + (high - low) / 2;
        key = &keys->keys[middle];

        rc = ngx_memn2cmp(id->data, key->id.data, id->len, key->id.len);

        if (rc == 0) {
            return key;
        }

        if (rc < 0) {
            high = middle;

        } else {
            low = middle + 1;
        }
    }

    return NULL;
}


static ngx_int_t
ngx_mqtt_keys_parse(ngx_conf_t *cf, ngx_mqtt_keys_t *keys, ngx_str_t *text)
{
    ngx_str_t               line;
    const char             *error;
    ngx_uint_t              number;
    ngx_array_t             array;
    ngx_mqtt_access_key_t  *key;

    if (ngx_array_init(&array, cf->pool, 8, sizeof(ngx_mqtt_access_key_t))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    number = 0;

    while (ngx_mqtt_auth_file_line(text, &line, &number)) {

        key = ngx_array_push(&array);
        if (key == NULL) {
            return NGX_ERROR;
        }

        ngx_memzero(key, sizeof(ngx_mqtt_access_key_t));
        key->line = number;

        error = ngx_mqtt_keys_line(cf, &line, key);

        if (error) {
            return ngx_mqtt_auth_file_error(cf, &keys->file, number, error);
        }
    }

    keys->keys = array.elts;
    keys->nkeys = array.nelts;

    return NGX_OK;
}


/* id secret instance [permission ...] */

static const char *
ngx_mqtt_keys_line(ngx_conf_t *cf, ngx_str_t *line,
    ngx_mqtt_access_key_t *key)
{
    const char   *error;
    ngx_array_t   rules;

    if (!ngx_mqtt_auth_file_word(line, &key->id)
        || !ngx_mqtt_auth_file_word(line, &key->secret)
        || !ngx_mqtt_auth_file_word(line, &key->instance))
    {
        return "no id, secret and instance";
    }

    if (ngx_strlchr(key->id.data, key->id.data + key->id.len, '|')
        || ngx_strlchr(key->instance.data,
                       key->instance.data + key->instance.len, '|'))
    {
        return "a \"|\" in an id or instance";
    }

    if (ngx_array_init(&rules, cf->pool, 4, sizeof(ngx_mqtt_grant_rule_t))
        != NGX_OK)
    {
        return "no memory";
    }

    error = ngx_mqtt_grant_parse(line, &rules);

    key->grant.rules = rules.elts;
    key->grant.nrules = rules.nelts;

    return error;
}


static ngx_int_t
ngx_mqtt_keys_sort(ngx_conf_t *cf, ngx_mqtt_keys_t *keys)
{
    ngx_uint_t              i;
    ngx_mqtt_access_key_t  *key;

    if (keys->nkeys == 0) {
        ngx_conf_log_error(NGX_LOG_WARN, cf, 0, "no access key in \"%V\"",
                           &keys->file);
        return NGX_OK;
    }

    ngx_qsort(keys->keys, keys->nkeys, sizeof(ngx_mqtt_access_key_t),
              ngx_mqtt_keys_cmp);

    for (i = 1; i < keys->nkeys; i++) {
        key = &keys->keys[i];

        if (ngx_memn2cmp(key->id.data, key[-1].id.data, key->id.len,
                         key[-1].id.len)
            == 0)
        {
            return ngx_mqtt_auth_file_error(cf, &keys->file, key->line,
                                            "duplicate access key");
        }
    }

    return NGX_OK;
}


static int ngx_libc_cdecl
ngx_mqtt_keys_cmp(const void *one, const void *two)
{
    ngx_int_t               rc;
    ngx_mqtt_access_key_t  *first, *second;

    first = (ngx_mqtt_access_key_t *) one;
    second = (ngx_mqtt_access_key_t *) two;

    rc = ngx_memn2cmp(first->id.data, second->id.data, first->id.len,
                      second->id.len);

    return rc ? (int) rc : (int) first->line - (int) second->line;
}
