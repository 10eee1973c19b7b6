
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * Signatures of the contract, see CONNECT and the token service in
 * docs/ngx_stream_mqtt_module.md and docs/ngx_http_mqtt_module.md.
 *
 * (1) A secret that is compared, or a digest made with one, is compared byte
 *     by byte to the end.
 * (2) Nothing is allocated and nothing is kept.
 *
 * Called from: the methods of auth; http/ for the token service.
 */


#include "ngx_mqtt_signature.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>


static int ngx_mqtt_signature_cmp(ngx_str_t *a, ngx_str_t *b);
static u_char *ngx_mqtt_signature_values(u_char *p, ngx_str_t *value);


ngx_int_t
ngx_mqtt_credential_parse(ngx_str_t *username,
    ngx_mqtt_credential_t *credential)
{
    u_char  *p, *last;

    last = username->data + username->len;

    credential->mode.data = username->data;

    p = ngx_strlchr(username->data, last, '|');

    if (p == NULL) {
        return NGX_DECLINED;
    }

    credential->mode.len = p++ - username->data;
    credential->key.data = p;

    p = ngx_strlchr(p, last, '|');

    if (p == NULL) {
        return NGX_DECLINED;
    }

    credential->key.len = p++ - credential->key.data;

    credential->instance.data = p;
    credential->instance.len = last - p;

    if (ngx_strlchr(p, last, '|')
        || credential->mode.len == 0
        || credential->key.len == 0
        || credential->instance.len == 0)
    {
        return NGX_DECLINED;
    }

    return NGX_OK;
}


ngx_int_t
ngx_mqtt_hmac_sha1(ngx_str_t *key, ngx_str_t *text,
    u_char digest[NGX_MQTT_HMAC_SHA1])
{
    unsigned int  len;

    if (HMAC(EVP_sha1(), key->data, (int) key->len, text->data, text->len,
             digest, &len)
        == NULL)
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}


ngx_uint_t
ngx_mqtt_auth_equal(u_char *a, u_char *b, size_t len)
{
    return CRYPTO_memcmp(a, b, len) == 0;
}


ngx_uint_t
ngx_mqtt_signature_check(ngx_str_t *secret, ngx_str_t *text,
    ngx_str_t *signature)
{
    u_char  digest[NGX_MQTT_HMAC_SHA1], base64[NGX_MQTT_SIGNATURE_LEN + 1];

    /* also where it cannot match: no secret is told by the time it took */

    if (ngx_mqtt_hmac_sha1(secret, text, digest) != NGX_OK) {
        return 0;
    }

    (void) EVP_EncodeBlock(base64, digest, NGX_MQTT_HMAC_SHA1);

    return signature->len == NGX_MQTT_SIGNATURE_LEN
           && ngx_mqtt_auth_equal(base64, signature->data,
                                  NGX_MQTT_SIGNATURE_LEN);
}


u_char *
ngx_mqtt_signature_text(u_char *p, ngx_keyval_t *params, ngx_uint_t nparams)
{
    ngx_uint_t    i, k;
    ngx_keyval_t  param;

    for (i = 1; i < nparams; i++) {
        param = params[i];

        for (k = i;
             k && ngx_mqtt_signature_cmp(&params[k - 1].key, &param.key) > 0;
             k--)
        {
            params[k] = params[k - 1];
        }

        params[k] = param;
    }

    for (i = 0; i < nparams; i++) {

        if (i) {
            *p++ = '&';
        }

        p = ngx_cpymem(p, params[i].key.data, params[i].key.len);
        *p++ = '=';
        p = ngx_mqtt_signature_values(p, &params[i].value);
    }

    return p;
}


static int
ngx_mqtt_signature_cmp(ngx_str_t *a, ngx_str_t *b)
{
    int  rc;

    rc = ngx_memcmp(a->data, b->data, ngx_min(a->len, b->len));

    return rc ? rc : (a->len > b->len) - (a->len < b->len);
}


/*
 * The smallest value that is not smaller than the last one written is next:
 * at most a hundred, and of equal ones the first comes first.
 */

static u_char *
ngx_mqtt_signature_values(u_char *p, ngx_str_t *value)
{
    int         rc;
    u_char     *v, *end, *comma;
    ngx_str_t   item, next, last;

    end = value->data + value->len;
    ngx_str_null(&last);

    for ( ;; ) {
        ngx_str_null(&next);

        for (v = value->data; v <= end; v = comma + 1) {

            comma = ngx_strlchr(v, end, ',');

            if (comma == NULL) {
                comma = end;
            }

            item.data = v;
            item.len = comma - v;

            if (last.data) {
                rc = ngx_mqtt_signature_cmp(&item, &last);

                if (rc < 0 || (rc == 0 && item.data <= last.data)) {
                    continue;
                }
            }

            if (next.data == NULL
                || ngx_mqtt_signature_cmp(&item, &next) < 0)
            {
                next = item;
            }
        }

        if (next.data == NULL) {
            return p;
        }

        if (last.data) {
            *p++ = ',';
        }

        p = ngx_cpymem(p, next.data, next.len);
        last = next;
    }
}
